"""``covidseg exercises``: student and solution copies of the lessons, and the marks of what comes back."""

from pathlib import Path
from typing import Annotated

import typer

from covidseg.text import say

Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder for the copies; made if it is not there.")]
Names = Annotated[list[str] | None, typer.Argument(help="Names or numbers, such as 10 or 10_ct_data; all by default.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command("student")(student)
    group.command("solutions")(solutions)
    group.command("collect")(collect)
    app.add_typer(
        group, name="exercises", help="Copy the lessons for a class, with stubs or solved; mark what returns."
    )


def student(names: Names = None, output: Folder = Path("exercises/student")) -> None:
    """Write copies without solutions and outputs.

    \b
    Example:
      covidseg exercises student -o class/monday 20 21
    """
    _write("student", output, names)


def solutions(names: Names = None, output: Folder = Path("exercises/solutions")) -> None:
    """Write copies with every exercise solved.

    \b
    Example:
      covidseg exercises solutions -o teacher
    """
    _write("solutions", output, names)


def collect(
    folder: Annotated[Path, typer.Argument(help="The class's folder: a subfolder, or a notebook, for each student.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Lessons that were set, such as 20: who lacks one gets a row.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for marks.csv and marks.json.")] = Path(
        "marks"
    ),
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Notebooks at a time.")] = 1,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one notebook may take.")] = 300,
    cell: Annotated[int, typer.Option(min=1, help="Seconds that one of its cells may take.")] = 60,
    memory: Annotated[float, typer.Option(min=1, help="GiB that one of its processes may take; not on Windows.")] = 8,
    again: Annotated[bool, typer.Option("--again", help="Mark anew what was marked before.")] = False,
) -> None:
    """Run what a class handed in, in the smoke budget, and write one table of marks.

    A HANDED-IN NOTEBOOK IS A PROGRAM: marking it runs its code on this machine, with your rights. It gets limits of
    time, memory and file size, proxies that lead nowhere, and none of your variables that sound like a secret; this
    stops accidents, not malice. Use a container (README, "For instructors") for people you do not trust.

    Checks are put back as the kit has them, and a cell that fails does not end its notebook. What cannot be read, or
    never ends, gets a row that says so. Called again, it marks only what changed.

    \b
    Example:
      covidseg exercises collect class/monday -o marks 20 21
    """
    from covidseg.lessons import collect as collecting
    from covidseg.lessons.runner import Limits
    from covidseg.progress import headless

    limits = Limits(cell=cell, memory=memory)
    tell = (lambda row: say(f"{row.student}: {row.notebook or row.status}")) if headless() else None
    marks = collecting.collect(
        folder, output, names or [], jobs=jobs, timeout=timeout, limits=limits, again=again, tell=tell
    )
    students = len({row.student for row in marks})
    say(f"{collecting.text_table(marks)}\n\nStudents: {students}. Marks in {output / 'marks.csv'} and marks.json.")


def _write(kind: str, folder: Path, names: list[str] | None) -> None:
    from covidseg.lessons.exercises import write_copies

    written = write_copies(kind, folder, names or [])
    say(f"Wrote {len(written)} notebooks to {folder}.")
