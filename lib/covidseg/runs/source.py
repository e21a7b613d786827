"""A hash of the source that computes a run's numbers: equal hashes, equal numbers on equal data and machine.

It covers the engine, the folder of the run's paper, the run's network with all that its file imports of rivals and
trunks, the trunks that it takes by name, and what the run takes from another paper by name. So a new rival, a new
trunk, a new paper, a picture or a command changes no other run's key. What a run is given as data (its row's options
and task, its recipe) is hashed as data, so one more row in ``paper.py`` or recipe in ``recipes.py`` changes nothing
either.
"""

import json
import re
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path

import covidseg
from covidseg import papers
from covidseg.checkout import find_checkout

__all__ = ["engine_key", "source_key", "version_of"]

PACKAGE = Path(covidseg.__file__).parent
# Modules and packages whose code decides a score whatever is run. Plots, commands, tables and prose decide none.
ENGINE = (
    "data", "inference", "losses", "metrics", "nn", "phantom", "profiling", "runs/trial", "scans/dicom",
    "scans/dicom_checks", "scans/doubts", "scans/pictures", "scans/read", "scans/stored", "scans/upright",
    "sliding_window", "training",
)  # fmt: skip
DECIDES_NOTHING = ("paper.py", "recipes.py", "diagram.py", "checks")  # of a paper's folder; the first two are data
BORROWED = re.compile(r"covidseg\.((?:zoo|backbones)(?:\.\w+)?)")
TRUNK = re.compile(r'"(\w+)": Trunk\(')  # an entry of the table TRUNKS in a trunk's file
QUOTED = re.compile(r"['\"](\w+)['\"]")


def source_key(
    model: str = "",
    variant: str = "",
    data: dict | None = None,
    borrowed: Iterable[str] = (),
    package: Path = PACKAGE,
) -> str:
    """sha256 (hex) for a row of a paper; data : further data that decide, such as the recipe's dict.

    borrowed : modules that the run uses by name, such as "papers/NAME/augment" of another paper

    Without a model it covers every paper, rival and trunk: for a notebook that is no single run.
    """
    if not model:
        everything = ("papers", "zoo", "backbones")
        return _hash(_files([*ENGINE, *everything], package), data)
    paper, row = papers.find_row(model, variant)
    own = _files([f"papers/{paper.name}"], package)
    home = papers.paper_of_network(model)  # None for a rival
    network = _files([f"papers/{home.name}" if home else f"zoo/{model}"], package)
    files = [*_files(ENGINE, package), *own, *network]
    files += _files(borrowed, package)
    options = dict(row.options)
    data = {"options": options, "task": row.task, **(data or {})}
    return _hash([*files, *_borrowed(own + network, package, options)], data)


def engine_key(package: Path = PACKAGE) -> str:
    """sha256 (hex) of the engine alone: rows of one table are compared only where it is the same."""
    return _hash(_files(ENGINE, package), None)


def version_of(record: dict) -> str:
    """The version of the engine behind a record; of versions proved equal (``results/same_numbers.json``) the first.

    Records from before there was an engine key hold one of all numeric code, which stands for it.
    """
    where = record["provenance"]
    key = where.get("engine") or where.get("source") or ""
    return _equal_keys().get(key, key)


@cache
def _equal_keys() -> dict[str, str]:
    root = find_checkout()
    path = root / "results" / "same_numbers.json" if root else None
    if path is None or not path.is_file():
        return {}
    groups = json.loads(path.read_text(encoding="utf-8"))["groups"]
    return {key: group["keys"][0] for group in groups for key in group["keys"]}


def _files(names: Iterable[str], package: Path) -> list[Path]:
    """Every module of those names that is there and decides something."""
    found = []
    for name in names:
        for file in (package / f"{name}.py", *sorted((package / name).rglob("*.py"))):
            inside = file.relative_to(package).parts
            skipped = inside[0] == "papers" and any(part in DECIDES_NOTHING for part in inside)
            if file.is_file() and not skipped:
                found.append(file)
    return found


def _borrowed(files: list[Path], package: Path, options: dict) -> list[Path]:
    """What the files import of rivals and trunks, and what that imports in turn.

    A file that imports the finder of trunks, or a rival that may hand a name on to it, takes those whose names stand in
    quotes, in it or in the row's options.
    """
    found: list[Path] = []
    waiting = list(files)
    while waiting:
        text = waiting.pop().read_text(encoding="utf-8")
        names = BORROWED.findall(text)
        if any(name == "backbones" or name.startswith("zoo") for name in names):
            named = {*QUOTED.findall(text), *QUOTED.findall(json.dumps(options))}
            names += [place for trunk, place in _trunks(package).items() if trunk in named]
        for name in names:
            place = package / name.replace(".", "/")
            file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
            if file.is_file() and file not in (*found, *files):
                found.append(file)
                waiting.append(file)
    return sorted(found)


def _trunks(package: Path) -> dict[str, str]:
    """Name of every trunk -> module that enters it; none is imported."""
    places = sorted((package / "backbones").glob("*.py"))
    return {name: f"backbones.{place.stem}" for place in places for name in TRUNK.findall(place.read_text("utf-8"))}


def _hash(files: list[Path], data: dict | None) -> str:
    digest = sha256(json.dumps(data or {}, sort_keys=True).encode())
    for file in dict.fromkeys(files):
        digest.update(_text(file))
    return digest.hexdigest()


@cache
def _text(file: Path) -> bytes:
    return file.name.encode() + b"\0" + file.read_bytes()
