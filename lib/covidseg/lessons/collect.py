"""Mark a whole class: one folder in, one table out, as CSV for a spreadsheet and as JSON with every answer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from covidseg.errors import UserError
from covidseg.files import alone, make_folder, write_json, write_text
from covidseg.lessons import handed_in, resolve
from covidseg.lessons.marks import Mark, mark, missing
from covidseg.lessons.runner import Limits, stop_children
from covidseg.progress import progress
from covidseg.text import csv_text, one_line

__all__ = ["collect", "text_table"]

COLUMNS = ("student", "notebook", "correct", "exercises", "status", "note", "file", "seconds")
MANY = "several notebooks of this lesson: the best one counts"


def collect(
    folder: Path,
    output: Path,
    names: list[str],
    *,
    jobs: int = 1,
    timeout: float = 300,
    limits: Limits | None = None,
    again: bool = False,
    tell: Callable[[Mark], None] | None = None,
) -> list[Mark]:
    """Mark what lies in ``folder`` and write ``output/marks.csv`` and ``output/marks.json``.

    names : of the lessons that were set; who lacks one gets a row that says so, and other lessons none. [] takes all
    again : mark anew what was marked before
    Raises UserError where the folders will not do. Whatever a student handed in, the others are marked.
    """
    wanted = [path.stem for path in resolve(names)] if names else []
    if output.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{output} lies in {folder}, where it would be taken for a student; choose another folder.")
    given = handed_in.find(folder)
    make_folder(output)
    with alone(output / ".lock", f"{output}: another collection writes there."):
        one = partial(_safely, folder, output / "runs", timeout=timeout, limits=limits or Limits(), again=again)
        marks = _rows(_all(one, given, jobs, tell), [one.student for one in given], wanted)
        write_text(output / "marks.csv", csv_text([row.row() for row in marks], COLUMNS))
        write_json(output / "marks.json", {"marks": [asdict(row) for row in marks]})
    return marks


def _all(one: Callable, given: list, jobs: int, tell: Callable | None) -> list[Mark]:
    with ThreadPoolExecutor(jobs) as pool:
        try:
            marks = []
            for row in progress(pool.map(one, given), "marks", total=len(given)):
                marks.append(row)
                if tell:
                    tell(row)
        except BaseException:  # Ctrl-C: nothing may run on unseen
            pool.shutdown(wait=False, cancel_futures=True)
            stop_children()
            raise
    return marks


def _safely(folder: Path, scratch: Path, given: handed_in.HandedIn, **how) -> Mark:
    """`mark`, with a row for what nobody foresaw: one file must not cost a class its marks."""
    try:
        return mark(given, folder, scratch, **how)
    except Exception as error:
        file = given.path.name if given.path else ""
        says = one_line(f"{type(error).__name__}: {error}")[:200]
        return Mark(one_line(given.student), "", one_line(file), "unreadable", note=says)


def _rows(marks: list[Mark], students: list[str], wanted: list[str]) -> list[Mark]:
    """The rows of the table: of two notebooks of one lesson the better, and a row for each lesson that is missing."""
    best: dict[tuple[str, str], Mark] = {}
    rest = []
    for row in marks:
        if row.status != "marked":
            rest.append(row)
        elif not wanted or row.notebook in wanted:
            old = best.get((row.student, row.notebook))
            better = row if old is None or row.correct > old.correct else old
            if old is not None:
                better.note = f"{MANY}. {better.note}".strip() if MANY not in better.note else better.note
            best[row.student, row.notebook] = better
    named = dict.fromkeys(one_line(student) for student in students)
    lacking = [missing(student, name) for student in named for name in wanted if (student, name) not in best]
    rows = [*best.values(), *lacking, *(row for row in rest if row.status != "missing" or not wanted)]
    return sorted(rows, key=lambda row: (row.student, row.notebook, row.file))


def text_table(marks: list[Mark]) -> str:
    """The marks as aligned text, for the terminal."""
    width = max(len(row.student) for row in marks)
    lesson = max([len(row.notebook) for row in marks] + [8])
    lines = [f"{'student':<{width}}  {'notebook':<{lesson}}  marks  "]
    for row in marks:
        points = f"{row.correct}/{row.exercises}" if row.status == "marked" else "-"
        said = "; ".join(part for part in (row.status if row.status != "marked" else "", row.note) if part)
        lines.append(f"{row.student:<{width}}  {row.notebook:<{lesson}}  {points:<5}  {said}".rstrip())
    return "\n".join(lines)
