"""Where networks fail, read from records, which hold a line for every case: no picture is needed to find them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

__all__ = ["KINDS", "Failure", "failures", "kind_of", "shared_failures"]

SMALL = 25  # percent: a lesion is small if three quarters of the slices have more infection
MISSED = 0.1  # share of the infection that was found, at most
KINDS = {
    "small lesion missed": "among the quarter of slices with least infection; at most a tenth of it was found",
    "large lesion missed": "more infection than those, and at most a tenth of it was found",
    "false alarm": "the slice is clean, and something was marked",
    "mostly false alarm": "more was marked wrongly than there is infection",
    "poor": "none of these: the border is wrong, or parts are",
}


@dataclass(frozen=True)
class Failure:
    """One network on one slice. truth : share of the slice that is infected; found : of that, the share that was
    marked; excess : wrongly marked pixels over infected ones; dsc : 0..1"""

    network: str
    case: str
    fold: int
    dsc: float
    truth: float
    found: float
    excess: float
    kind: str


def failures(records: Iterable[dict], *, protocol: str, selection: str = "last", worst: int = 0) -> list[Failure]:
    """Every slice of the records, worst Dice first; of equal Dice the one with more pixels marked wrongly.

    worst : how many; 0 for all. A row without the four counts of pixels is passed by.
    """
    rows = [
        (record, row)
        for record in records
        for row in record["selections"][selection]["scores"][protocol]["cases"]
        if {"tp", "fp", "fn", "tn"} <= row.keys()
    ]
    infected = [(row["tp"] + row["fn"]) / _pixels(row) for _, row in rows if row["tp"] + row["fn"]]
    small = float(np.percentile(infected, SMALL)) if infected else 0.0
    found = [_failure(record, row, small) for record, row in rows]
    found.sort(key=lambda one: (one.dsc, -one.excess, one.case))
    return found[:worst] if worst else found


def _pixels(row: dict) -> int:
    return row["tp"] + row["fp"] + row["fn"] + row["tn"]


def _failure(record: dict, row: dict, small: float) -> Failure:
    tp, fp, fn = row["tp"], row["fp"], row["fn"]
    true = tp + fn
    share, seen = true / _pixels(row), tp / true if true else float("nan")
    dsc = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0
    excess = fp / true if true else float(fp)
    kind = kind_of(share, seen, excess, small)
    return Failure(record["model"], row["case"], record["data"]["fold"], dsc, share, seen, excess, kind)


def kind_of(truth: float, found: float, excess: float, small: float) -> str:
    """One of KINDS. truth : infected share of the slice; small : the share up to which infection counts as little.

    >>> kind_of(0.0, float("nan"), 120, 0.01), kind_of(0.005, 0.0, 0.2, 0.01), kind_of(0.2, 0.8, 0.1, 0.01)
    ('false alarm', 'small lesion missed', 'poor')
    """
    if not truth:
        return "false alarm" if excess else "poor"
    if found <= MISSED:
        return "small lesion missed" if truth <= small else "large lesion missed"
    return "mostly false alarm" if excess > 1 else "poor"


def shared_failures(found: Iterable[Failure], below: float = 0.3) -> dict[str, list[str]]:
    """Slices on which networks fail together: case -> networks whose Dice is below that, most networks first."""
    cases: dict[str, set[str]] = {}
    for one in found:
        if one.dsc < below:
            cases.setdefault(one.case, set()).add(one.network)
    return {case: sorted(names) for case, names in sorted(cases.items(), key=lambda item: (-len(item[1]), item[0]))}
