"""What may import what in ``lib/covidseg``: its rooms on their floors, and what the code really imports.

A room imports rooms of its own floor and of those below. `make house` draws the picture, tests/test_house.py tests it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "lib" / "covidseg"
PAPERS = sorted(path.parent.name for path in PACKAGE.glob("papers/*/__init__.py"))

FLOORS = (  # from the ground up: what the picture says of a floor, and who lives there, from left to right
    (
        "everybody may use these: no arrows",
        (
            "checkout",
            "errors",
            "files",
            "processes",
            "progress",
            "provenance",
            "repeatable",
            "text",
            "device",
            "runs.record",
        ),
    ),
    ("what a paper declares", ("paper",)),
    ("losses, scores, phantoms, downloads", ("losses", "metrics", "phantom", "fetch")),
    ("layers, cases, scans on disk", ("nn", "data", "scans")),
    ("trunks of large networks, fast copies", ("backbones", "fast")),
    (
        "rivals; train, predict, look inside",
        ("zoo", "training", "inference", "ensemble", "sliding_window", "attention", "profiling", "speed", "roofline"),
    ),
    ("a folder for each paper: start here", ("papers",)),
    ("pictures and sliders", ("show", *(f"papers.{paper}.diagram" for paper in PAPERS))),
    (
        "a scan in, its mask out",
        (
            *("lungs", "scans.segment", "scans.findings", "scans.outputs"),
            *("scans.severity", "scans.truth", "scans.panels", "scans.sheet", "scans.page"),
        ),
    ),
    ("what the notebooks stand on", ("lesson", "lessons", "explore", *(f"papers.{paper}.checks" for paper in PAPERS))),
    ("one run and its record, many runs", ("runs",)),
    ("the papers' numbers beside ours", ("tables",)),
    ("all of it as a book", ("site",)),
    ("the command line", ("cli",)),
)
LEVELS = [set(names) for _, names in FLOORS]
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}
PREDICT = "scans.segment"  # the part of scans that lives on a floor of its own, and is drawn there

# ------------------------------------------------------------------------------------------------ reading the code


def home(module: str) -> str:
    """The longest name in LEVEL to which a module belongs: "training" for "training.loop"."""
    fits = [name for name in LEVEL if module == name or module.startswith((f"{name}.", f"{name}_"))]
    if not fits:
        raise KeyError(f"{module} has no floor: add it to FLOORS in tools/levels.py")
    return max(fits, key=len)


def room(module: str) -> str:
    """The box in which a module is counted."""
    return PREDICT if home(module).startswith("scans.") else module.split(".")[0]


def modules(package: Path) -> dict[str, Path]:
    """Name without "covidseg." -> file, without the package's own ``__init__``."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in found.items() if name}


def imports(path: Path) -> set[str]:
    """What a file imports of covidseg, also inside functions: "data.case.Case" for ``from covidseg.data.case ...``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("covidseg.") for name in found if name.startswith("covidseg.")}


@dataclass(frozen=True)
class House:
    """lines, floor : of each room; papers : lines of each; imports : room -> rooms, those of the ground left out."""

    lines: dict[str, int]
    floor: dict[str, int]
    papers: dict[str, int]
    imports: dict[str, set[str]]


def look(package: Path = PACKAGE) -> House:
    """The house as its code is. What lives on another floor than its room, such as a paper's drawing, adds no arrow."""
    found = modules(package)
    lines, floor, papers = defaultdict(int), {}, defaultdict(int)
    for name, path in found.items():
        here, many = room(name), len(path.read_text(encoding="utf-8").splitlines())
        lines[here] += many
        floor[here] = LEVEL[home(here)]
        if name.startswith("papers."):
            papers[name.split(".")[1]] += many
    arrows = {name: set() for name in floor}
    for name, path in found.items():
        if LEVEL[home(name)] == floor[room(name)]:
            known = {room(n) for n in imports(path) if n.split(".")[0] in floor and LEVEL[home(n)]}
            arrows[room(name)] |= known - {room(name)}
    return House(dict(lines), floor, dict(papers), arrows)


def direct(imports: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows worth drawing: one from a to c is left out where a imports b and b leads to c."""
    return [
        (a, c) for a, them in imports.items() for c in them if not any(c in _reach(imports, b, a) for b in them - {c})
    ]


def _reach(imports, begin: str, but: str) -> set[str]:
    """All rooms that one room leads to, without passing through another."""
    seen, waiting = set(), [begin]
    while waiting:
        more = imports[waiting.pop()] - seen - {but}
        seen |= more
        waiting += more
    return seen
