"""The glossary, docs/glossary.md, and links from the pages to its terms."""

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

__all__ = ["Term", "link_terms", "read_terms"]

HEADING = re.compile(r"^### (?P<name>.+?)\n(?:Also: (?P<also>.+?)\.?\n)?", re.M)
TAG = re.compile(r"(<[^>]+>)")
SHUT = ("a", "code", "pre", "h1", "h2", "h3", "h4", "summary", "th", "button", "dt")  # no term is linked inside


@dataclass(frozen=True)
class Term:
    """name : as its heading has it; words : what stands for it in a text, the name first."""

    name: str
    words: tuple[str, ...]

    @property
    def anchor(self) -> str:
        """As Markdown's heading gets it."""
        return self.name.replace(" ", "-")


def read_terms(path: Path) -> list[Term]:
    """The terms of the glossary: a heading ### each, and below it perhaps a line "Also: a, b."."""
    found = []
    for match in HEADING.finditer(path.read_text(encoding="utf-8")):
        also = [word.strip() for word in (match["also"] or "").split(",") if word.strip()]
        found.append(Term(match["name"].strip(), (match["name"].strip(), *also)))
    return found


def pattern(term: Term) -> re.Pattern:
    """Finds a term in a text, in the plural too; short ones in capitals only as they are written."""
    words = "|".join(sorted(map(_word, term.words), key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])")


def _word(word: str) -> str:
    letters = re.escape(word)
    if word.isupper() or len(word) < 4:
        return letters
    first = word[0]
    return f"[{first.upper()}{first.lower()}]{re.escape(word[1:])}s?" if first.isalpha() else f"{letters}s?"


def link_terms(body: str, terms: list[Term], address: str) -> str:
    """The HTML with the first occurrence of each term in running text as a link to ``address#term``."""
    waiting = {term: pattern(term) for term in terms}
    pieces, shut = TAG.split(body), []
    for place, piece in enumerate(pieces):
        if piece.startswith("<") and piece.endswith(">"):
            _follow(piece, shut)
        elif piece.strip() and not shut:
            pieces[place] = _linked(piece, waiting, address)
    return "".join(pieces)


def _follow(tag: str, shut: list[str]) -> None:
    """Keep account of the elements in which nothing is linked."""
    name = re.match(r"</?\s*([a-zA-Z0-9]+)", tag)
    if name is None or name[1].lower() not in SHUT:
        return
    if tag.startswith("</"):
        if shut and shut[-1] == name[1].lower():
            shut.pop()
    elif not tag.endswith("/>"):
        shut.append(name[1].lower())


def _linked(text: str, waiting: dict[Term, re.Pattern], address: str) -> str:
    """One piece of text with its links; terms that got theirs no longer wait. Links never overlap."""
    hits = [(match.start(), -match.end(), term) for term, words in waiting.items() for match in words.finditer(text)]
    made, at = [], 0
    for begin, end, term in sorted(hits, key=lambda hit: hit[:2]):  # of two that begin together the longer
        if begin >= at and term in waiting:
            link = f'<a class="term" href="{address}#{escape(term.anchor)}">{text[begin:-end]}</a>'
            made += [text[at:begin], link]
            at = -end
            del waiting[term]
    return "".join([*made, text[at:]])
