"""Sets whose training and scored parts come from elsewhere; volumes at another spacing."""

import json

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

from covidseg import papers
from covidseg.data import data_set, load_dataset
from covidseg.errors import UserError
from covidseg.metrics.surface import all_distances, boundary, directed_distances
from covidseg.papers.chsnet.data import PATIENTS, fold_of_patient
from covidseg.papers.covidsegnet.checks.nb_34_covid_segnet_tables import dice_allowed, external_dice
from covidseg.papers.covidsegnet.data import MA_FOLDS, TESTED
from covidseg.runs.grids import combinations
from covidseg.runs.trial import trial
from covidseg.tables import load_table
from covidseg.tables.across import across
from covidseg.training import loop


def test_distances_of_volumes_are_the_distance_transforms():
    noise = np.random.default_rng(0)
    for spacing in ((0.7, 0.7, 6.0), (1.0, 1.0, 1.0)):
        a, b = (gaussian_filter(noise.normal(size=(40, 40, 12)), 3) > 0.02 for _ in range(2))
        there, back = directed_distances(a, b, spacing, "boundary")
        a, b = boundary(a), boundary(b)
        np.testing.assert_allclose(there, distance_transform_edt(~b, sampling=spacing)[a], rtol=1e-12)
        np.testing.assert_allclose(back, distance_transform_edt(~a, sampling=spacing)[b], rtol=1e-12)
        assert all_distances(a, b, spacing=spacing)["hausdorff"] == max(there.max(), back.max())


def test_covidsegnet_tests_the_people_whom_chsnet_tests():
    groups = {"_".join(who.split("_")[:2]) for who in TESTED}
    assert groups == set(PATIENTS[0]) and all(fold_of_patient(who) == 0 for who in TESTED)


def test_mas_folds_hold_every_volume_once():
    everyone = [volume for group in MA_FOLDS.values() for volume in group]
    assert len(everyone) == len(set(everyone)) == 20


@pytest.mark.parametrize("own", ["ct100", "p9", "p20"])
def test_nobody_trains_who_is_scored_elsewhere(own, mirror):
    train, scored = (load_dataset(f"across_{own}", split, 1, mirror=mirror) for split in ("train", "val"))
    assert not set(train.ids) & set(scored.ids)
    known = set(load_dataset(own, mirror=mirror).patients) - {""}
    others = {who for i, who in zip(scored.ids, scored.patients, strict=True) if not i.startswith(f"{own}_")}
    assert not known & others and {i.partition("_")[0] for i in scored.ids} == {"ct100", "p9", "p20"}
    assert not (set(train.patients) & set(scored.patients)) - {""}


def test_volumes_are_parted_by_people(mirror):
    train, test = (load_dataset("covidsegnet_patients", split, mirror=mirror) for split in ("train", "test"))
    assert not set(train.patients) & set(test.patients) and (len(train), len(test)) == (9, 4)
    assert train[0].depth == 39 and data_set("covidsegnet_patients").unseen
    few, many = (load_dataset(f"p20_ma_{name}", "train", 4, mirror=mirror).ids for name in ("4_16", "16_4"))
    assert set(few) == {"coronacases_003", "radiopaedia_27_86410_0"} and not set(few) & set(many)
    with pytest.raises(UserError, match="single slices"):
        load_dataset("across_ct100", volumes=True)


def record(name, model, cases):
    rows = [{"case": i, "dice": value} for i, value in cases]
    return {"data": {"name": name}, "model": model, "selections": {"last": {"scores": {"clean": {"cases": rows}}}}}


def test_a_cell_is_a_mean_over_people_and_more_runs_make_no_more_people():
    first = [("p9_2_0001", 0.2), ("p9_2_0002", 0.4), ("p20_coronacases_001_0007", 1.0), ("ct100_tr_im_0001", 0.5)]
    again = [("p9_2_0001", 0.4), ("p9_5_0001", 0.9), ("p9_5_0002", None), ("ct100_tr_im_0002", 0.7)]
    other = record("across_p20", "unet", first)
    cells = across([record("across_p20", "miniseg", c) for c in (first, again)] + [other], "miniseg")
    found = {(c.learned, c.scored): c for c in cells}
    assert list(found) == [("p20", "ct100"), ("p20", "p9"), ("p20", "p20")]
    p9 = found["p20", "p9"]
    assert (p9.people, p9.cases) == (2, 3) and p9.mean == pytest.approx(((0.2 + 0.4 + 0.4) / 3 + 0.9) / 2)
    assert found["p20", "ct100"].people == 2  # slices of nobody
    assert p9.low == pytest.approx(1 / 3) and p9.high == pytest.approx(0.9)
    assert across([], "miniseg") == []


