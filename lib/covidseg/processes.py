"""A child process ends when nobody waits for it any more."""

import os
from collections.abc import Callable
from threading import Event, Thread

__all__ = ["end_with"]

LOOK = 0.5  # seconds between two looks at the parent


def end_with(parent: int, end: Callable[[], object], asked: Event | None = None) -> None:
    """Call ``end``, in a thread, once process ``parent`` is no longer ours (killed, say), or ``asked`` is set."""
    asked = asked or Event()

    def watch():
        while os.getppid() == parent and not asked.wait(LOOK):
            pass
        end()

    Thread(target=watch, daemon=True).start()
