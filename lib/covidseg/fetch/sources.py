"""Get a file of the catalogue: from a mirror folder, from an earlier download, or from the net; always verified.

A mirror (``COVIDSEG_MIRROR`` or ``--mirror``) is a folder laid out like data/raw: that is how a classroom without
internet works. Its files are used in place unless a copy is asked for.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from hashlib import file_digest
from pathlib import Path

from covidseg.checkout import checkout
from covidseg.errors import UserError
from covidseg.fetch import catalog
from covidseg.fetch.archive import safe_extract
from covidseg.fetch.catalog import RemoteFile, Source
from covidseg.fetch.download import download
from covidseg.files import read_json, write_text

RECORD = "record.json"


def data_home() -> Path:
    """Where data live: ``COVIDSEG_DATA``, else data/ of the checkout."""
    if os.environ.get("COVIDSEG_DATA"):
        return Path(os.environ["COVIDSEG_DATA"]).expanduser().resolve()
    return checkout() / "data"


def mirror_dir(mirror: str | Path | None = None) -> Path | None:
    """The mirror folder given, or named by ``COVIDSEG_MIRROR``, or None. Raises UserError if it does not exist."""
    named = mirror or os.environ.get("COVIDSEG_MIRROR")
    if not named:
        return None
    path = Path(named).expanduser().resolve()
    if not path.is_dir():
        origin = "--mirror" if mirror else "COVIDSEG_MIRROR"
        raise UserError(f"{origin} names {named}, which is not a folder.")
    return path


def roots(folder: str, mirror: str | Path | None = None) -> list[Path]:
    """Folders in which the files of a set may lie, in the order they are looked at: mirror, then data/raw."""
    places = [data_home() / "raw" / folder]
    if where := mirror_dir(mirror):
        places.insert(0, where / folder)
    return [place for place in places if place.is_dir()]


def present(source: Source, mirror: str | Path | None = None) -> Path | None:
    """The folder in which something of a source lies, or None. Sources that share a folder are told apart."""
    for root in roots(source.folder, mirror):
        parts = [root / (file.unpack or file.path) for file in source.files]
        if not parts or any(part.is_file() or _has_files(part) for part in parts):
            return root
    return None


def fetch_file(set_name: str, relative: str, mirror: str | Path | None = None) -> Path:
    """Path of one verified file of a source: from the mirror, else data/raw, else downloaded.

    >>> fetch_file("p9", "rp_im/1.nii.gz")                                                # doctest: +SKIP
    Raises UserError, one line, when it is nowhere to be had or has the wrong checksum.
    """
    source = catalog.source(set_name)
    file = source.file(relative)
    for root in roots(source.folder, mirror):
        if (root / relative).is_file():
            verify(root / relative, file, _recorded(root, relative))
            return root / relative
    return _download(source, file)


def fetch(
    name: str, mirror: str | Path | None = None, *, copy: bool = False, echo: Callable[[str], None] = lambda line: None
) -> Path:
    """Get every file of source ``name``, unpack the archives, and return the folder that holds the set.

    copy : copy a mirror's files to data/raw instead of using them where they are
    echo : called with what is worth telling: licence, citation, each file
    """
    source = catalog.source(name)
    echo(f"{source.title}\nLicence: {source.licence}\nCite: {source.citation}")
    if (place := mirror_dir(mirror)) and (place / source.folder).is_dir():
        if not copy and not _archives_to_unpack(source, place / source.folder):
            _verify_present(source, place / source.folder, echo)
            echo(f"Used in place: {place / source.folder}")
            return place / source.folder
        _copy_from_mirror(source, place / source.folder, echo)
    elif source.manual and not roots(source.folder, mirror):
        raise UserError(f"{name} cannot be fetched by a program. {source.steps} Page: {source.home}")
    raw = data_home() / "raw" / source.folder
    for file in source.files:
        if file.unpack and _has_files(raw / file.unpack):
            echo(f"{file.unpack}/ is there")
            continue
        if not (raw / file.path).is_file():
            _download(source, file)
        _checked(raw, file, echo)
        if file.unpack:
            written = safe_extract(raw / file.path, raw / file.unpack, only=file.only)
            echo(f"{file.path}: {len(written)} files unpacked to {file.unpack}/")
    return raw


def verify(path: Path, file: RemoteFile, recorded: dict | None = None) -> str:
    """Compare a file with the catalogue, or with what was recorded at the first download.

    Returns a word on what it was compared with. Raises UserError naming expected and found value and the way out.
    """
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        raise _mismatch(path, "size", f"{file.size:,} bytes", f"{size:,} bytes")
    digest = sha256_of(path)
    if file.sha256 is not None and digest != file.sha256:
        raise _mismatch(path, "sha256", file.sha256, digest)
    if file.sha256_prefix is not None and not digest.startswith(file.sha256_prefix):
        raise _mismatch(path, "start of sha256", file.sha256_prefix, digest[: len(file.sha256_prefix)])
    if file.sha256 or file.sha256_prefix:
        return "sha256 as in the catalogue"
    if recorded is None:
        return "no checksum is known"
    if digest != recorded["sha256"]:
        raise _mismatch(path, f"sha256 recorded on {recorded['date']}", recorded["sha256"], digest)
    return f"sha256 as recorded on {recorded['date']}"


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    try:
        with open(path, "rb") as handle:
            return file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error


def _download(source: Source, file: RemoteFile) -> Path:
    from filelock import FileLock  # several workers may want the same weights at once

    target = data_home() / "raw" / source.folder / file.path
    way_out = (
        f"Get it by hand from {source.home} and put it at {target}, or set COVIDSEG_MIRROR to a folder with "
        f"{source.folder}/{file.path}."
    )
    if source.steps:
        way_out += f" {source.steps}"
    if not file.addresses:
        raise UserError(f"{file.path} of {source.name} has no address. {way_out}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{target.parent} cannot be made ({error.strerror}): set COVIDSEG_DATA to a folder of yours."
        ) from error
    lock = Path(f"{target}.lock")
    try:
        with FileLock(lock):
            if not target.is_file():
                _download_locked(source, file, target, way_out)
    finally:
        lock.unlink(missing_ok=True)
    return target


def _download_locked(source: Source, file: RemoteFile, target: Path, way_out: str) -> None:
    root = data_home() / "raw" / source.folder
    recorded = _recorded(root, file.path)
    origin = download(file.addresses, target, check=lambda part: verify(part, file, recorded), way_out=way_out)
    if recorded is None:
        _record(target, file, root, origin)


def _record(path: Path, file: RemoteFile, root: Path, origin: str) -> None:
    """Remember size and sha256 of a first download: later ones are compared with it."""
    records = _records(root)
    entry = {"size": path.stat().st_size, "sha256": sha256_of(path), "from": origin, "date": date.today().isoformat()}
    write_text(root / RECORD, json.dumps({**records, file.path: entry}, indent=1, sort_keys=True) + "\n")


def _records(root: Path) -> dict:
    way_out = "delete it to record the checksums anew"
    try:
        records = read_json(root / RECORD)
    except FileNotFoundError:
        return {}
    except UserError as error:
        raise UserError(f"{str(error).rstrip('.')}: {way_out}.") from error
    entries = records.values() if isinstance(records, dict) else [None]
    if not all(isinstance(e, dict) and {"sha256", "date"} <= e.keys() for e in entries):
        raise UserError(f"{root / RECORD} holds more than checksums: {way_out}.")
    return records


def _recorded(root: Path, relative: str) -> dict | None:
    return _records(root).get(relative)


def _checked(root: Path, file: RemoteFile, echo) -> None:
    path = root / file.path
    recorded = _recorded(root, file.path)
    verdict = verify(path, file, recorded)
    if recorded is None:
        _record(path, file, root, "found here")
        if verdict == "no checksum is known":
            verdict = "no checksum is known; size and sha256 recorded now, later downloads are compared with them"
    echo(f"{file.path}: {path.stat().st_size:,} bytes, {verdict}")


def _verify_present(source: Source, root: Path, echo) -> None:
    """Check what a mirror has of a source; a mirror may hold only part of it."""
    absent = 0
    for file in source.files:
        if (root / file.path).is_file():
            echo(f"{file.path}: {verify(root / file.path, file)}")
        elif not (file.unpack and _has_files(root / file.unpack)):
            echo(f"{file.path}: not in the mirror")
            absent += 1
    if source.files and absent == len(source.files):
        raise UserError(f"The mirror's {root} holds nothing of {source.name}: unset COVIDSEG_MIRROR to download it.")


def _archives_to_unpack(source: Source, root: Path) -> Sequence[RemoteFile]:
    return [f for f in source.files if f.unpack and (root / f.path).is_file() and not _has_files(root / f.unpack)]


def _copy_from_mirror(source: Source, place: Path, echo) -> None:
    """Copy what the mirror has of a source to data/raw, verified; a manual source is copied whole."""
    raw = data_home() / "raw" / source.folder
    for file in source.files:
        for relative in (file.path, file.unpack):
            if relative and (place / relative).exists() and not (raw / relative).exists():
                if relative == file.path:
                    verify(place / relative, file)
                _copy(place / relative, raw / relative)
                echo(f"{relative}: copied from {place}")
    extras = place.iterdir() if source.manual else place.glob("*.csv")  # what belongs to the set but is not in the list
    for extra in extras:
        if not (raw / extra.name).exists():
            _copy(extra, raw / extra.name)


def _copy(origin: Path, target: Path) -> None:
    scratch = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
        if origin.is_dir():
            shutil.copytree(origin, scratch, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(origin, scratch)
        os.replace(scratch, target)
    except OSError as error:  # copytree's own error has a list in place of a reason
        reason = error.strerror or "not all of its files could be"
        raise UserError(f"{origin} cannot be copied to {target} ({reason}): make room or set COVIDSEG_DATA.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):
            scratch.unlink()


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(p.is_file() for p in folder.rglob("*"))


def _mismatch(path: Path, what: str, expected: str, found: str) -> UserError:
    known = "recorded at the first download" if "recorded" in what else "in the catalogue"
    done = "the download was thrown away" if path.suffix == ".part" else f"delete {path} and fetch again"
    return UserError(
        f"{path.name.removesuffix('.part')} is not the file {known}: {what}, expected {expected}, found {found}. "
        f"It was damaged on the way or changed at its source: {done}."
    )
