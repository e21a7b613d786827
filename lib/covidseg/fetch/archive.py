"""Unpack a zip or tar archive that a stranger made: nothing may land outside the target, nothing may explode."""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from covidseg.errors import UserError

MAX_BYTES = 64 << 30  # twice the largest set (MosMedData, 33 GB)
MAX_MEMBERS = 200_000
MAX_RATIO = 200  # unpacked : packed, looked at only above BOMB_FLOOR: an empty mask packs a thousandfold, honestly
BOMB_FLOOR = 4 << 30


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    kind: str  # "file", "folder", or what is refused: "link", "device"
    handle: object


def safe_extract(archive: Path, target: Path, *, only: str | None = None, max_bytes: int = MAX_BYTES) -> list[Path]:
    """Unpack ``archive`` into the folder ``target``; return the files written, sorted.

    only : unpack this folder of the archive alone, without its own name in front
    Every member is looked at before the first is written. Refused, with one line naming the member: paths that leave
    the target, absolute paths, links and devices, and archives that would unpack to more than ``max_bytes`` or to
    more than 200 times their size. The files appear in the target only after all of them were unpacked.
    """
    archive, target = Path(archive), Path(target)
    scratch = target.with_name(target.name + ".unpacking")
    try:
        with _open(archive) as (members, read):
            wanted = _plan(archive, members, only, max_bytes, target.name)
            shutil.rmtree(scratch, ignore_errors=True)
            for member, name in wanted:
                _write(read(member), scratch / name, member.size)
            scratch.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM):
            reason = f"{archive} cannot be unpacked to {target} ({error.strerror})"
            raise UserError(f"{reason}: make room, or set COVIDSEG_DATA to another folder.") from error
        raise _damaged(archive, error) from error
    except _DAMAGE as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise _damaged(archive, error) from error
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return _move_into(scratch, target)


# what zipfile and tarfile raise for damaged bytes; RuntimeError: they look encrypted, ValueError: no such name
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError,
    ValueError,
)  # fmt: skip


def _damaged(archive: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"{archive} is damaged or no zip/tar archive ({reason}): delete it and fetch again.")


@contextmanager
def _open(archive: Path) -> Iterator[tuple[list[_Member], object]]:
    """The members of a zip or tar file and a function that opens one for reading."""
    if not archive.is_file():
        raise UserError(f"{archive} does not exist.")
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as z:
            members = [_Member(i.filename, i.file_size, _zip_kind(i), i) for i in z.infolist()]
            yield members, lambda member: z.open(member.handle)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as t:
            members = [_Member(i.name, i.size, _tar_kind(i), i) for i in t]
            yield members, lambda member: t.extractfile(member.handle)
    else:
        raise UserError(f"{archive} is not a zip or tar archive: delete it and fetch again.")


def _zip_kind(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "link"
    if info.is_dir():
        return "folder"
    return "file" if not mode or stat.S_ISREG(mode) or not stat.S_IFMT(mode) else "device"


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "folder"
    if info.issym() or info.islnk():
        return "link"
    return "file" if info.isreg() else "device"


def _plan(archive, members, only, max_bytes, own_name) -> list[tuple[_Member, PurePosixPath]]:
    """Which members are written where; raises before anything is written."""
    if len(members) > MAX_MEMBERS:
        raise UserError(f"{archive} holds {len(members):,} members: refused as a bomb.")
    paths = [(member, _checked_path(archive, member)) for member in members]
    files = [(m, p) for m, p in paths if m.kind == "file" and not _is_litter(p)]
    _refuse_bomb(archive, sum(member.size for member, _ in files), max_bytes)
    if only is not None:
        files = [(m, p.relative_to(only)) for m, p in files if p.is_relative_to(only)]
        if not files:
            raise UserError(f"{archive} has no folder {only}: it is not the archive the catalogue describes.")
    elif files and all(p.parts[0] == own_name and len(p.parts) > 1 for _, p in files):
        files = [(m, PurePosixPath(*p.parts[1:])) for m, p in files]  # a folder of the target's name inside the target
    return files


def _refuse_bomb(archive: Path, total: int, max_bytes: int) -> None:
    """An honest mask may be packed a thousandfold, so a small archive is judged by its size alone."""
    packed = max(1, archive.stat().st_size)
    if total > max_bytes or (total > BOMB_FLOOR and total > MAX_RATIO * packed):
        raise UserError(
            f"{archive} ({packed:,} bytes) would unpack to {total:,} bytes: refused as a bomb, nothing was written."
        )


def _checked_path(archive: Path, member: _Member) -> PurePosixPath:
    name = member.name.replace("\\", "/")
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name
    if outside or not path.parts and member.kind == "file":
        raise UserError(f"{archive} holds {member.name!r}, a path outside the target: refused, nothing was written.")
    if member.kind in ("link", "device"):
        raise UserError(f"{archive} holds {member.name!r}, a {member.kind}: refused, nothing was written.")
    return path


def _is_litter(path: PurePosixPath) -> bool:
    """What a Mac adds to every archive."""
    return "__MACOSX" in path.parts or path.name == ".DS_Store" or path.name.startswith("._")


def _write(source: IO[bytes], path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    left = size  # what the archive's table promised, and was counted; a member that lies is cut off
    with source, open(path, "xb") as out:
        while chunk := source.read(min(1 << 20, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise UserError(f"{path.name} unpacks to more than its archive says: refused as a bomb.")
            out.write(chunk)


def _move_into(scratch: Path, target: Path) -> list[Path]:
    """Rename when the target is new, else file by file over what is there."""
    files = sorted(p.relative_to(scratch) for p in scratch.rglob("*") if p.is_file())
    if not target.exists():
        os.replace(scratch, target)
    else:
        for file in files:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(scratch / file, target / file)
        shutil.rmtree(scratch)
    return [target / file for file in files]
