"""Errors meant for the person at the keyboard: one line that names the value and the way out."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can mend. The command line prints the message alone and exits with 1."""


class UnknownName(UserError, LookupError):
    """A misspelt model, dataset, fold, option or parameter."""


def unknown_name(kind: str, name: object, known: Iterable[object]) -> UnknownName:
    """The error for a wrong name, with the nearest right one.

    >>> str(unknown_name("colour", "gren", ["red", "green"]))
    "No colour is called 'gren'. Did you mean 'green'? Known: green, red."
    """
    names = sorted(str(k) for k in known)
    plain = {n.lower(): n for n in names}
    near = get_close_matches(str(name).lower(), plain, n=1)
    hint = f" Did you mean {plain[near[0]]!r}?" if near else ""
    comma = "; " if any("," in n for n in names) else ", "
    return UnknownName(f"No {kind} is called {str(name)!r}.{hint} Known: {comma.join(names)}.")


def at_least_one(**counts: int | None) -> None:
    """UserError for a count below 1; None is no count."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise UserError(f"{name}={count} must be 1 or more.")
