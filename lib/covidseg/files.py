"""Writing a file so that nobody ever meets half of it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from covidseg.errors import UserError

__all__ = ["write_atomically", "write_text"]


def write_atomically(path, write: Callable[[BinaryIO], object], *, shared: bool = False) -> Path:
    """``write(file)`` into a file beside, flushed to the disk, then renamed: a kill leaves the old file or the new.

    shared : several processes may write this file at once, so each takes a scratch file of its own. Otherwise the
        scratch file has one name, and what a killed process left is overwritten by the next.
    Returns the path. Raises UserError where the disk is full or the folder cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part" if shared else f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{path}: could not be written ({reason}).") from error
    return path


def write_text(path, text: str) -> Path:
    """`write_atomically` for a text that several processes may write."""
    return write_atomically(path, lambda file: file.write(text.encode("utf-8")), shared=True)
