"""What a class hands in: whose file it is, which lesson it was, and a copy of it that can be marked."""

import copy
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from covidseg.errors import UserError
from covidseg.lessons.exercises import Exercise

__all__ = ["HandedIn", "find", "lesson_of", "marked_copy", "numbers"]

CALLS = re.compile(r"""\blesson\s*\.\s*(?:check|start)\s*\(\s*["']([^"'\n]+)["']""")
CHECK = re.compile(r"""\blesson\s*\.\s*check\s*\(\s*["'][^"'\n]+["']\s*,\s*(\d+)\s*,""")
NOT_HANDED_IN = {"__MACOSX", "Thumbs.db", "desktop.ini"}  # a system left these
SAME = "from covidseg import lesson\n"  # whatever the student's cells have made of this name


@dataclass(frozen=True)
class HandedIn:
    """One file of one student; None for a folder in which there is no notebook."""

    student: str
    path: Path | None


def find(folder: Path) -> list[HandedIn]:
    """What lies in a class's folder: a subfolder, or a file, for each student.

    Raises UserError where there is no such folder, or nothing in it.
    """
    try:
        entries = sorted(path for path in folder.iterdir() if not _of_the_system(path))
    except OSError as error:
        raise UserError(f"{folder}: this folder cannot be read ({error.strerror}).") from None
    if not entries:
        raise UserError(f"{folder} is empty: it should hold a subfolder, or a notebook, for each student.")
    return [one for entry in entries for one in _of_one(entry)]


def _of_one(entry: Path) -> Iterator[HandedIn]:
    if not entry.is_dir() or entry.is_symlink():
        yield HandedIn(re.sub(r"[-_ ]*\d\d_\w+$", "", entry.stem) or entry.stem, entry)
        return
    notebooks = [
        path
        for path in sorted(entry.rglob("*.ipynb"))
        if not any(map(_of_the_system, [path, *path.relative_to(entry).parents][:-1]))
    ]
    yield from [HandedIn(entry.name, path) for path in notebooks] or [HandedIn(entry.name, None)]


def _of_the_system(path: Path) -> bool:
    return path.name.startswith(".") or path.name in NOT_HANDED_IN


def lesson_of(notebook) -> str:
    """The lesson that a notebook says it is, whatever its file is called; "" where it says nothing."""
    said = Counter(name for source in _code(notebook) for name in CALLS.findall(source))
    return said.most_common(1)[0][0] if said else ""


def marked_copy(notebook, ours, exercises: list[Exercise]):
    """A copy to be run: the student's cells, with our own parameters and checks in the place of theirs.

    ours : the committed notebook; exercises : of it, as `find_exercises` has them
    The last check of each exercise is put back as it was, and bears its number in ``metadata.covidseg.marks``. A cell
    that the student left as it was is marked as ours: if it is slow, that is not the student's doing.
    """
    marked = copy.deepcopy(notebook)
    known = {cell.source for cell in ours.cells if cell.cell_type == "code"}
    checks = {exercise.number: ours.cells[exercise.check].source for exercise in exercises}
    literals = [cell.source for cell in ours.cells if "parameters" in cell.metadata.get("tags", [])]
    last = {}
    for cell in marked.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        cell.metadata = {"tags": [tag for tag in _tags(cell) if tag == "parameters"]}
        if "parameters" in _tags(cell) and literals:
            cell.source = literals[0]
        if cell.source in known:
            cell.metadata["covidseg"] = {"ours": True}
        for number in map(int, CHECK.findall(cell.source)):
            last[number] = cell
    for number in checks.keys() & last.keys():
        last[number].source = SAME + checks[number]
        last[number].metadata["covidseg"] = {"marks": number}
    return marked


def numbers(notebook) -> dict[int, dict]:
    """Exercise number -> the cell of a `marked_copy`, or of what became of it, in which its check stands."""
    marked = {}
    for cell in notebook.cells:
        about = cell.metadata.get("covidseg")
        if isinstance(about, dict) and isinstance(about.get("marks"), int):
            marked[about["marks"]] = cell
    return marked


def _code(notebook) -> Iterator[str]:
    return (cell.source for cell in notebook.cells if cell.cell_type == "code" and isinstance(cell.source, str))


def _tags(cell) -> list:
    tags = cell.metadata.get("tags", [])
    return tags if isinstance(tags, list) else []
