"""Examples in help texts that name a paper, without any command knowing one."""

from collections.abc import Callable

from covidseg.papers import NAMES

__all__ = ["FIRST", "with_examples"]

FIRST = NAMES[0]  # the first paper; its main network has the same name


def with_examples(command: Callable) -> Callable:
    """The command, its help with the first paper where the text says PAPER."""
    command.__doc__ = (command.__doc__ or "").replace("PAPER", FIRST)
    return command
