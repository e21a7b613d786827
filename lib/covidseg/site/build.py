"""Put the book together: `build`."""

import html
from pathlib import Path

from covidseg.checkout import checkout
from covidseg.errors import UserError
from covidseg.explore import write_page
from covidseg.lessons import all_notebooks, read
from covidseg.lessons.cells import cell_html, markdown_html
from covidseg.lessons.face import Face, face
from covidseg.papers import papers
from covidseg.site import api, cards, results
from covidseg.site.book import Book, Page
from covidseg.site.glossary import link_terms, read_terms
from covidseg.site.links import Links, broken, outside

__all__ = ["build", "collect_pages"]

EXPLORER = "explorer.html"
GLOSSARY = "docs/glossary.md"
GUIDE = {  # file of the repository -> its title
    "README.md": "Read me",
    "docs/teaching.md": "Teaching with it",
    "docs/install.md": "Other machines",
    GLOSSARY: "Glossary",
    "data/README.md": "About the data",
    "docs/architecture.md": "Where things are",
    "CONTRIBUTING.md": "How to work on it",
}
WITH_TERMS = ("notebooks", "papers", "networks", "data", "results", "guide")


def build(folder: Path, only: list[str] | None = None, *, explorer: bool = False) -> list[Page]:
    """Write the book into ``folder``; returns its pages.

    explorer : also the page in which networks can be looked into (`covidseg.explore`), for which small ones are run
    only : names of notebooks, modules and networks, for a book with these alone
    Raises UserError where the folder holds something else than a site, or a link of the book would lead nowhere.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "search.js").is_file():
        raise UserError(f"{folder} is not empty and holds no site of this kit; choose another folder.")
    book = collect_pages(only)
    if explorer:
        book.beside[EXPLORER] = "Look inside a network"
    links = Links(book, checkout(), partial=only is not None)
    glossary = next((page for page in book.pages if page.source == GLOSSARY), None)
    terms = read_terms(checkout() / GLOSSARY) if glossary else []

    def change(page: Page) -> str:
        body = links.rewrite(page, page.body)
        if glossary and page.group in WITH_TERMS and page is not glossary:
            body = link_terms(body, terms, page.root + glossary.address)
        return body

    book.write(folder, change)
    if explorer:
        write_page(folder / EXPLORER)
    if wrong := [*broken(folder), *outside(folder)]:
        raise UserError(f"{folder}: {len(wrong)} links lead nowhere or outside, the first in {wrong[0]}.")
    return book.pages


def collect_pages(only: list[str] | None = None) -> Book:
    """Every page of the book, in the order of reading."""
    root, book = checkout(), Book()
    records = results.records_of(root)
    notebooks = [path for path in all_notebooks() if only is None or path.stem in only]
    faces = [(path, read(path)) for path in notebooks]
    shown = [face(notebook, path.stem) for path, notebook in faces]
    course = [_notebook(path, notebook, one) for (path, notebook), one in zip(faces, shown, strict=True)]
    guide = [_guide(root, file, title) for file, title in GUIDE.items() if (root / file).is_file()]
    book.add(_front(shown, course, guide), *course)
    book.add(*cards.paper_pages(), *cards.network_pages(records, only), *cards.data_pages(records))
    book.add(*results.pages(records), *guide, *api.pages(only))
    return book


def _notebook(path: Path, notebook, shown: Face) -> Page:
    """A notebook with its committed outputs."""
    minutes = ", ".join(f"{budget} {time}" for budget, time in (shown.minutes or {}).items())
    about = f'<p class="dim">{html.escape(shown.question)} Minutes by budget: {html.escape(minutes)}.</p>'
    run = f"<p class='dim'>Run it: <code>covidseg notebooks run {path.stem}</code>, or open it in JupyterLab.</p>"
    first, *rest = [cell_html(cell) for cell in notebook.cells] or [""]
    source = f"{path.parent.name}/{path.name}"
    body = "\n".join([first, about, run, *rest])
    return Page(f"notebooks/{path.stem}.html", shown.title, body, source, shown.question, menu=True)


def _guide(root: Path, file: str, title: str) -> Page:
    name = Path(file).stem.lower() if file != "data/README.md" else "data"
    body = markdown_html((root / file).read_text(encoding="utf-8"))
    return Page(f"guide/{name}.html", title, body, file, menu=True)


def _front(shown: list[Face], course: list[Page], guide: list[Page]) -> Page:
    """The first page: what this is, and a card for each notebook."""
    tiles = "".join(_tile(one, page) for one, page in zip(shown, course, strict=True))
    cited = "; ".join(html.escape(paper.cite) for paper in papers())
    ways = "".join(f'<li><a href="{page.address}">{html.escape(page.title)}</a></li>' for page in guide)
    body = f"""<h1>COVID-19 CT segmentation, four papers rebuilt</h1>
<p>Rebuilt in PyTorch, taught in notebooks, checked number by number: {cited}. This book shows the notebooks as they
were last run, the cards of networks and data sets, the papers' tables beside ours, and the reference. It asks the
internet for nothing and works from a folder on a disk.</p>
<p class="note">Pictures of chests in the lessons are phantoms, computed from a seed, unless a page says otherwise.
This is teaching software, not a medical device.</p>
<h2>Course</h2><ul class="cards">{tiles}</ul><h2>Guide</h2><ul>{ways}</ul>"""
    return Page("index.html", "Contents", body)


def _tile(shown: Face, page: Page) -> str:
    picture = f'<img alt="" loading="lazy" src="{shown.picture}">' if shown.picture else ""
    title, question = html.escape(shown.title), html.escape(shown.question)
    return f'<li><a href="{page.address}">{picture}<div><b>{title}</b><span>{question}</span></div></a></li>'
