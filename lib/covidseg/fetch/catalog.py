"""data/catalog.yaml as objects: what can be had, from where, under which licence, with which checksum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from covidseg.checkout import checkout
from covidseg.errors import UserError, unknown_name


@dataclass(frozen=True)
class RemoteFile:
    """One file of a source. path : under the source's folder; addresses : full, tried in turn."""

    path: str
    addresses: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None
    unpack: str | None = None  # folder the archive goes to
    only: str | None = None  # part of the archive that is wanted


@dataclass(frozen=True)
class Source:
    """One entry of the catalogue. annotators, overlaps : for its card, in sentences; "" where nothing is known."""

    name: str
    title: str
    kind: str
    folder: str
    licence: str
    citation: str
    home: str
    layout: str
    files: tuple[RemoteFile, ...]
    manual: bool = False
    steps: str = ""
    annotators: str = ""
    overlaps: str = ""

    def file(self, path: str) -> RemoteFile:
        """The file of that path; raises UnknownName with the nearest one."""
        for file in self.files:
            if file.path == path:
                return file
        raise unknown_name(f"file of {self.name}", path, (f.path for f in self.files))


def data_file(relative: str) -> Path:
    """A small file of the checkout's data/ folder."""
    path = checkout() / "data" / relative
    if not path.is_file():
        raise UserError(f"covidseg's own file data/{relative} is missing: `git checkout data` brings it back.")
    return path


@cache
def sources() -> dict[str, Source]:
    """Name -> Source, in the catalogue's order."""
    return {name: _source(name, dict(entry)) for name, entry in _catalogue()["sources"].items()}


def source(name: str) -> Source:
    """The source of that name; raises UnknownName with the nearest one."""
    if name not in sources():
        raise unknown_name("data source", name, sources())
    return sources()[name]


def last_checked() -> str:
    """Day on which the addresses were last looked over, ISO."""
    return str(_catalogue()["last_checked"])


@cache
def _catalogue() -> dict:
    try:
        import yaml
    except ImportError:  # a bare GPU machine: prepared sets are read without the catalogue
        raise UserError("The catalogue of data sets needs PyYAML, which is not installed here.") from None
    return yaml.safe_load(data_file("catalog.yaml").read_text(encoding="utf-8"))


def _source(name: str, entry: dict) -> Source:
    shared = entry.pop("addresses", [])
    files = tuple(_remote_file(dict(file), shared) for file in entry.pop("files"))
    return Source(name=name, files=files, **entry)


def _remote_file(entry: dict, shared: list[str]) -> RemoteFile:
    templates = entry.pop("addresses", shared)
    names = dict(path=entry["path"], name=PurePosixPath(entry["path"]).name, id=entry.pop("id", ""))
    return RemoteFile(addresses=tuple(t.format(**names) for t in templates), **entry)
