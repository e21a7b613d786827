"""The last cell of every notebook: where it stands in the course, its papers, its code. Written, not typed.

A notebook says in its metadata what belongs to it, ``covidseg: {papers: [NAME], code: [path below lib/covidseg]}``.
What comes before and after it is the order of the folder. `covidseg notebooks table` writes the cells.
"""

import re
from pathlib import Path

from covidseg import papers
from covidseg.lessons import all_notebooks, read, write

TAG = "links"
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
NOTEBOOK = re.compile(r"(\d\d_\w+)\.ipynb")


def links(path: Path) -> str:
    """The Markdown of a notebook's last cell, from its metadata and its neighbours."""
    course = all_notebooks(path.parent)
    at = [one.stem for one in course].index(path.stem)
    about = read(path).metadata.get("covidseg", {})
    parts = [
        ("Before", _notebook(course[at - 1]) if at else ""),
        ("After", _notebook(course[at + 1]) if at + 1 < len(course) else ""),
        ("Papers" if len(about.get("papers", [])) > 1 else "Paper", ", ".join(map(_paper, about.get("papers", [])))),
        ("Code", ", ".join(map(_code, about.get("code", [])))),
    ]
    return "---\n" + " · ".join(f"**{head}:** {text}" for head, text in parts if text)


def linked(path: Path):
    """The notebook with its last cell as `links` has it, and whether anything in it is new."""
    from nbformat.v4 import new_markdown_cell

    notebook, text = read(path), links(path)
    if TAG not in notebook.cells[-1].metadata.get("tags", []):
        cell = new_markdown_cell("", metadata={"tags": [TAG]})
        cell["id"] = str(len(notebook.cells))  # ids count from 0, as the commit hook leaves them
        notebook.cells.append(cell)
    new = notebook.cells[-1].source != text
    notebook.cells[-1].source = text
    return notebook, new


def update(folder: Path | None = None, *, check: bool = False) -> list[Path]:
    """Write the last cell of every notebook that lacks it or has an old one; check : write nothing. Returns those."""
    stale = [(path, notebook) for path in all_notebooks(folder) for notebook, new in [linked(path)] if new]
    for path, notebook in () if check else stale:
        write(notebook, path)
    return [path for path, _ in stale]


def for_a_page(markdown: str) -> str:
    """Links as they hold on a page of a run: to the pages of other notebooks; all others as plain text."""

    def one(match: re.Match) -> str:
        text, target = match.groups()
        name = NOTEBOOK.fullmatch(target)
        return f"[{text}](../{name[1]}/{name[1]}.html)" if name else text

    return LINK.sub(one, markdown)


def _notebook(path: Path) -> str:
    return f"[{path.stem}]({path.name})"


def _paper(name: str) -> str:
    (paper,) = [one for one in papers.papers() if one.name == name]
    return f"[{paper.cite}](https://arxiv.org/abs/{paper.arxiv})"


def _code(path: str) -> str:
    return f"[`{path}`](../lib/covidseg/{path})"
