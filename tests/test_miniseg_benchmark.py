"""MiniSeg's benchmark beside ours: published maps, trust in differences, failures, the exercises of notebook 31."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from toy_records import toy_record

from covidseg import show
from covidseg.data import Case
from covidseg.errors import UserError
from covidseg.papers.miniseg import published
from covidseg.papers.miniseg.checks.nb_31_miniseg_benchmark import paired_interval, training_ratio, two_means
from covidseg.show.pictures import AS_PRINTED, OUTCOMES, rgb
from covidseg.tables import failures, load_table, speeds, trust
from covidseg.tables.benchmark import Measured
from covidseg.tables.text import rows_as_markdown

# ------------------------------------------------------------------------------------------------ published maps

KNOWN = {  # of the maps whose labels are in the mirror: how many, DSC as the table averages, DSC of all slices
    "ct100": (98, 0.768, 0.768),
    "p9": (68, 0.797, 0.748),
    "p20": (539, 0.762, 0.757),
}


@pytest.mark.parametrize("name", published.SETS)
def test_the_stored_line_of_the_authors_maps(name):
    rows = published.read_lines(name)
    n, of_folds, of_slices = KNOWN[name]
    own = published.own_line(rows)
    assert len(rows) == n <= published.WHOLE[name] and len({row["case"] for row in rows}) == n
    assert own["DSC"] == pytest.approx(of_folds, abs=1e-3)
    assert np.mean([row["DSC"] for row in rows]) == pytest.approx(of_slices, abs=1e-3)
    printed = next(row.printed for row in load_table(f"miniseg/table6-{name}-rivals").rows if row.model == "miniseg")
    assert abs(own["DSC"] - float(printed[f"{name}_dsc"]) / 100) < 0.01, "within a point of the print"
    assert all(0 < row["area"] < 1 and row["lesions"] >= 1 for row in rows)


@pytest.mark.mirror
@pytest.mark.parametrize(("name", "step"), [("ct100", 24), ("p20", 60)])
def test_the_stored_numbers_are_those_of_the_maps(mirror, monkeypatch, name, step):
    monkeypatch.setenv("COVIDSEG_MIRROR", str(mirror))
    published._files.cache_clear()
    stored = {row["case"]: row for row in published.read_lines(name)}
    files = published._files(name)
    cases = published.load_dataset(name)
    ids = [case_id for case_id in cases.ids if case_id in files]
    assert len(ids) == len(stored)
    for case_id in ids[::step]:
        one = published._laid(cases.case(case_id), files[case_id], crop=name == "ct100")
        fresh = published._line(name, one)
        assert {k: fresh[k] for k in ("tp", "fp", "fn", "tn", "fold", "lesions")} == {
            k: stored[case_id][k] for k in ("tp", "fp", "fn", "tn", "fold", "lesions")
        }
        assert fresh["DSC"] == pytest.approx(stored[case_id]["DSC"], abs=1e-5)


def test_a_fold_weighs_the_same_however_many_slices_it_has():
    row = dict(SEN=1.0, SPC=1.0, HD=0.0, tp=1, fp=0, fn=0, tn=3)
    rows = [row | {"fold": 1.0, "DSC": 1.0}, row | {"fold": 2.0, "DSC": 0.0}, row | {"fold": 2.0, "DSC": 0.5}]
    assert published.own_line(rows)["DSC"] == pytest.approx((1.0 + 0.25) / 2)
    assert published.own_line(rows)["mIoU"] == 1.0


def test_maps_that_are_not_here_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(published, "roots", lambda folder: [tmp_path])
    published._files.cache_clear()
    with pytest.raises(UserError, match="covidseg data fetch miniseg-maps"):
        published._files("p9")
    with pytest.raises(LookupError, match="p1110"):
        list(published.published("p1110"))


# --------------------------------------------------------------------------------------------------------- trust


def test_a_paired_interval_is_narrow_where_cases_differ_and_networks_do_not():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0, 1, 80)
    one, other = hard + 0.02 + rng.normal(0, 0.01, 80), hard
    both = trust.pair(one, other)
    assert both.low > 0.01 and both.high < 0.03 and both.p < 1e-6 and both.wins > 70
    back = trust.pair(other, one)
    assert (back.gain, back.p) == pytest.approx((-both.gain, both.p)) and back.high < 0
    apart = trust.pair(rng.permutation(one), other)
    assert apart.low < 0 < apart.high, "unpaired, the cases drown the difference"
    assert trust.pair([0.5, 0.5], [0.5, 0.5]).p == 1.0
    with pytest.raises(UserError, match="two cases or more"):
        trust.pair([0.5], [0.4])


def test_the_interval_over_cases_is_that_of_the_central_limit():
    gains = np.random.default_rng(3).normal(0.1, 0.2, 400)
    found = trust.pair(gains, np.zeros(400), draws=4000)
    half = 1.96 * gains.std() / 20
    assert (found.low, found.high) == pytest.approx((gains.mean() - half, gains.mean() + half), abs=0.003)


def test_ranks_by_brute_force():
    scores = {"a": [0.9, 0.1, 0.5], "b": [0.2, 0.8, 0.5], "c": [0.5, 0.5, 0.5]}
    found = trust.rank_shares(scores, draws=300, seed=4)
    drawn = np.random.default_rng(4).integers(0, 3, (300, 3))
    first = 0.0
    for row in drawn:
        means = {name: np.mean([values[k] for k in sorted(row)]) for name, values in scores.items()}
        best = [name for name in means if means[name] > max(means.values()) - 1e-12]
        first += ("a" in best) / len(best) / 300
    assert found["a"][0] == pytest.approx(first, abs=0.02)
    assert sum(share.sum() for share in found.values()) == pytest.approx(3)
    assert np.sum(list(found.values()), 0) == pytest.approx([1, 1, 1])


def test_folds_are_drawn_whole():
    scores = {"a": [1, 1, 0, 0], "b": [0, 0, 1, 1]}
    by_fold = trust.rank_shares(scores, groups=[1, 1, 2, 2], draws=4000)["a"]
    assert by_fold == pytest.approx([0.5, 0.5], abs=0.03)
    mixed = (trust.rank_shares(scores, groups=[1, 2, 1, 2], draws=50)["a"]).tolist()
    assert mixed == [0.5, 0.5], "each fold is a draw between the two, so their rank is shared in every draw"


def test_a_band_follows_its_points_and_keeps_equal_ones_together():
    x = np.repeat([1, 2, 3, 10], 30)
    y = x + np.tile([-1, 1], 60)
    rows = trust.band(x, y, parts=4)
    assert rows[:, 1] == pytest.approx([y[x == value].mean() for value in sorted(set(rows[:, 0]))], abs=1.6)
    assert (rows[:, 2] <= rows[:, 1]).all() and (rows[:, 1] <= rows[:, 3]).all()
    alike = trust.band(np.ones(9), np.arange(9.0))
    assert alike.shape == (1, 4) and alike[0, 1] == 4.0


def test_only_cases_that_all_have_are_compared():
    one = trust.by_case([toy_record(fold=1)], "DSC", protocol="miniseg")
    folds = trust.fold_by_case([toy_record(fold=3)], protocol="miniseg")
    assert folds.keys() == one.keys() and set(folds.values()) == {3}
    assert set(one) == {"phantom a", "phantom b"}
    cases, table = trust.shared({"x": one, "y": {"phantom b": 0.25, "phantom z": 1.0}})
    assert cases == ["phantom b"] and table["y"].tolist() == [0.25]
    assert trust.shared({}) == ([], {})


# ------------------------------------------------------------------------------------------------------ failures


def with_rows(*rows):
    record = toy_record()
    cases = [dict(zip(("tp", "fp", "fn", "tn"), row, strict=True), case=f"s{k}") for k, row in enumerate(rows)]
    record["selections"]["last"]["scores"]["miniseg"]["cases"] = cases
    return record


def test_failures_are_named_by_their_counts():
    record = with_rows((0, 0, 2, 98), (0, 30, 0, 70), (50, 5, 5, 40), (2, 40, 20, 38), (0, 1, 60, 39))
    found = {one.case: one for one in failures.failures([record], protocol="miniseg")}
    assert {case: one.kind for case, one in found.items()} == {
        "s0": "small lesion missed", "s1": "false alarm", "s2": "poor", "s3": "large lesion missed",
        "s4": "large lesion missed",
    }  # fmt: skip
    assert found["s2"].dsc == pytest.approx(100 / 110) and found["s2"].found == pytest.approx(50 / 55)
    assert [one.case for one in failures.failures([record], protocol="miniseg", worst=2)] == ["s1", "s4"]
    assert failures.kind_of(0.1, 0.5, 1.2, 0.01) == "mostly false alarm"
    assert set(failures.KINDS) >= {one.kind for one in found.values()}


def test_slices_on_which_networks_fail_together_come_first():
    good, bad = with_rows((9, 0, 0, 1), (0, 0, 5, 5)), with_rows((0, 1, 4, 5), (0, 2, 5, 3))
    found = failures.failures([good | {"model": "unet"}, bad], protocol="miniseg")
    assert failures.shared_failures(found) == {"s1": ["miniseg", "unet"], "s0": ["miniseg"]}


# ------------------------------------------------------------------------------------------------------- figures


def test_fig_4_has_a_column_for_each_network_in_either_set_of_colours():
    truth = np.zeros((40, 40), np.uint8)
    truth[10:20, 10:20] = 1
    case = Case("a", "", np.zeros((40, 40), np.float32), truth, "grey", (1.0, 1.0))
    pred = np.zeros((40, 40), bool)
    pred[15:25, 10:20] = True
    for colours in (OUTCOMES, AS_PRINTED):
        axes = show.side_by_side([case], {"net": [pred], "none": [None]}, colours=colours, alpha=1.0, crop=False)
        assert axes.shape == (1, 3) and [ax.get_title() for ax in axes[0]] == ["truth", "net", "none"]
        picture = axes[0, 1].images[0].get_array()
        for name, at in {"missed": (12, 12), "hit": (17, 12), "false alarm": (22, 12)}.items():
            assert (picture[at] == rgb(colours[name])).all()
        assert not axes[0, 2].images
        plt.close("all")
    cut = show.side_by_side([case], {"net": [pred]})
    assert cut[0, 1].images[0].get_array().shape[:2] == (37, 32), "12 pixels around all that is marked"
    plt.close("all")


def test_a_band_and_a_table_of_ranks_are_drawn():
    rows = np.array([[0.1, 0.5, 0.4, 0.6], [0.3, 0.7, 0.65, 0.75]])
    ax = show.banded(([0.1, 0.2], [0.5, 0.6]), rows, xlabel="area")
    assert ax.lines[-1].get_ydata().tolist() == [0.5, 0.7] and len(ax.collections) == 1
    plt.close("all")
    ax = show.shares({"a": [0.75, 0.25], "b": [0.25, 0.75]})
    assert [text.get_text() for text in ax.texts] == ["75%", "25%", "25%", "75%"]
    plt.close("all")


# -------------------------------------------------------------------------------------------------------- speeds


def test_speeds_are_kept_network_by_network_and_not_measured_twice(tmp_path, monkeypatch):
    asked = []

    def pretend(names, config, **size):
        asked.append((*names, size["batch"]))
        yield Measured(*names, config, 1, 2, 3, 0.5, 4.0, (1.0,) * 5)

    monkeypatch.setattr(speeds, "measure", pretend)
    monkeypatch.setattr(speeds, "_free", lambda: 1 << 40)
    path = tmp_path / "speed" / "cpu.json"
    speeds.save_speeds(path, ["enet"], "paper", side=32, batch=30)
    rows = speeds.save_speeds(path, ["enet", "espnet"], "paper", side=32, batch=30)
    assert asked == [("enet", 30), ("espnet", 30)] and [row.name for row in rows] == ["enet", "espnet"]
    (file,) = speeds.read_speeds(path.parent)
    assert [row["batch"] for row in file["rows"]] == [30, 30] and file["machine"]["device"] == "cpu"
    with pytest.raises(UserError, match="side is 32 there, 64 here"):
        speeds.save_speeds(path, ["enet"], "paper", side=64, batch=30)
    path.write_text("{}")
    with pytest.raises(UserError, match="no speeds of this kit"):
        speeds.read_speeds(path.parent)
    assert speeds.read_speeds(tmp_path / "nothing") == []


def test_a_batch_is_as_large_as_the_memory_allows():
    one = speeds.SCRATCH * speeds.peak_activations(speeds.build("enet", "paper")[0], (3, 64, 64))
    assert speeds.fitting("enet", "paper", 64, 30, free=int(7.5 * one)) == 7
    assert speeds.fitting("enet", "paper", 64, 30, free=int(700 * one)) == 30
    assert speeds.fitting("enet", "paper", 64, 30, free=1) == 1


def test_rows_of_texts_become_a_table():
    assert rows_as_markdown("T", [{"a": "x", "b": 1}]).splitlines()[2:] == ["| a | b |", "|---|---:|", "| x | 1 |"]
    assert "no row yet" in rows_as_markdown("T", [])


# ------------------------------------------------------------------------------------------- exercises of notebook 31


def learned(slices, batch, epochs, sides, *, passes=None, full=None, pixels=1.0):
    full = slices // batch if full is None else full(slices, batch)
    passes = len(sides) if passes is None else passes
    return full * passes * epochs, pixels * full * batch * epochs * sum(s * s for s in sides)


def ceil(slices, batch):
    return -(-slices // batch)


STEPS = [
    (learned, ""),
    (lambda *a: list(learned(*a)), ""),
    (lambda *a: np.array(learned(*a), float), ""),
    (lambda *a: learned(*a, passes=1), "one pass for each side"),
    (lambda *a: learned(*a, full=ceil), "dropped"),
    (lambda n, b, e, s: (learned(n, b, e, s)[0], n * e * sum(k * k for k in s)), "not seen in that pass"),
    (lambda n, b, e, s: (learned(n, b, e, s)[0], learned(n, b, e, s)[1] / b), "a whole batch"),
    (lambda *a: learned(*a, pixels=1e-6), "pixels are seen"),
    (lambda *a: learned(*a)[::-1], "steps; you say"),
    (lambda *a: (4800, 1.0), "pixels are seen"),
    (lambda *a: (4800, 508_559_360 * 80 / 80), "pixels are seen"),
    (lambda *a: (learned(*a)[0] + 1, learned(*a)[1]), "steps; you say"),
    (lambda n, b, e, s: learned(n, b, 80, s), "steps; you say"),
]


@pytest.mark.parametrize(("answer", "words"), STEPS)
def test_the_exercise_on_steps_and_pixels(answer, words):
    said = training_ratio(answer)
    assert words in said if words else said == ""


def folds_mean(dsc, folds, how=np.mean):
    return how([dsc[folds == k].mean() for k in np.unique(folds)])


MEANS = [
    (lambda d, f: (d.mean(), folds_mean(d, f)), ""),
    (lambda d, f: [sum(d) / len(d), folds_mean(d, f)], ""),
    (lambda d, f: (round(float(d.mean()), 7), round(float(folds_mean(d, f)), 7)), ""),
    (lambda d, f: (folds_mean(d, f), d.mean()), "swapped"),
    (lambda d, f: (100 * d.mean(), 100 * folds_mean(d, f)), "no percent"),
    (lambda d, f: (d.mean(), folds_mean(d, f, np.median)), "not their median"),
    (lambda d, f: (d.mean(), d.mean()), "weighs the same"),
    (lambda d, f: (np.median(d), folds_mean(d, f)), "you say"),
    (lambda d, f: (0.757, 0.762), "you say"),
    (lambda d, f: (d.mean(), np.mean([d[f == k].mean() for k in range(1, 6) if (f == k).sum() > 2] or [0])), "you say"),
    (lambda d, f: (d.mean(), folds_mean(d, np.sort(f))), "you say"),
    (lambda d, f: (d.sum() / (len(d) - 0.5), folds_mean(d, f)), "you say"),
]


@pytest.mark.parametrize(("answer", "words"), MEANS)
def test_the_exercise_on_two_means(answer, words):
    said = two_means(answer)
    assert words in said if words else said == ""


def interval(one, other, draws, rng, ends=(2.5, 97.5)):
    gains = one - other
    return np.percentile(gains[rng.integers(0, len(gains), (draws, len(gains)))].mean(1), ends)


def looped(one, other, draws, rng):
    means = [np.mean([one[k] - other[k] for k in rng.integers(0, len(one), len(one))]) for _ in range(draws)]
    return sorted(means)[int(0.025 * len(means))], sorted(means)[int(0.975 * len(means))]


def apart(one, other, draws, rng):
    means = [x[rng.integers(0, len(x), (draws, len(x)))].mean(1) for x in (one, other)]
    return np.percentile(means[0] - means[1], [2.5, 97.5])


INTERVALS = [
    (interval, ""),
    (looped, ""),
    (lambda a, b, d, r: ((a - b).mean() - 1.96 * (a - b).std() / len(a) ** 0.5,
                         (a - b).mean() + 1.96 * (a - b).std() / len(a) ** 0.5), ""),
    (apart, "apart"),
    (lambda a, b, d, r: interval(b, a, d, r), "turned round"),
    (lambda a, b, d, r: np.percentile(a - b, [2.5, 97.5]), "single differences"),
    (lambda a, b, d, r: interval(a, b, d, r, (5, 95)), "90 %"),
    (lambda a, b, d, r: interval(a, b, d, r)[::-1], "you give"),
    (lambda a, b, d, r: interval(a, b, d, r) * 100, "you give"),
    (lambda a, b, d, r: (0.0125, 0.0285), "you give"),
    (lambda a, b, d, r: interval(a, np.zeros_like(b), d, r), "you give"),
    (lambda a, b, d, r: ((a - b).min(), (a - b).max()), " "),
    (lambda a, b, d, r: interval(a, b, d, r) + 0.02, "you give"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "words"), INTERVALS)
def test_the_exercise_on_a_paired_interval(answer, words):
    said = paired_interval(answer)
    assert words in said if words else said == ""
