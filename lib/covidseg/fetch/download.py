"""One file over HTTP: interrupted downloads go on where they stopped, several addresses are tried in turn."""

from __future__ import annotations

import errno
import http.client
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from covidseg import __version__
from covidseg.errors import UserError
from covidseg.progress import progress

CHUNK = 1 << 18
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 5  # in a row, per address, while bytes still arrive


class _Failed(Exception):
    """This address did not give the file; the next one may."""


def download(
    addresses: Sequence[str], target: Path, *, check: Callable[[Path], None] | None = None, way_out: str = ""
) -> str:
    """Fetch ``target`` from the first address that gives it; return that address.

    The bytes go to ``<target>.part``, which survives an interruption; the target appears only when whole and checked.
    check : called with the finished part; raises UserError if it is not the right file. A part that was resumed is
        fetched once more from the start before it is given up, because its beginning may be of another version
    Raises UserError, one line, naming what each address answered and ``way_out``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    answers = []
    for address in addresses:
        try:
            _fetch_checked(address, target, check)
            return address
        except _Failed as failure:
            answers.append(f"{address}: {failure}")
        except OSError as error:
            raise _about_disk(error, target) from error
    raise UserError(f"{target.name} could not be downloaded ({'; '.join(answers)}). {way_out}".rstrip())


def _fetch_checked(address: str, target: Path, check) -> None:
    part = target.with_name(target.name + ".part")
    for fresh in (False, True):
        if fresh:
            _forget(part)
        resumed = _fetch_all(address, part)
        try:
            if check is not None:
                check(part)
        except UserError as error:
            if resumed and not fresh:
                continue
            _forget(part)
            raise _Failed(str(error)) from error
        os.replace(part, target)
        _forget(part)
        return


def _fetch_all(address: str, part: Path) -> bool:
    """Fill ``part`` to its end, reconnecting while there is progress. True if old bytes were kept."""
    kept = False
    for attempt in range(1, ATTEMPTS + 1):
        before = part.stat().st_size if part.exists() else 0
        try:
            kept |= _fetch_once(address, part)
            return kept
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing beyond what we have: the part is whole, or of another version
                return True
            raise _Failed(f"answered {error.code} {error.reason}") from error
        except (urllib.error.URLError, TimeoutError, http.client.HTTPException, ConnectionError) as error:
            after = part.stat().st_size if part.exists() else 0
            if after <= before or attempt == ATTEMPTS:
                raise _Failed(_about_network(error, after)) from error
            kept = True
    return kept


def _fetch_once(address: str, part: Path) -> bool:
    note = _read_note(part)
    start = part.stat().st_size if part.exists() and note.get("address") == address else 0
    headers = {"User-Agent": f"covidseg/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if note.get("etag"):
            headers["If-Range"] = note["etag"]  # changed since? then the server sends all of the new one
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=TIMEOUT) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise _Failed("answered with a web page, not the file (moved, over quota, or behind a login)")
        resuming = answer.status == 206 and _range_start(answer) == start
        if answer.status == 206 and not resuming:
            raise _Failed("sent another part of the file than was asked for")
        length = answer.headers.get("Content-Length")
        left = int(length) if length and length.isdigit() else None
        _make_room(part.parent, left)
        etag = answer.headers.get("ETag", "")
        _write_note(part, {"address": address, "etag": "" if etag.startswith("W/") else etag})
        _stream(answer, part, "ab" if resuming else "wb", left)
    return resuming and start > 0


def _stream(answer, part: Path, mode: str, left: int | None) -> None:
    label = part.name.removesuffix(".part")
    written = 0
    with open(part, mode) as out:
        for chunk in progress(_chunks(answer), label, None if left is None else -(-left // CHUNK)):
            out.write(chunk)
            written += len(chunk)
    if left is not None and written < left:  # http.client ends a cut-off body without a word
        raise ConnectionError(f"{left - written:,} bytes are missing")


def _chunks(answer) -> Iterator[bytes]:
    while chunk := answer.read(CHUNK):
        yield chunk


def _range_start(answer) -> int | None:
    """First byte in 'Content-Range: bytes 100-199/200'."""
    value = answer.headers.get("Content-Range", "")
    start = value.removeprefix("bytes ").split("-")[0]
    return int(start) if start.isdigit() else None


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_note(part: Path) -> dict:
    try:
        note = json.loads(_note(part).read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) and all(isinstance(text, str) for text in note.values()) else {}


def _write_note(part: Path, values: dict) -> None:
    _note(part).write_text(json.dumps(values))


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _make_room(folder: Path, needed: int | None) -> None:
    free = shutil.disk_usage(folder).free
    if needed is not None and needed > free:
        raise OSError(errno.ENOSPC, f"{needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free")


def _about_disk(error: OSError, target: Path) -> UserError:
    if error.errno == errno.ENOSPC:
        return UserError(
            f"The disk of {target.parent} is full ({error.strerror}): make room or set COVIDSEG_DATA to another disk, "
            "then run the same command again; it goes on where it stopped."
        )
    return UserError(f"{target} cannot be written: {error.strerror or error}. Set COVIDSEG_DATA to a folder of yours.")


def _about_network(error: Exception, have: int) -> str:
    reason = getattr(error, "reason", None) or error
    if have:
        return f"broke off after {have:,} bytes ({reason}); the same command goes on from there"
    return f"not reachable ({reason}); is this machine offline?"
