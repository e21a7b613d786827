"""``covidseg exercises``: student and solution copies of the lessons."""

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
    app.add_typer(group, name="exercises", help="Copy the lessons for a class: with stubs only, or solved.")


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


def _write(kind: str, folder: Path, names: list[str] | None) -> None:
    from covidseg.lessons.exercises import write_copies

    written = write_copies(kind, folder, names or [])
    say(f"Wrote {len(written)} notebooks to {folder}.")
