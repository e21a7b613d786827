"""A folder that cannot be made is one line on stderr, and a file is written whole or not at all."""

import os
import threading

import pytest

from covidseg.cli import main
from covidseg.errors import UserError
from covidseg.files import make_folder, write_atomically, write_text
from covidseg.lessons import runner


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "afile"
    path.write_text("mine")
    return path


@pytest.fixture
def lines(tmp_path):
    """The commands that make a folder, by name."""
    grid = tmp_path / "one.yaml"
    grid.write_text("runs: [{budget: smoke, dataset: phantom}]")
    return {
        "batch": ["batch", str(grid)],
        "run": ["notebooks", "run", "40"],
        "student": ["exercises", "student"],
        "solutions": ["exercises", "solutions"],
    }


@pytest.mark.parametrize("below", ["", "below", "below/that"])
@pytest.mark.parametrize("command", ["batch", "run", "student", "solutions"])
def test_a_folder_that_cannot_be_made_is_one_line_and_starts_nothing(command, below, file, lines, capsys, monkeypatch):
    monkeypatch.setattr(runner, "_in_fresh_process", lambda *_: pytest.fail("a process was started"))
    assert main([*lines[command], "-o", str(file / below)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"covidseg: {file / below}: this folder cannot be made (") and err.count("\n") == 1
    assert out == "" and file.read_text() == "mine"


def test_a_folder_is_made_with_all_above_it_and_may_be_there(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("below", ["x", "y/x"])
def test_a_file_below_a_file_is_one_line(below, shared, file):
    with pytest.raises(UserError, match=r"x: could not be written \(.+\)\.$"):
        write_atomically(file / below, lambda out: out.write(b"1"), shared=shared)


@pytest.mark.parametrize("shared", [False, True])
def test_two_writers_of_one_file_never_publish_a_mixture(shared, tmp_path):
    path, both, told = tmp_path / "a", threading.Barrier(2, timeout=20), []

    def write(letter):
        def halves(file):
            file.write(letter * 5)
            file.flush()
            both.wait()  # each has written one half
            file.write(letter * 5)

        try:
            write_atomically(path, halves, shared=shared)
        except UserError as error:
            told.append(error)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_bytes() in (b"a" * 10, b"b" * 10) and os.listdir(tmp_path) == ["a"]
    assert len(told) <= (0 if shared else 1)


def test_a_writer_removes_what_killed_ones_left_for_its_file_and_nothing_else(tmp_path):
    hexed = "0" * 32
    left = {".run.part", ".run.4711.part", f".run.{hexed}.part"}
    others = {".run", ".run.json.part", f".run.json.{hexed}.part", ".runs.part", "run.part", ".run.mine.part"}
    for name in left | others:
        (tmp_path / name).touch()
    write_text(tmp_path / "run", "shared: another process may be writing its own")
    assert set(os.listdir(tmp_path)) == left | others | {"run"}
    write_atomically(tmp_path / "run", lambda file: file.write(b"1"))
    assert set(os.listdir(tmp_path)) == others | {"run"}


def test_an_interrupt_while_writing_leaves_the_old_file_alone(tmp_path):
    path = write_text(tmp_path / "a", "old")

    def interrupted(file):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, interrupted, shared=True)
    assert os.listdir(tmp_path) == ["a"] and path.read_text() == "old"
