"""One run, one worker: filelock's lease, a file with host, process and heartbeat, which outlives no crash for long.

Locks only save double work. That no result is ever mixed or half written rests on the renames in ``work``.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from covidseg.files import make_folder

SILENCE = 60.0  # seconds without a heartbeat after which a process on another machine counts as dead
BEAT = 5.0  # seconds between two heartbeats
UNWRITTEN = 60.0  # seconds after which an empty lock counts as left by a process killed while it wrote it
PASSING = re.compile(r".+-[0-9a-f]{8}\.lock\.(break|restore)\.[0-9.a-f]+")  # of filelock, for a moment


@contextmanager
def claim(path: Path, wait: float = 0.0, tired: Callable[[], bool] | None = None) -> Iterator[str | None]:
    """Hold the lock ``path`` for the block: yields None, or a phrase naming who holds it now.

    wait : seconds to wait for it. A dead process of this machine is known at once; one of another machine only to
        those who watch its lock for more than ``SILENCE``
    tired : asked meanwhile; True ends the waiting
    """
    from filelock import Timeout

    make_folder(path.parent)
    with suppress(OSError):  # filelock spares an empty lock for ever
        if path.stat().st_size == 0 and time.time() - path.stat().st_mtime > UNWRITTEN:
            path.unlink()
    lock = _lock(path)
    try:
        lock.acquire(timeout=wait + 0.2, poll_interval=0.1, cancel_check=tired)
    except Timeout:
        yield _holder(lock)
        return
    try:
        yield None
    finally:
        lock.release()


def _lock(path: Path) -> Any:
    try:
        from filelock import SoftFileLease
    except ImportError:  # older, as some torch brought it to a bare machine: good for that machine alone
        from filelock import FileLock

        return FileLock(path)
    return SoftFileLease(path, lease_duration=SILENCE, heartbeat_interval=BEAT)


def _holder(lock: Any) -> str:
    owner = getattr(lock, "owner", None)
    return f"process {owner.pid} on {owner.hostname.partition('?')[0]}" if owner else "another process"
