"""How far a difference in a table can be trusted: cases drawn anew, pairs of cases, ranks that could have been others.

Everything takes plain numbers by case, as `by_case` reads them from records; undefined ones are left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from covidseg.errors import UserError

__all__ = ["LEVEL", "Pair", "band", "by_case", "fold_by_case", "holm", "interval", "pair", "rank_shares", "shared"]

LEVEL = 95  # percent of an interval
DRAWS = 2000


def by_case(records: Iterable[dict], score: str, *, protocol: str, selection: str = "last") -> dict[str, float]:
    """Case -> its score, over the records of one network's folds; a case that several score has their mean."""
    found: dict[str, list[float]] = {}
    for record in records:
        for row in record["selections"][selection]["scores"][protocol]["cases"]:
            if row.get(score) is not None:
                found.setdefault(f"{record['data']['name']} {row['case']}", []).append(row[score])
    return {case: float(np.mean(values)) for case, values in found.items()}


def fold_by_case(records: Iterable[dict], *, protocol: str, selection: str = "last") -> dict[str, int]:
    """Case, named as `by_case` names it, -> the fold that scored it."""
    return {
        f"{record['data']['name']} {row['case']}": record["data"]["fold"]
        for record in records
        for row in record["selections"][selection]["scores"][protocol]["cases"]
    }


def shared(scores: Mapping[str, Mapping[str, float]]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Cases that all networks have, and each network's scores of them in that order. scores : network -> `by_case`."""
    cases = sorted(set.intersection(*map(set, scores.values()))) if scores else []
    return cases, {name: np.array([one[case] for case in cases]) for name, one in scores.items()}


@dataclass(frozen=True)
class Pair:
    """One network against another on the same n cases. gain : mean difference; low, high : its 95 % interval over
    cases; wins : cases where the first is better; p : of Wilcoxon's signed-rank test, 1 where all are equal."""

    n: int
    gain: float
    low: float
    high: float
    wins: int
    p: float


def pair(one: Sequence[float], other: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> Pair:
    """Compare scores of the same cases in the same order.

    A case drawn for the one is drawn for the other: cases differ far more than networks do. Raises UserError below two.
    >>> pair([0.5, 0.7, 0.9], [0.4, 0.6, 0.8]).gain.__round__(3)
    0.1
    """
    gains = np.asarray(one, float) - np.asarray(other, float)
    if len(gains) < 2:
        raise UserError(f"A comparison needs two cases or more that both have; there are {len(gains)}.")
    p = float(wilcoxon(gains).pvalue) if gains.any() else 1.0
    return Pair(len(gains), *interval(gains, draws=draws, seed=seed), int((gains > 0).sum()), p)


def interval(values: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float, float]:
    """Mean, and the ends of its 95 % interval: percentiles of means of as many values drawn anew, with replacement.

    >>> interval([0.5, 0.5, 0.5])
    (0.5, 0.5, 0.5)
    """
    values = np.asarray(values, float)
    means = values[_draws(len(values), draws, seed)].mean(1)
    low, high = np.percentile(means, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(values.mean()), float(low), float(high)


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Probabilities of several tests made comparable with one (Holm, 1979): the least times their number, and so on.

    >>> holm({"a": 0.01, "b": 0.04})
    {'a': 0.02, 'b': 0.04}
    """
    corrected, worst = {}, 0.0
    for k, (name, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        worst = max(worst, min(1.0, value * (len(p) - k)))
        corrected[name] = worst
    return {name: corrected[name] for name in p}


def rank_shares(
    scores: Mapping[str, Sequence[float]], *, groups: Sequence[object] = (), draws: int = DRAWS, seed: int = 0
) -> dict[str, np.ndarray]:
    """How often each network takes each rank when the cases are drawn anew: name -> shares (ranks,), best first.

    scores : name -> one a case, the same cases in the same order, larger is better; groups : one a case, such as its
    fold, drawn whole in place of cases. Equal means share their ranks evenly.
    >>> rank_shares({"a": [0.9, 0.8], "b": [0.1, 0.2]}, draws=10)["a"]
    array([1., 0.])
    """
    names, table = list(scores), np.array([scores[name] for name in scores], float)  # networks, cases
    weights = _weights(table.shape[1], groups, draws, seed)
    means = weights @ table.T / weights.sum(1, keepdims=True)  # draws, networks
    better = (means[:, :, None] < means[:, None, :]).sum(2)
    equal = (means[:, :, None] == means[:, None, :]).sum(2)
    ranks = np.arange(len(names))
    within = (better[..., None] <= ranks) & (ranks < (better + equal)[..., None])
    return dict(zip(names, (within / equal[..., None]).mean(0), strict=True))


def band(x: Sequence[float], y: Sequence[float], *, parts: int = 6, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Mean of y along x with its interval: (part, 4): median of x, mean of y, ends of the 95 % interval over cases.

    The cases are parted by x into equally many; equal x stay together, so there may be fewer parts.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    edges = np.unique(np.quantile(x, np.linspace(0, 1, parts + 1)))
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(len(edges) - 2, 0))
    rows = []
    for part in np.unique(place):
        inside = y[place == part]
        rows.append([np.median(x[place == part]), *interval(inside, draws=draws, seed=seed)])
    return np.array(rows)


def _draws(n: int, draws: int, seed: int) -> np.ndarray:
    """(draws, n): which case is drawn."""
    return np.random.default_rng(seed).integers(0, n, (draws, n))


def _weights(n: int, groups: Sequence[object], draws: int, seed: int) -> np.ndarray:
    """(draws, n): how often each case is drawn, or its group."""
    names = list(groups) or list(range(n))
    kinds = sorted(set(names), key=str)
    drawn = _draws(len(kinds), draws, seed)
    often = np.stack([(drawn == k).sum(1) for k in range(len(kinds))], 1)  # draws, groups
    return often[:, [kinds.index(name) for name in names]].astype(float)
