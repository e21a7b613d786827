"""Links between files of the repository as links between pages, and a look for those that lead nowhere."""

import posixpath
import re
from base64 import b64encode
from pathlib import Path
from urllib.parse import unquote

from covidseg.site.book import Book, Page

__all__ = ["Links", "broken", "outside"]

HREF = re.compile(r'<a (?P<rest>[^>]*?)href="(?P<href>[^"]+)"(?P<more>[^>]*)>(?P<words>.*?)</a>', re.S)
IMAGE = re.compile(r'<img (?P<rest>[^>]*?)src="(?P<src>[^"]+)"')
CODE = re.compile(r"(?<!<a)(?P<open><code>)(?P<name>[\w.]+)(?P<call>\(\))?</code>")
KINDS = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}
AWAY = ("http://", "https://", "mailto:")
ID = re.compile(r'\sid="([^"]+)"')
FETCHED = re.compile(
    r"""<(?:img|script|iframe|source|video|audio|embed)\b[^>]*?\ssrc\s*=\s*["']([^"']+)"""
    r"""|<link\b[^>]*?href\s*=\s*["']([^"']+)|url\(\s*["']?([^"')]+)"""
)


class Links:
    """Where the files and names of the repository stand in a book. partial : links to pages it lacks are taken off."""

    def __init__(self, book: Book, root: Path, *, partial: bool = False):
        self.root = root
        self.here = {page.address for page in book.pages} if partial else None
        self.files = {page.source: page for page in reversed(book.pages) if page.source}
        self.names = {name: page for page in book.pages for name in page.names}
        self.names |= {Path(page.source).stem: page for page in book.pages if page.source.endswith(".ipynb")}

    def rewrite(self, page: Page, body: str) -> str:
        """A page's HTML with every link into the repository led to a page, or taken off; its pictures put in."""
        body = HREF.sub(lambda match: self._link(page, match), body)
        body = IMAGE.sub(lambda match: self._image(page, match), body)
        inside, pieces = False, re.split(r"(<a [^>]*>|</a>|<pre[^>]*>|</pre>)", body)
        for place, piece in enumerate(pieces):
            if piece.startswith(("<a ", "<pre", "</a", "</pre")):
                inside = not piece.startswith("</")
            elif not inside:
                pieces[place] = CODE.sub(lambda match: self._name(page, match), piece)
        return "".join(pieces)

    def _link(self, page: Page, match: re.Match) -> str:
        href, words = match["href"], match["words"]
        if href.startswith("#"):
            return match[0].replace(href, place) if (place := _place(href[1:], page.body)) else words
        if href.startswith(AWAY):
            return match[0]
        if not page.source.endswith((".md", ".ipynb")):
            there = posixpath.normpath(posixpath.join(posixpath.dirname(page.address), href.partition("#")[0]))
            return match[0] if self.here is None or there in self.here else words
        path, _, anchor = href.partition("#")
        target = self._target(page, path)
        if target is None:
            return f'<span title="{href}">{words}</span>'
        return f'<a href="{page.root}{target.address}{_place(anchor, target.body)}">{words}</a>'

    def _target(self, page: Page, path: str) -> Page | None:
        file = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), unquote(path)))
        return self.files.get(file) or self.files.get(f"{file}/__init__.py") or self.files.get(f"{file}/README.md")

    def _image(self, page: Page, match: re.Match) -> str:
        if match["src"].startswith("data:"):
            return match[0]
        file = self.root / posixpath.normpath(posixpath.join(posixpath.dirname(page.source), unquote(match["src"])))
        if not file.is_file() or file.suffix not in KINDS:
            return '<img alt="" src="data:,"'
        coded = b64encode(file.read_bytes()).decode()
        return f'<img class="drawn" {match["rest"]}src="data:{KINDS[file.suffix]};base64,{coded}"'

    def _name(self, page: Page, match: re.Match) -> str:
        """A code word that names a notebook or a thing of the library."""
        target = self.names.get(match["name"]) or self.names.get(f"covidseg.{match['name']}")
        if target is None or target.address == page.address:
            return match[0]
        member = match["name"].rpartition(".")[2]
        return f'<a href="{page.root}{target.address}{_place(member, target.body)}">{match[0]}</a>'


def _place(anchor: str, body: str) -> str:
    """ "#id" of the place on a page that an anchor means, as GitHub writes it too (no capitals); "" for none."""
    there = {place.lower(): place for place in reversed(ID.findall(body))}
    return f"#{there[anchor.lower()]}" if anchor and anchor.lower() in there else ""


def broken(folder: Path) -> list[str]:
    """Every link of a written site that leads to no page, or to no place on it."""
    texts = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}
    places = {name: set(ID.findall(text)) for name, text in texts.items()}
    wrong = []
    for name, text in texts.items():
        for match in HREF.finditer(text):
            href = match["href"]
            if href.startswith((*AWAY, "data:")):
                continue
            path, _, anchor = unquote(href).partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            if target not in texts or (anchor and anchor not in places[target]):
                wrong.append(f"{name}: {href}")
    return wrong


def outside(folder: Path) -> list[str]:
    """Everything that a written site would fetch from elsewhere."""
    wrong = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".html", ".css", ".js"):
            text = re.sub(r"<pre.*?</pre>", "", path.read_text(encoding="utf-8"), flags=re.S)
            found = ["".join(groups) for groups in FETCHED.findall(text)]
            wrong += [f"{path.name}: {src[:80]}" for src in found if src.startswith(("http", "//", "ftp"))]
    return wrong
