"""The README's table of notebooks, written from what each notebook says of itself."""

from pathlib import Path

from covidseg.errors import UserError
from covidseg.lessons import all_notebooks, notebook_folder, read

BEGIN = "<!-- notebooks: written by `covidseg notebooks table` -->"
END = "<!-- /notebooks -->"


def table(folder: Path | None = None) -> str:
    """The table as Markdown: notebook, the question it answers, minutes on two cores per budget, paper."""
    lines = [
        "| notebook | the question it answers | minutes: smoke / lesson / paper | paper |",
        "| --- | --- | --- | --- |",
    ]
    for path in all_notebooks(folder):
        about = _mapping(read(path).metadata.get("covidseg"))
        minutes = " / ".join(str(_mapping(about.get("minutes")).get(b, "?")) for b in ("smoke", "lesson", "paper"))
        link = f"[{path.stem}]({path.parent.name}/{path.name})"
        lines.append(f"| {link} | {about.get('question', '?')} | {minutes} | {about.get('paper') or ''} |")
    return "\n".join(lines)


def _mapping(value: object) -> dict:
    """The value, or {} for one of another kind: an odd notebook leaves its cells of the table open."""
    return value if isinstance(value, dict) else {}


def update(text: str, new_table: str) -> str:
    """``text`` with the table between the two markers replaced. Raises UserError where they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"README.md lacks the lines {BEGIN!r} and {END!r} around the table of notebooks.")
    return f"{before}{BEGIN}\n{new_table}\n{END}{after}"


def readme() -> Path:
    return notebook_folder().parent / "README.md"
