"""One run, one worker: a lock file with host, process and heartbeat, which outlives no crash for long.

Locks only save double work. That no result is ever mixed or half written rests on the renames in ``work``.
"""

import json
import os
import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

BEAT = 5.0  # seconds between two heartbeats
SILENCE = 60.0  # seconds without one after which a process on another machine counts as dead
UNWRITTEN = 5.0  # seconds after which an empty lock counts as left by a process killed while it wrote it


@contextmanager
def claim(path: Path):
    """Hold the lock ``path`` for the block: yields None, or a phrase naming who holds it now."""
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid()), "id": uuid4().hex}
    holder = _take(path, mine)
    if holder:
        yield holder
        return
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, ended), daemon=True)
    beat.start()
    try:
        yield None
    finally:
        ended.set()
        beat.join()
        if _read(path).get("id") == mine["id"]:
            path.unlink(missing_ok=True)


def _take(path: Path, mine: dict) -> str | None:
    """Create the lock. Returns None, or who holds it."""
    for _ in range(10):
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            if holder := holder_of(path):
                return holder
            _bury(path)
            continue
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(mine, file)
        return None
    return "another process that came first every time"


def _bury(path: Path) -> None:
    """Take a dead process's lock away. Of two that try, one succeeds; if it caught a new lock, it puts it back."""
    grave = path.with_name(f"{path.name}.{uuid4().hex}")
    with suppress(FileNotFoundError):
        os.rename(path, grave)
        if holder_of(grave):
            with suppress(OSError):
                os.link(grave, path)
        grave.unlink()


def holder_of(path: Path) -> str | None:
    """Who holds the lock, as a phrase; None if nobody does or that process is dead."""
    silent = _age(path)
    if silent is None:
        return None
    held = _read(path)
    if not held:
        return "a process that is just starting" if silent < UNWRITTEN else None
    phrase = f"process {held['pid']} on {held['host']}"
    if held["host"] == socket.gethostname():
        return phrase if _born(held["pid"]) == held["born"] else None
    return phrase if silent < SILENCE else None


def _age(path: Path) -> float | None:
    """Seconds since the last heartbeat, by the clock of the disk: a file server's may differ from ours."""
    probe = path.with_name(f".clock.{uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return None
    finally:
        probe.unlink(missing_ok=True)


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _born(pid: int) -> float | None:
    """When a process started, None if it is not there: numbers of processes are given out again."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with suppress(OSError):
            os.utime(path)
