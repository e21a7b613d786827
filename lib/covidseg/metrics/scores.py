"""The result of scoring a set: values per case, their means, and how many cases stand behind each."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isnan, nan
from textwrap import wrap
from typing import Any

from covidseg.errors import unknown_name
from covidseg.text import plain


@dataclass(frozen=True)
class Scores:
    """What `segmentation_scores` answers. ``scores["dice"]`` is the mean over cases (or else the pooled value).

    protocol : "clean", or a paper's
    rules : the protocol in words: per case or pooled, empty rule, background, threshold, units
    cases : one dict per case: "case", the scores (NaN where undefined), counts "tp", "fp", "fn", "tn"
    means : mean over the cases with a value, by score; NaN if there is none
    n : number of cases behind each mean
    undefined : number of cases without a value, by score; n + undefined = number of cases
    counts : "cases", "missed" (lesion, empty prediction), "false_alarm" (no lesion, something predicted),
        "both_empty"
    pooled : scores of all pixels of the set thrown together
    """

    protocol: str
    rules: str
    cases: list[dict[str, Any]]
    means: dict[str, float]
    n: dict[str, int]
    undefined: dict[str, int]
    counts: dict[str, int]
    pooled: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        for values in (self.means, self.pooled):
            if name in values:
                return values[name]
        raise unknown_name("score", name, {*self.means, *self.pooled})

    def to_dict(self) -> dict[str, Any]:
        """The same as plain dicts and lists for JSON; an undefined value is None."""
        return plain(vars(self))

    def __str__(self) -> str:
        c = self.counts
        kinds = f"missed {c['missed']}, false alarm {c['false_alarm']}, both empty {c['both_empty']}"
        lines = [
            f"{self.protocol}: {c['cases']} cases; {kinds}",
            f"{'':17}{'mean':>9}{'n':>7}{'undefined':>11}{'pooled':>9}",
        ]
        for name in dict.fromkeys([*self.means, *self.pooled]):
            mean = (
                f"{_short(self.means[name])}{self.n[name]:>7}{self.undefined[name]:>11}" if name in self.means else ""
            )
            pooled = _short(self.pooled[name]) if name in self.pooled else ""
            lines.append(f"{name:17}{mean:27}{pooled}".rstrip())
        return "\n".join([*lines, *wrap(self.rules, 100)])


def summarise(
    protocol: str, rules: str, cases: list[dict[str, Any]], names: Iterable[str], pooled: dict[str, float]
) -> Scores:
    """Scores of a list of case rows: each mean over the cases where that score has a value, the rest counted."""
    values = {name: [row[name] for row in cases if not isnan(row[name])] for name in names}
    return Scores(
        protocol=protocol,
        rules=rules,
        cases=cases,
        means={name: sum(v) / len(v) if v else nan for name, v in values.items()},
        n={name: len(v) for name, v in values.items()},
        undefined={name: len(cases) - len(v) for name, v in values.items()},
        counts={
            "cases": len(cases),
            "missed": sum(1 for row in cases if row["tp"] + row["fn"] and not row["tp"] + row["fp"]),
            "false_alarm": sum(1 for row in cases if row["tp"] + row["fp"] and not row["tp"] + row["fn"]),
            "both_empty": sum(1 for row in cases if not row["tp"] + row["fp"] + row["fn"]),
        },
        pooled=pooled,
    )


def _short(value: float) -> str:
    return f"{'-' if isnan(value) else format(value, '.4f' if abs(value) < 2 else '.2f'):>9}"
