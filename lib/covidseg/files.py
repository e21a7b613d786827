"""Folders that are made or refused in one line, and files of which nobody ever meets half."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from covidseg.errors import UserError
from covidseg.text import to_json

__all__ = [
    "alone",
    "make_folder",
    "new_folder",
    "read_json",
    "scratch_files",
    "write_atomically",
    "write_json",
    "write_text",
]


def make_folder(folder: str | Path) -> None:
    """Raises UserError where it cannot be made."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: this folder cannot be made ({error.strerror}).") from None


def new_folder(wish: Path) -> Path:
    """A folder that was not there, named as wished, or with -2, -3, ... behind: two runs of one second share none."""
    make_folder(wish.parent)
    for number in count(1):
        folder = wish if number == 1 else wish.with_name(f"{wish.name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"{folder}: this folder cannot be made ({error.strerror}).") from None
        return folder
    raise AssertionError("there is always a next number")


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object], *, shared: bool = False) -> Path:
    """``write(file)`` into a file beside, flushed to the disk, then renamed: a kill leaves the old file or the new.

    shared : several processes may write this file at once. Otherwise scratch files that lie beside it are of killed
        writers, and are removed: a checkpoint may have hundreds of megabytes
    Returns the path. Raises UserError where the disk is full or the folder cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")  # nobody else's, so two writers never mix
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in [] if shared else scratch_files(path):
            left.unlink(missing_ok=True)
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{path}: could not be written ({reason}).") from error
    finally:
        with suppress(OSError):  # already renamed, or never begun
            part.unlink()
    return path


@contextmanager
def alone(lock: Path, busy: str) -> Iterator[None]:
    """Hold a lock file for the block; a killed process holds nothing, and none is held where filelock is missing.

    busy : the line of the UserError where another process holds it; one is raised too where it cannot be written
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError:  # torch brings it, as a rule
        yield
        return
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise UserError(busy) from None
    except OSError as error:
        raise UserError(f"{lock.parent}: nothing can be written there ({error.strerror}).") from error
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        held.release()


def scratch_files(path: Path) -> list[Path]:
    """Files into which ``path`` is being written, or was when its writer was killed."""
    ours = re.compile(rf"\.{re.escape(path.name)}(\.[0-9a-f]+)?\.part")  # older versions: process number, or none
    return [path.with_name(name) for name in os.listdir(path.parent) if ours.fullmatch(name)]


def read_json(path: str | Path) -> Any:
    """What a JSON file holds. Raises UserError, one line, where it cannot be read or is no JSON.

    A file that is not there raises FileNotFoundError: only the caller knows what that means.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:  # also a text that is no UTF-8, a number of 5,000 digits
        raise UserError(f"{path}: is damaged, or no JSON ({error}).") from None


def write_json(path: str | Path, value: Any) -> Path:
    """`to_json` of a mapping as a file: neither a reader nor a killed run ever sees half of it."""
    return write_text(path, to_json(value) + "\n")


def write_text(path: str | Path, text: str) -> Path:
    """`write_atomically` for a text that several processes may write."""
    return write_atomically(path, lambda file: file.write(text.encode("utf-8")), shared=True)
