"""Rules that printed numbers must keep: broken rows are found, and no row that some cases could give is blamed."""

import numpy as np
import pytest

from covidseg import lesson
from covidseg.errors import UnknownName
from covidseg.tables import claims


def rows_of(*numbers, names=("dice", "sen", "prec")):
    return [{"method": str(k)} | dict(zip(names, row, strict=True)) for k, row in enumerate(numbers)]


def test_what_is_known_of_the_printed_tables_is_found_in_them_alone():
    lung = claims.dice_between(claims.printed("covidsegnet_table1"), "lung_dice", "lung_sen", "lung_prec")
    assert [b.row for b in lung] == ["FCN", "UNet", "VNet"] and str(lung[0]).startswith(
        "FCN: printed 0.865, possible 0.9"
    )
    covid = claims.dice_between(claims.printed("covidsegnet_table1"), "covid_dice", "covid_sen", "covid_prec")
    assert [b.row for b in covid] == ["FCN"]
    assert claims.dice_between(claims.printed("infnet_table5"), "dice", "sen", "prec") == []
    for number, rows in ((2, 2), (3, 7), (4, 4), (5, 8)):
        table = claims.printed(f"chsnet_table{number}")
        assert len(claims.jaccard_below(table, "ji", "dc")) == len(table) == rows
    twins = {name: claims.repeated(claims.printed(name)) for name in claims.tables_at_hand()}
    found = {name: pairs for name, pairs in twins.items() if pairs}
    assert found == {"miniseg_table6": [("CCNet", "MobileNet", ["ct100_spc", "ct100_dsc", "ct100_hd"])]}


def test_no_mean_of_cases_breaks_a_rule():
    rng = np.random.default_rng(0)
    rows, pixels = [], []
    for _ in range(300):
        tp, fp, fn = rng.integers(1, 100, (3, rng.integers(1, 6)))
        tn = rng.integers(100, 1000)
        sen, prec, dice, ji = (
            np.mean(v) for v in (tp / (tp + fn), tp / (tp + fp), 2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn))
        )
        rows.append([f"{v:.3f}" for v in (dice, sen, prec, ji)])
        one = tp[0], fp[0], fn[0], tn
        acc, spe = (one[0] + tn) / sum(one), tn / (tn + one[1])
        pixels.append([f"{v:.2f}" for v in (acc, one[0] / (one[0] + one[2]), spe)])
    table = rows_of(*rows, names=("dice", "sen", "prec", "ji"))
    assert claims.dice_between(table, "dice", "sen", "prec") == [] == claims.jaccard_below(table, "ji", "dice")
    assert claims.accuracy_between(rows_of(*pixels, names=("acc", "rec", "spe")), "acc", "rec", "spe") == []


@pytest.mark.parametrize(
    ("row", "broken"),
    [
        (("0.79", "0.90", "0.70"), False),  # 0.785 from below, 0.793 from above
        (("0.80", "0.90", "0.70"), True),
        (("0.60", "0.90", "0.70"), False),
        (("0.58", "0.90", "0.70"), True),
        (("0.799", "0.90", "0.70"), True),  # one more digit leaves less room
    ],
)
def test_rounding_is_given_its_half_unit_and_no_more(row, broken):
    assert bool(claims.dice_between(rows_of(row), "dice", "sen", "prec")) is broken


def test_cells_that_are_equal_one_by_one_or_whole_numbers_are_no_copies():
    table = rows_of(("0.1", "0.2", "0.3", "7"), ("0.1", "0.9", "0.3", "7"), ("0.5", "0.2", "0.3", "7"), names="abcd")
    assert claims.repeated(table) == [] and claims.repeated(table, 2) == [("0", "2", ["b", "c"])]


def test_a_table_that_is_not_there_is_named():
    with pytest.raises(UnknownName, match="miniseg_table5"):
        claims.printed("miniseg_table55")


# ------------------------------------------------------------------------------------- the exercises of notebook 35


def one_unit(unit):
    return lambda pairs: unit


def first_that_fits(pairs):
    return next((u for u in UNITS if f"{pairs[0][0] / u:.{len(pairs[0][1].partition('.')[2])}f}" == pairs[0][1]), None)


def nearest(pairs):
    return min(UNITS, key=lambda u: abs(pairs[0][0] / u - float(pairs[0][1])))


def as_given(rows, name):
    own = next(row for row in rows if row["method"] == name)
    return [c for c in own if c != "method" and own[c] == max(row[c] for row in rows)]


def ties_too(rows, name):
    own = next(row for row in rows if row["method"] == name)
    ends = {c: (min if c.endswith("hd") else max)(row[c] for row in rows) for c in own if c != "method"}
    return [c for c, end in ends.items() if own[c] == end]


UNITS = (1e6, 1.024e6, 2**20)
WRONG = {
    1: [
        None,
        (0.7, 0.9),
        (0.7, 0.8),
        (0.6, 0.8),
        (0.8, 0.6),
        (float("nan"), 0.8),
        (0.6, float("nan")),
        (0, 1),
        0.8,
        "0.6",
    ],
    2: [
        None,
        1e6,
        *map(one_unit, (*UNITS, None)),
        first_that_fits,
        nearest,
        lambda pairs: float("nan"),
        lambda pairs: "1e6",
    ],
    3: [None, [], as_given, ties_too, lambda rows, name: None, lambda rows, name: ["miou"], lambda rows, name: ["hd"]],
}
WRONG[3] += [
    lambda rows, name: [],
    lambda rows, name: list(rows[0]),
    lambda rows, name: {"A": ["miou"], "B": ["hd", "p9_hd"]}[name],
]


@pytest.mark.parametrize(("number", "answer"), [(n, answer) for n, answers in WRONG.items() for answer in answers])
def test_a_wrong_answer_is_refused(number, answer, capsys):
    lesson.check("35_reproduction_findings", number, answer)
    assert "correct" not in capsys.readouterr().out
