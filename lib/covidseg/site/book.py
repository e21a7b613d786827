"""Pages, their order, and the frame that all of them share."""

import html
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from covidseg import __version__
from covidseg.files import make_folder, write_text

__all__ = ["GROUPS", "Book", "Page", "text_of"]

HERE = Path(__file__).parent
ASSETS = ("style.css", "site.js")
GROUPS = {  # folder -> its name in the menu
    "notebooks": "Course",
    "papers": "Papers",
    "networks": "Networks",
    "data": "Data sets",
    "results": "Results",
    "guide": "Guide",
    "api": "Reference",
}
MOST_WORDS = 6000  # letters of a page that the search knows
NO_REQUESTS = (  # 'self' for a server, file: for a folder on a disk
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
    "style-src 'self' file: 'unsafe-inline'; script-src 'self' file:\">"
)


@dataclass(frozen=True)
class Page:
    """address : from the root of the site, such as ``notebooks/11_metrics.html``; body : HTML.

    source : file of the repository that it shows, for links between these; menu : is it in the menu of its group?
    """

    address: str
    title: str
    body: str
    source: str = ""
    summary: str = ""
    menu: bool = False
    names: tuple[str, ...] = ()  # code words that lead here, such as a module's name

    @property
    def group(self) -> str:
        return self.address.partition("/")[0] if "/" in self.address else ""

    @property
    def root(self) -> str:
        return "../" * self.address.count("/")


@dataclass
class Book:
    """The pages in the order of reading; beside : address -> title of pages that bring their own frame."""

    pages: list[Page] = field(default_factory=list)
    beside: dict[str, str] = field(default_factory=dict)

    def add(self, *pages: Page) -> None:
        self.pages.extend(pages)

    def write(self, folder: Path, change=lambda page: page.body) -> None:
        """Write every page, styles, script and the index of the search. change : Page -> its body as written."""
        from jinja2 import Environment

        make_folder(folder)
        plain = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
        frame = plain.from_string((HERE / "frame.html").read_text(encoding="utf-8"))
        found = []
        for page in self.pages:
            body = change(page)
            before, after = self._beside(page)
            shown = {"page": page, "body": body, "before": before, "after": after, "menu": self._menu(page)}
            shown["others"] = self.beside
            write_text(folder / page.address, frame.render(shown, version=__version__, no_requests=NO_REQUESTS))
            found.append({"a": page.address, "t": page.title, "g": GROUPS.get(page.group, ""), "w": text_of(body)})
        for name in ASSETS:
            write_text(folder / name, (HERE / name).read_text(encoding="utf-8"))
        found += [{"a": address, "t": title, "g": "", "w": title} for address, title in self.beside.items()]
        index = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        write_text(folder / "search.js", f"window.covidsegPages = {index};\n")

    def _beside(self, page: Page) -> tuple[Page | None, Page | None]:
        """The pages before and after, of the same group."""
        own = [other for other in self.pages if other.group == page.group and page.group]
        place = own.index(page) if page in own else 0
        return own[place - 1] if place else None, own[place + 1] if place + 1 < len(own) else None

    def _menu(self, page: Page) -> list[tuple[str, Page | None, list[Page]]]:
        """Name of each group, its first page, and the pages of it that are in the menu."""
        groups = []
        for folder, name in GROUPS.items():
            own = [other for other in self.pages if other.group == folder]
            if own:
                groups.append((name, own[0], [other for other in own if other.menu and other.group == page.group]))
        return groups


def text_of(body: str) -> str:
    """The words of a page for the search: no tags, no pictures, no folded source."""
    body = re.sub(r'<details class="source">.*?</details>', " ", body, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())[:MOST_WORDS]
