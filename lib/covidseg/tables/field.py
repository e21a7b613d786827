"""The networks as a field: family, year and one idea of each, and what its benchmark build counts.

A network's card comes first; the words here stand in where it says nothing. A network that nobody has sorted yet is
light by its size, or stands among the others: nothing has to be listed for a new one to appear.
"""

import re
from functools import cache
from importlib import import_module

import torch

from covidseg import papers, zoo
from covidseg.errors import UnknownName
from covidseg.nn import Card, card, create_model, list_models
from covidseg.nn.layers import input_channels
from covidseg.profiling import Profile, profile_model
from covidseg.zoo._families import FAMILIES, IDEAS

__all__ = [
    "CONFIGS",
    "FAMILIES",
    "REFERENCE",
    "as_markdown",
    "build",
    "count",
    "family",
    "field",
    "idea",
    "names",
    "year",
]

CONFIGS = ("paper", "released")  # of the benchmark: what Table 5 counts, what was trained for Table 6
REFERENCE = papers.NAMES[0]  # the network that all others are held against
LIGHT = 5_000_000  # parameters
YEAR = re.compile(r"\b(?:19|20)\d\d\b")
NO_IDEA = re.compile(r"Table|config|paramet|prints")  # a note with these is about numbers


def family(name: str) -> str:
    """Its family: one of FAMILIES."""
    known = next((title for title, one in FAMILIES.items() if name in one.names.split()), "")
    return known or ("light by design" if card(name).params < LIGHT else "others")


def year(name: str) -> int | None:
    """When it was published, by its card."""
    found = YEAR.search(card(name).paper)
    return int(found.group()) if found else None


def idea(name: str) -> str:
    """Its one idea in a sentence: the card's note "idea: ...", else a sentence of IDEAS, else its file's head."""
    marked = [note.removeprefix("idea: ") for note in card(name).notes if note.startswith("idea: ")]
    first = [note for note in card(name).notes[:1] if not NO_IDEA.search(note)]
    kin = [text for key, text in IDEAS.items() if name == key or name.startswith(f"{key}_")]
    return next(iter([*marked, *kin, *first, _title(name)]))


def _title(name: str) -> str:
    """The first line of its file, without the name and the citation."""
    home = papers.paper_of_network(name)
    module = import_module(f"covidseg.papers.{home.name}.network" if home else f"covidseg.zoo.{name}")
    line = (module.__doc__ or name).strip().splitlines()[0]
    return line.split(": ", 1)[-1].split(" (")[0].rstrip(".")


def names(pattern: str = "*") -> list[str]:
    """Names of the 2-D networks that match, the reference first. One that cannot be imported is among them."""
    found = list_models(pattern)
    return sorted((name for name in found if _dimensions(name) == 2), key=lambda name: name != REFERENCE)


def _dimensions(name: str) -> int:
    try:
        return card(name).dimensions
    except Exception:  # whoever measures it says why
        return 2


def field(pattern: str = "*") -> list[Card]:
    """Cards of all 2-D networks that match, by family, then by year."""
    order = list(FAMILIES)
    cards = [card(name) for name in names(pattern)]
    return sorted(cards, key=lambda c: (order.index(family(c.name)), year(c.name) or 0, c.name))


def build(name: str, config: str = "") -> tuple[torch.nn.Module, str]:
    """The network as the benchmark has it ("paper" or "released"), and the name of the build: "own" where it has
    no such build, or none is asked for. Raises UnknownName for a network that does not exist."""
    card(name)
    if config and name in zoo.names():
        try:
            return create_model(name, config=config), config
        except (UnknownName, TypeError):  # no such build, no builds at all
            pass
    return create_model(name), "own"


@cache
def count(name: str, config: str = "", side: int = 512) -> Profile:
    """Parameters and MACs of that build on a square image; nothing is computed."""
    with torch.device("meta"):
        network = build(name, config)[0]
    return profile_model(network, (input_channels(network), side, side))


def as_markdown(config: str = "paper") -> str:
    """The field by family: what to look at, then a line for each network: year, idea, parameters, GMAC at 512 x 512."""
    lines, cards = [], field()
    for title, one in FAMILIES.items():
        members = [c.name for c in cards if family(c.name) == title]
        if members:
            lines += [f"\n**{title}.** Look at {one.look}.\n", "| network | year | its one idea | parameters | GMAC |"]
            lines += ["|---|---|---|---:|---:|", *(_line(name, config) for name in members)]
    return "\n".join(lines).strip()


def _line(name: str, config: str) -> str:
    counted = count(name, config)
    return f"| `{name}` | {year(name)} | {idea(name)} | {counted.params:,} | {counted.macs / 1e9:.2f} |"
