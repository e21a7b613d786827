"""Several folds as one result."""

from collections.abc import Iterable
from math import isnan, nan

from covidseg.errors import UserError
from covidseg.metrics.protocols import find_protocol
from covidseg.metrics.scores import Scores


def mean_over_folds(folds: Iterable[Scores]) -> Scores:
    """Mean of the folds' values, every fold weighing the same: a data set's row in a benchmark's table.

    folds : Scores of one protocol, one per fold. A protocol may round each fold's pooled values first, as its authors'
    script does (`Protocol.fold_digits`). A fold where a score has no value is left out of it.
    Returns Scores; the case rows gain "fold" (1..k), n and undefined are summed over the folds.
    """
    folds = list(folds)
    if not folds:
        raise UserError("mean_over_folds needs the Scores of at least one fold.")
    protocols = {fold.protocol for fold in folds}
    if len(protocols) > 1:
        raise UserError(f"the folds were scored by different protocols: {', '.join(sorted(protocols))}.")
    digits = find_protocol(folds[0].protocol).fold_digits
    return Scores(
        protocol=folds[0].protocol,
        rules=f"Mean of {len(folds)} folds, each: {folds[0].rules}",
        cases=[{"fold": k, **row} for k, fold in enumerate(folds, 1) for row in fold.cases],
        means={name: _mean([fold.means[name] for fold in folds]) for name in folds[0].means},
        pooled={name: _mean([fold.pooled[name] for fold in folds], digits) for name in folds[0].pooled},
        **{
            table: {name: sum(getattr(fold, table)[name] for fold in folds) for name in getattr(folds[0], table)}
            for table in ("n", "undefined", "counts")
        },
    )


def _mean(values: Iterable[float], digits: int | None = None) -> float:
    values = [value if digits is None else round(value, digits) for value in values if not isnan(value)]
    return sum(values) / len(values) if values else nan
