"""The notebooks as a course: each leads to its neighbours, papers and code, and names nothing that does not exist."""

import re

import pytest
from test_docs import ROOT, complaint
from toy_notebooks import good_notebook, save

from covidseg.lessons import all_notebooks, exercises, links, read
from covidseg.lessons.command import copy

NOTEBOOKS = all_notebooks()
NAMES = {path.stem for path in NOTEBOOKS}
NAMED = re.compile(r"(?<![\w/])\d\d_[a-z]\w+")
COMMAND = re.compile(r"`(covidseg [^`\n]+)`")
TARGET = re.compile(r"`make ([a-z-]+)")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def said(path) -> str:
    """All that a notebook says: its text, and the texts in its code."""
    return "\n".join(cell.source for cell in read(path).cells)


def absent(text: str) -> list[str]:
    """Notebooks, commands, options and targets that a text names and that do not exist."""
    commands = [wrong for line in COMMAND.findall(text) if (wrong := complaint(line.removesuffix(" --help")))]
    notebooks = [name for name in NAMED.findall(text) if name not in NAMES]
    return [*notebooks, *commands, *(name for name in TARGET.findall(text) if name not in TARGETS)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_names_no_notebook_and_no_command_that_does_not_exist(path):
    assert absent(said(path)) == []


def test_what_does_not_exist_is_found():
    text = "See `20_miniseq`, 99_none.ipynb, run `covidseg trian miniseg`, `covidseg report --adpot x` or `make lap`."
    assert [word.split(":")[0] for word in absent(text)] == [
        *("20_miniseq", "99_none", "'covidseg trian miniseg'", "'covidseg report --adpot x'", "lap")
    ]


def test_every_notebook_ends_with_links_to_its_neighbours_papers_and_code():
    assert links.update(check=True) == [], "run `covidseg notebooks table`"
    for before, after in zip(NOTEBOOKS, NOTEBOOKS[1:], strict=False):
        assert f"**After:** [{after.stem}]({after.name})" in read(before).cells[-1].source
        assert f"**Before:** [{before.stem}]({before.name})" in read(after).cells[-1].source
    for path in NOTEBOOKS:
        targets = [target for _, target in links.LINK.findall(read(path).cells[-1].source)]
        assert any("/lib/covidseg/" in target for target in targets)
        assert all(target.startswith("https://") or (path.parent / target).exists() for target in targets)


def test_a_new_notebook_is_linked_from_both_sides_and_outputs_stay(tmp_path):
    for name in ("20_one", "22_two"):
        save(good_notebook(name), tmp_path, name)
    assert len(links.update(tmp_path)) == 2 and links.update(tmp_path) == []
    save(good_notebook("21_new"), tmp_path, "21_new")
    assert [path.stem for path in links.update(tmp_path, check=True)] == ["20_one", "21_new", "22_two"]
    links.update(tmp_path)
    first = read(tmp_path / "20_one.ipynb")
    assert first.cells[-1].source == "---\n**After:** [21_new](21_new.ipynb)"
    assert [cell.get("outputs") for cell in first.cells[:-1]] == [c.get("outputs") for c in good_notebook().cells]


def test_on_the_page_of_a_run_links_lead_to_other_pages_only():
    text = "**After:** [21_infnet](21_infnet.ipynb) · **Code:** [`loop.py`](../lib/loop.py), [it](https://x.org)"
    page = "**After:** [21_infnet](../21_infnet/21_infnet.html) · **Code:** `loop.py`, it"
    assert links.for_a_page(text) == page


def test_the_first_notebook_lists_all_that_are_there():
    shown = "".join(o.get("text", "") for cell in read(NOTEBOOKS[0]).cells for o in cell.get("outputs", []))
    assert {name for name in NAMES if name not in shown} == set(), "run `covidseg notebooks refresh 00_start_here`"


def test_a_handed_out_notebook_promises_no_solution():
    for path in NOTEBOOKS:
        text = said_by(exercises.student_copy(read(path), path.stem))
        assert "<summary>Solution" not in text and not re.search(r"solutions? (is|are) (folded|below)", text), path.stem


def said_by(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells)


def test_copies_are_made_once_and_what_a_student_wrote_stays(tmp_path, capsys):
    mine = tmp_path / "mine"
    assert copy(mine) == mine / "00_start_here.ipynb"
    assert {path.stem for path in mine.iterdir()} == NAMES
    (mine / "20_miniseg.ipynb").write_text("my answers")
    (mine / "21_infnet.ipynb").unlink()
    copy(mine)
    assert (mine / "20_miniseg.ipynb").read_text() == "my answers" and (mine / "21_infnet.ipynb").is_file()
    assert f"1 notebooks copied, {len(NAMES) - 1} of yours kept." in capsys.readouterr().out


def test_every_lesson_says_what_it_is_about_in_two_minutes_and_ends_with_claims_and_findings():
    lessons = [path for path in NOTEBOOKS if path.stem != "00_start_here"]
    assert [path.stem for path in lessons if "**In two minutes.**" not in read(path).cells[0].source] == []
    heads = {path.stem: re.findall(r"^#+ .*", said(path), re.M) for path in lessons}
    without = [name for name, titles in heads.items() if not any("claim" in title for title in titles)]
    assert without == ["35_reproduction_findings", "42_segment_your_ct"]  # one is nothing else, one has no paper
