"""Ctrl-C between two steps, never inside one."""

import signal
import threading
from typing import Self

__all__ = ["Interrupt"]


class Interrupt:
    """Ctrl-C is noted, and obeyed between two steps, where everything is whole. A second one works at once."""

    came = False

    def __enter__(self) -> Self:
        self.in_charge = threading.current_thread() is threading.main_thread()
        if self.in_charge:
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self.in_charge:
            signal.signal(signal.SIGINT, self.before)

    def _note(self, *_: object) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True

    def obey(self) -> None:
        if self.came:
            raise KeyboardInterrupt