def test_the_pending_runs_hold_every_row_of_tables_1_and_2_at_the_papers_width(repo):
    blocks = json.loads((repo / "results" / "pending.json").read_text(encoding="utf-8"))
    planned = {(r["model"], r["variant"], r["fold"]) for b in blocks for r in combinations(b) if r["dataset"] == "p20"}
    for name in ("table1-infection", "table1-lungs", "table2-infection", "table2-lungs"):
        rows = [row for row in load_table(f"covidsegnet/{name}").rows if "width" not in row.variant]
        wanted = {(row.model, row.variant, fold) for row in rows for fold in (1, 2, 3, 4, 5)}
        extra = {row for row in wanted if row[1].startswith(("FV ", "lungs and"))}  # readings: one fold
        assert wanted - extra <= planned and {(m, v, 1) for m, v, _ in extra} <= planned


def test_exercise_1_refuses_the_usual_slips():
    assert dice_allowed(lambda s, p: (max(0, s + p - 1), 2 * s * p / (s + p))) == ""
    for answer, words in SLIPS_1:
        assert words in dice_allowed(answer)


def low(s, p):
    return max(0, s + p - 1)


def high(s, p):
    return 2 * s * p / (s + p)


SLIPS_1 = [
    (lambda s, p: (high(s, p), low(s, p)), "lowest comes first"),
    (lambda s, p: (s + p - 1, high(s, p)), "no Dice is: 0"),
    (lambda s, p: (low(s, p), (s + p) / 2), "arithmetic mean"),
    (lambda s, p: (low(s, p), 1), "No case's Dice"),
    (lambda s, p: (low(s, p), min(s, p)), "exceed the smaller"),
    (lambda s, p: (min(s, p), high(s, p)), "How low can it get"),
    (lambda s, p: (s * p, high(s, p)), "product"),
    (lambda s, p: (0, high(s, p)), "not every case can be bad"),
    (lambda s, p: (0.1, 0.2), "it is"),
]


def people(taught, scored, new=True, drop=True, mean=np.mean, fill=None):
    found = {}
    for who, value in scored:
        if (new is None or (who in taught) != new) and not (drop and np.isnan(value)):
            found.setdefault(who, []).append(fill if fill is not None and np.isnan(value) else value)
    return [mean(values) for values in found.values()]


SLIPS_2 = [
    (lambda t, s: np.mean(people(t, s, drop=False)), "not a number"),
    (lambda t, s: np.mean(people(t, s, new=None)), "People who taught"),
    (lambda t, s: np.mean(people(t, s, new=False)), "the others are asked for"),
    (lambda t, s: np.nanmean([v for who, v in s if who not in t]), "mean over slices"),
    (lambda t, s: np.nanmean([v for _, v in s]), "Everybody's slices"),
    (lambda t, s: np.mean(people(t, s, drop=False, fill=0.0)), "slice of Dice 0"),
    (lambda t, s: np.mean(people(t, s, drop=False, fill=1.0)), "slice of Dice 1"),
    (lambda t, s: np.mean(people(t, s, mean=np.median)), "medians"),
    (lambda t, s: np.mean(people(t, s, mean=np.max)), "best slice"),
    (lambda t, s: np.sum(people(t, s)), "Divide by"),
    (lambda t, s: 0.123, "it is"),
]


def test_exercise_2_refuses_the_usual_slips():
    assert external_dice(lambda t, s: np.mean(people(t, s))) == ""
    for answer, words in SLIPS_2:
        assert words in external_dice(answer)


class Ended:
    """A training of which best and last epoch are one."""

    def restore(self, network, rule):
        return network

    def row(self, rule):
        return {"epoch": 10}


def test_of_an_unseen_set_no_epoch_is_chosen_on_what_is_scored_and_one_epoch_is_scored_once(monkeypatch):
    run = trial("miniseg", "", "across_p9", 1, 0, "paper", recipe="short")
    given, scored = [], []
    monkeypatch.setattr(run.task, "learn", lambda network, train_set, val_set, **options: given.append(val_set))
    monkeypatch.setattr(run.task, "scores", lambda network, cases: scored.append(cases) or {"clean": 1})
    run.learn(None, [], ["scored"])
    assert given == [None] and run.task.facts["chosen_on"] == "nothing"
    ended, cases = Ended(), ["scored"]
    assert run.score(None, ended, cases, "best") == run.score(None, ended, cases, "last")
    run.score(None, Ended(), cases, "last")
    assert len(scored) == 2  # another training is scored again


@pytest.mark.parametrize("variant", ["width 8", "lungs alone, width 8"])
def test_in_the_papers_budget_no_scan_is_segmented_between_epochs(variant, monkeypatch):
    seen = []
    for budget in ("paper", "lesson"):
        run = trial("covid_segnet", variant, "p20", 1, 0, budget)
        monkeypatch.setattr(run.task, "learn", lambda network, learned, watched, **options: seen.append(watched))
        run.learn(None, [], ["scan"])
    assert seen == [None, ["scan"]]


def test_a_training_computes_in_its_recipes_precision_unless_it_is_told(monkeypatch):
    asked = []

    def refuse(name, device):
        asked.append(name)
        raise UserError("seen")

    monkeypatch.setattr(loop, "Precision", refuse)
    for precision in (None, "float32"):
        with pytest.raises(UserError, match="seen"):
            loop.train(None, [], None, papers.recipe("covidsegnet_short"), precision=precision)
    assert asked == ["bf16", "float32"]
