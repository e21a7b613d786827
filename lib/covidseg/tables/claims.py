"""What a printed table says of itself: rules that its numbers must keep, and cells that stand twice.

Nothing here needs data or a network. A printed number is known up to half a unit of its last digit; a rule counts as
broken only where no number within that rounding keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from covidseg.checkout import checkout
from covidseg.errors import unknown_name
from covidseg.tables.table import printed_rows

__all__ = [
    "Broken",
    "accuracy_between",
    "dice_between",
    "dice_range",
    "jaccard_below",
    "printed",
    "repeated",
    "tables_at_hand",
]

Row = Mapping[str, str]


class Broken(NamedTuple):
    """A row whose number lies outside what its neighbours allow. low, high : the allowed range, rounding included."""

    row: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.row}: printed {self.value:g}, possible {self.low:.4f} to {self.high:.4f}"


def tables_at_hand() -> list[str]:
    """Names of the papers' tables in data/papers, as `printed` takes them."""
    return sorted(path.stem for path in (checkout() / "data" / "papers").glob("*.csv"))


def printed(name: str) -> list[dict[str, str]]:
    """The rows of a paper's table as printed, called PAPER_tableN. Raises UnknownName."""
    if name not in tables_at_hand():
        raise unknown_name("table", name, tables_at_hand())
    return printed_rows(f"{name}.csv")


def dice_between(rows: Sequence[Row], dice: str, sen: str, prec: str) -> list[Broken]:
    """Rows whose mean Dice their mean sensitivity and precision forbid, see `dice_range`."""
    return list(_broken(rows, dice, sen, prec, dice_range))


def dice_range(sen: float, prec: float, rounding: float = 0.0) -> tuple[float, float]:
    """The lowest and the highest mean Dice of cases with a mean sensitivity S and a mean precision P, all 0..1.

    Of one case Dice is the harmonic mean 2 S P / (S + P), and S + P - 1 <= min(S, P) <= Dice. The lower end is linear
    and the harmonic mean concave, so for means over cases, whatever these were, mean S + mean P - 1 <= mean Dice <=
    the harmonic mean of both means (Jensen). rounding : half a unit of the last printed digit of S and P

    >>> dice_range(0.75, 0.75)
    (0.5, 0.75)
    """
    low, s, p = sen + prec - 1 - 2 * rounding, sen + rounding, prec + rounding
    return max(0.0, low), 2 * s * p / (s + p)


def accuracy_between(rows: Sequence[Row], acc: str, rec: str, spe: str) -> list[Broken]:
    """Rows whose accuracy is not between recall and specificity, of which one table of pixels makes it the mean.

    Means over slices may leave that range, since each slice has its own share of lesion: a hint, not a proof.
    """
    return list(_broken(rows, acc, rec, spe, lambda r, s: (min(r, s), max(r, s))))


def jaccard_below(rows: Sequence[Row], ji: str, dice: str) -> list[Broken]:
    """Rows whose Jaccard index is above what their Dice allows: of one case J = D / (2 - D), convex, so at most D."""
    return list(_broken(rows, ji, dice, dice, lambda d, _: (d / (2 - d), d)))


def repeated(rows: Sequence[Row], least: int = 3) -> list[tuple[str, str, list[str]]]:
    """Pairs of rows in which ``least`` neighbouring cells or more hold the same numbers, and the columns of these."""
    found = []
    for a, b in combinations(rows, 2):
        run: list[str] = []
        for column in [*a, ""]:
            if column and _is_number(a[column]) and "." in a[column] and a[column] == b[column]:
                run.append(column)
                continue
            if len(run) >= least:
                found.append((_name(a), _name(b), run))
            run = []
    return found


def _broken(rows, target: str, first: str, second: str, ends) -> Iterator[Broken]:
    for row in rows:
        value, corners = float(row[target]), []
        for x in _within_rounding(row[first]):
            corners += [ends(x, y) for y in _within_rounding(row[second])]
        half = _half_unit(row[target])
        low, high = min(low for low, _ in corners) - half, max(high for _, high in corners) + half
        if not low - 1e-9 <= value <= high + 1e-9:
            yield Broken(_name(row), value, low, high)


def _within_rounding(text: str) -> tuple[float, float]:
    return float(text) - _half_unit(text), float(text) + _half_unit(text)


def _half_unit(text: str) -> float:
    """
    >>> _half_unit("0.97"), _half_unit("1")
    (0.005, 0.5)
    """
    return 0.5 * 10.0 ** -len(text.partition(".")[2])


def _name(row: Row) -> str:
    """The first cell that names the row, and what part of it is meant."""
    names = [row[column] for column in ("method", "model", "mode", "variant", "row") if row.get(column)]
    return " ".join([*names[:1], *([row["segmentation"]] if row.get("segmentation") else [])])


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
