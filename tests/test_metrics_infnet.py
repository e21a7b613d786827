"""Inf-Net's evaluation, stated again pixel by pixel, and against values recorded from the published definitions."""

import json
from math import isnan

import numpy as np
import pytest

from covidseg.errors import UserError
from covidseg.metrics import NotAMask, segmentation_scores

NAMES = {  # ours -> the recorded one
    "S": "S", "E": "E_mean", "MAE": "MAE", "Dice": "dice_mean", "Sen": "sen_mean", "Spec": "spec_mean_tool",
    "Prec": "prec_mean",
}  # fmt: skip


def blob(seed=0, shape=(12, 10)):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    truth = (rows - 5) ** 2 + (columns - 4) ** 2 < 12
    soft = np.exp(-((rows - 6) ** 2 + (columns - 5) ** 2) / 14) + 0.1 * rng.random(shape)
    return np.rint(255 * soft / soft.max()).astype(np.uint8), truth


def by_pixel(grey, truth):
    """Means over 256 thresholds, with the counts and the E-measure of each made by loops over the pixels."""
    p = (grey / 255 - grey.min() / 255) / (np.ptp(grey) / 255)
    totals = dict.fromkeys(("Dice", "Sen", "Spec", "Prec", "E"), 0.0)
    for k in range(256):
        found = np.floor(p * 255 + 1e-9) >= 255 - k
        tp, fp = (found & truth).sum(), (found & ~truth).sum()
        if tp:
            totals["Dice"] += 2 * tp / (found.sum() + truth.sum())
            totals["Sen"] += tp / truth.sum()
            totals["Spec"] += 1 - fp / (~truth).sum()
            totals["Prec"] += tp / found.sum()
        a, b = found - found.mean(), truth - truth.mean()
        phi = [(1 + 2 * x * y / (x * x + y * y + 1e-16)) ** 2 / 4 for x, y in zip(a.flat, b.flat, strict=True)]
        totals["E"] += sum(phi) / (truth.size - 1)
    return {name: total / 256 for name, total in totals.items()} | {"MAE": np.abs(p - truth).mean()}


def test_every_measure_is_the_mean_over_256_thresholds():
    for seed in (0, 1):
        grey, truth = blob(seed)
        scores = segmentation_scores(grey, truth, "infnet")
        for name, value in by_pixel(grey, truth).items():
            assert scores[name] == pytest.approx(value, abs=1e-9), name


def test_the_recorded_cases_agree_to_the_last_digits(reference):
    cases = json.loads((reference / "infnet-metric-cases.json").read_text())["cases"]
    arrays = np.load(reference / "infnet-metric-cases.npz")
    assert len(cases) == 20
    for case in cases:
        name = case["name"]
        scores = segmentation_scores(arrays[f"{name}/pred"], arrays[f"{name}/gt"], "infnet")
        for ours, theirs in NAMES.items():
            expected = case["expected"][theirs]
            if expected is None:
                assert isnan(scores[ours]) and scores.undefined[ours] == 1
            else:
                assert scores[ours] == pytest.approx(expected, abs=1e-12), (name, ours)


def test_a_perfect_mask_scores_one_and_an_empty_pair_scores_dice_0():
    _, truth = blob()
    perfect = segmentation_scores(truth, truth, "infnet")
    # at threshold 0 the whole picture is foreground: one of the 256 is never perfect
    assert perfect["Dice"] == pytest.approx((255 + 2 * truth.mean() / (1 + truth.mean())) / 256)
    assert perfect["S"] == pytest.approx(1) and perfect["MAE"] == 0
    nothing = np.zeros_like(truth)
    empty = segmentation_scores(nothing, nothing, "infnet")
    assert [empty[name] for name in ("Dice", "Sen", "Spec", "MAE", "S")] == [0, 0, 0, 0, 1]


def test_slices_without_lesion_can_be_left_out_as_in_table_3():
    grey, truth = blob()
    pair = [grey, grey], [truth, np.zeros_like(truth)]
    both, one = (segmentation_scores(*pair, "infnet", empty_truth=rule) for rule in ("score", "leave out"))
    assert both["Dice"] == pytest.approx(one["Dice"] / 2)
    assert one.n["Dice"] == one.undefined["Dice"] == 1 and isnan(one.cases[1]["S"])
    assert one["max Dice"] == segmentation_scores(grey, truth, "infnet")["max Dice"]


def test_max_dice_is_the_best_threshold_of_the_mean_curve_not_the_mean_of_best_thresholds():
    _, truth = blob()
    low, high = (
        np.where(truth, v, np.where(np.roll(truth, 3, 1), w, 0)).astype(np.uint8) for v, w in ((90, 255), (255, 90))
    )
    scores = segmentation_scores([low, high], [truth, truth], "infnet")
    alone = [segmentation_scores(grey, truth, "infnet")["max Dice"] for grey in (low, high)]
    assert scores["max Dice"] < np.mean(alone)


@pytest.mark.parametrize("full", [False, True])
def test_a_uint8_map_of_0_and_1_is_a_mask_and_not_a_nearly_black_grey(full):
    truth = np.zeros((12, 16), bool)
    truth[3:8, 4:9] = True
    mask = np.ones_like(truth) if full else np.roll(truth, 2, axis=1)
    as_bool, as_bytes, as_grey = (
        segmentation_scores([m], [truth], "infnet").cases for m in (mask, mask.astype(np.uint8), mask * np.uint8(255))
    )
    assert as_bool == as_bytes == as_grey


def test_floats_and_greys_of_the_same_map_score_the_same():
    grey, truth = blob()
    as_float = segmentation_scores(grey / 255, truth, "infnet")
    as_file = segmentation_scores(grey, np.where(truth, 200, 128).astype(np.uint8), "infnet")
    assert as_float.means == pytest.approx(as_file.means)


def test_logits_and_spacing_are_refused():
    grey, truth = blob()
    with pytest.raises(NotAMask, match="the sigmoid of the logits"):
        segmentation_scores(grey / 20.0, truth, "infnet")
    with pytest.raises(UserError, match="leave spacing out"):
        segmentation_scores(grey, truth, "infnet", spacing=(1, 1))
