"""What the documents name is there: files, links, commands with their options, targets of make."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from covidseg.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"]
WITH_README = [*PAGES, ROOT / "README.md"]
FOR_CLASSES = [ROOT / "docs" / "teaching.md", ROOT / "docs" / "install.md", ROOT / "docs" / "glossary.md"]
LIBRARY = ROOT / "lib" / "covidseg"
LEFT_BY_RUNS = ("runs/", ".venv/")  # not in the repository
PLACEHOLDER = re.compile(r"NAME|PAPER|TABLE|NN_name|tableN")  # stands for any word
FILE = re.compile(r"[\w.*/-]+(\.(py|md|yaml|yml|json|csv|ipynb|svg|png|pt|toml|lock|cfg)|/)")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def code(page: Path) -> list[str]:
    """What stands in backticks or in a block of code, line by line and without comments."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.S)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [piece for piece in [*inline, *lines] if piece]


def paths(page: Path) -> list[str]:
    return [piece for piece in code(page) if FILE.fullmatch(piece) and not piece.startswith(LEFT_BY_RUNS)]


def links(page: Path) -> list[str]:
    return [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not link.startswith(("http", "#"))]


def is_there(path: str, page: Path) -> bool:
    """A path with a placeholder needs one file that fits it; a bare name may lie anywhere in the library."""
    pattern = PLACEHOLDER.sub("*", path).rstrip("/")
    places = [(ROOT, pattern), (LIBRARY, pattern), (page.parent, pattern)]
    if "/" not in pattern:
        places.append((LIBRARY, f"**/{pattern}"))
    return any(next(home.glob(wanted), None) for home, wanted in places)


def complaint(command: str) -> str:
    """What is wrong with a line that begins with covidseg: no such command, or it has no such option; else ""."""
    place, words = get_command(app), shlex.split(command)[1:]
    while words and hasattr(place, "commands") and not words[0].startswith("-"):
        if (name := words.pop(0)) not in place.commands:
            return f"{command!r}: there is no command {name!r}"
        place = place.commands[name]
    options = {opt for parameter in place.params for opt in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("-") and word not in options]
    return f"{command!r}: there is no option {unknown[0]}" if unknown else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_is_there(page):
    found = paths(page)
    assert len(found) > 20
    assert [path for path in found if not is_there(path, page)] == []


@pytest.mark.parametrize("page", [*WITH_README, *FOR_CLASSES], ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file(page):
    found = links(page)
    assert found and [link for link in found if not (page.parent / link.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("page", [*WITH_README, FOR_CLASSES[0]], ids=lambda page: page.name)
def test_every_command_and_its_options_exist(page):
    commands = [piece for piece in code(page) if piece.startswith("covidseg ")]
    assert commands and [said for said in map(complaint, commands) if said] == []


@pytest.mark.parametrize("page", WITH_README, ids=lambda page: page.name)
def test_every_target_of_make_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {piece.split()[1] for piece in code(page) if piece.startswith("make ")}
    assert named and not named - targets


def test_the_course_names_notebooks_that_are_there_and_leaves_out_none():
    named = set(re.findall(r"`(\d\d_\w+)`", FOR_CLASSES[0].read_text(encoding="utf-8")))
    there = {path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    assert named <= there and {name for name in there - named if name[0] in "012"} == set()


def test_the_reader_of_documents_finds_what_is_wrong(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "`lib/covidseg/no_such.py`, `papers/NAME/paper.yaml`, `x + y`\n```bash\ncovidseg trian m  # why\n```\n"
    )
    assert paths(page) == ["lib/covidseg/no_such.py", "papers/NAME/paper.yaml"]
    assert not any(is_there(path, page) for path in paths(page))
    assert "trian" in complaint(code(page)[-1]) and "--adpot" in complaint("covidseg report --adpot runs")
    assert not complaint("covidseg notebooks refresh NAME") and is_there("papers/NAME/network.py", page)
