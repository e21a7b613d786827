"""From set to set: what runs on ``across_`` sets say, a cell for each pair of a set that taught and a set scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np

from covidseg.data.across import SETS, set_of
from covidseg.data.splits import patient_of, volume_of
from covidseg.tables.trust import interval

__all__ = ["AcrossCell", "across"]

DRAWS = 4000


@dataclass(frozen=True)
class AcrossCell:
    """A score of cases of ``scored`` by networks that ``learned`` taught.

    people : patients behind it; of ct100, which names none, slices; cases : slices or volumes that have a score
    mean : over people, each the mean of its cases; low, high : where it lies in 95 of 100 draws of people
    """

    learned: str
    scored: str
    people: int
    cases: int
    mean: float
    low: float
    high: float


def across(records: Sequence[dict], model: str, name: str = "dice", protocol: str = "clean") -> list[AcrossCell]:
    """The cells for which there are records of that network, rows first. Several folds or seeds count as one.

    Where case and patient occur in several runs, the runs' values are averaged first: more runs make no more people.
    """
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in records:
        learned = record["data"]["name"].removeprefix("across_")
        if record["model"] != model or record["data"]["name"] != f"across_{learned}" or learned not in SETS:
            continue
        for case in record["selections"]["last"]["scores"][protocol]["cases"]:
            if case[name] is None or isnan(case[name]):
                continue
            scored, place = set_of(case["case"]), case["case"].partition("_")[2]
            who = place if scored == "ct100" else patient_of(scored, volume_of(place))
            values[learned, scored][who].append(case[name])
            seen[learned, scored].add(place)
    return [
        AcrossCell(
            *pair, len(people), len(seen[pair]), *interval([np.mean(found) for found in people.values()], draws=DRAWS)
        )
        for pair in ((a, b) for a in SETS for b in SETS)
        if (people := values.get(pair))
    ]
