"""Checks of 34_covid_segnet_tables: each returns "" or the sentence that helps."""

from collections import defaultdict

import numpy as np
from scipy import ndimage

from covidseg.lessons.answers import named, near, number, numbers
from covidseg.lessons.quiz import Choice, Question
from covidseg.metrics import dice, surface_dice

# ------------------------------------------------------------------------------------------ 1: what two means allow


def dice_allowed(answer) -> str:
    for sen, prec in ((0.986, 0.983), (0.719, 0.597), (0.3, 0.4), (0.9, 0.5)):
        low, high = max(0.0, sen + prec - 1), 2 * sen * prec / (sen + prec)
        given = numbers(answer(sen, prec), 2)
        if np.allclose(given, (low, high), rtol=0, atol=6e-4):
            continue
        said = _slip(tuple(float(v) for v in given), sen, prec, low, high)
        yours = f"For Sen {sen}, Prec {prec} you give {given[0]:.3f} to {given[1]:.3f}"
        return said or f"{yours}; it is {low:.3f} to {high:.3f}."
    return ""


def _too_high(given: float, sen: float, prec: float) -> str:
    """What a wrong highest mean Dice is, if it is a usual one."""
    if abs(given - (sen + prec) / 2) < 6e-4:
        return "That is the arithmetic mean. Dice is the harmonic one, which is smaller, and concave (Jensen)."
    if abs(given - max(sen, prec)) < 6e-4 or abs(given - 1) < 6e-4:
        return "No case's Dice exceeds the harmonic mean of its Sen and Prec; what follows for the means?"
    if abs(given - min(sen, prec)) < 6e-4:
        return "Dice lies between Sen and Prec, so it may exceed the smaller of the two."
    return ""


def _slip(given: tuple[float, float], sen: float, prec: float, low: float, high: float) -> str:
    if np.allclose(given, (high, low), rtol=0, atol=6e-4):
        return "The lowest comes first."
    if abs(given[0] - (sen + prec - 1)) < 6e-4 > abs(given[1] - high) and low == 0:
        return f"For Sen {sen}, Prec {prec} the bound is below 0, and no Dice is: 0 then."
    if abs(given[1] - high) >= 6e-4 and (said := _too_high(given[1], sen, prec)):
        return said
    if abs(given[0] - high) < 6e-4 or abs(given[0] - min(sen, prec)) < 6e-4:
        return "One case may have all the sensitivity, another all the precision: both have Dice 0. How low can it get?"
    if abs(given[0] - sen * prec) < 6e-4:
        return "The product is what independent cases would give; cases may conspire. What does (1-S)(1-P) >= 0 say?"
    if given[0] == 0 < low:
        return f"With Sen {sen} and Prec {prec} not every case can be bad: what does (1-S)(1-P) >= 0 say of one case?"
    return ""


# ------------------------------------------------------------------------------------------ 2: an external test


def external_dice(answer) -> str:
    for seed in (0, 1, 2):
        rng = np.random.default_rng(seed)
        people = [f"patient_{k}" for k in range(8)]
        taught = set(people[:3])
        scored = [(who, float(rng.uniform(0.1, 0.9))) for who in people for _ in range(rng.integers(1, 30))]
        scored += [("patient_7", float("nan")), ("patient_6", float("nan"))]  # no lesion drawn, none found
        rng.shuffle(scored)
        scored = [(str(who), float(value)) for who, value in scored]
        given = answer(set(taught), list(scored))
        if np.isscalar(given) and given != given:
            return "A slice without a value has none: leave it out, or the mean is not a number."
        given, true = number(given), _mean_of_people(scored, taught)
        if abs(given - true) < 6e-4:
            continue
        return _why(given, scored, taught) or f"You give {given:.4f}; it is {true:.4f}."
    return ""


def _mean_of_people(scored, left_out=frozenset(), fill=None) -> float:
    by_person = defaultdict(list)
    for who, value in scored:
        value = fill if np.isnan(value) else value
        if who not in left_out and value is not None:
            by_person[who].append(value)
    return float(np.mean([np.mean(values) for values in by_person.values()]))


def _why(given: float, scored, taught) -> str:
    new = [v for who, v in scored if who not in taught]
    old = [(who, v) for who, v in scored if who in taught]
    every = [v for _, v in scored]
    medians = defaultdict(list)
    for who, value in scored:
        if who not in taught and not np.isnan(value):
            medians[who].append(value)
    slips = {
        "People who taught the network are in it: leave them out.": _mean_of_people(scored),
        "These are the people who taught: the others are asked for.": _mean_of_people(old),
        "That is the mean over slices: the longest scan decides. Each person's mean first.": np.nanmean(new),
        "Everybody's slices at once: leave out who taught, then take each person's mean first.": np.nanmean(every),
        "A slice without a value is not a slice of Dice 0.": _mean_of_people(scored, taught, 0.0),
        "A slice without a value is not a slice of Dice 1.": _mean_of_people(scored, taught, 1.0),
        "Means are asked for, not medians.": float(np.mean([np.median(v) for v in medians.values()])),
        "Each person's best slice is not the person.": float(np.mean([np.max(v) for v in medians.values()])),
        "Divide by the number of people that were scored.": sum(np.mean(v) for v in medians.values()),
    }
    return next((why for why, value in slips.items() if near(given, value)), "")


# ------------------------------------------------------------------------------------------ 3: a boundary, in mm


def near_in_mm(answer) -> str:
    rng = np.random.default_rng(3)
    blob = ndimage.gaussian_filter(rng.normal(size=(14, 14, 9)), 2)
    truth, pred = blob > 0.02, ndimage.shift(blob, (1, 0, 1), order=1) > 0.03
    for spacing, tolerance in (((0.7, 0.7, 5.0), 3.0), ((2.0, 1.0, 1.0), 1.5)):
        true = surface_dice(pred, truth, tolerance=tolerance, spacing=spacing)
        given = number(answer(pred.copy(), truth.copy(), spacing, tolerance))
        if near(given, true):
            continue
        slips = {
            surface_dice(pred, truth, tolerance=tolerance): "Distances are in voxels still: a voxel is not 1 mm wide.",
            100 * true: "A share is asked for, 0 to 1: no per cent.",
            surface_dice(pred, truth, tolerance=tolerance, spacing=spacing[::-1]): "The spacing is in the axes' order.",
            1 - true: "That is the share that lies outside the tolerance.",
            float(dice(pred, truth)): "That is Dice, of the volumes; boundaries are asked for.",
        }
        return (
            named(given, slips, 4)
            or f"With voxels of {spacing} mm and {tolerance} mm it is {true:.4f}, not {given:.4f}."
        )
    return ""


CHECKS = {1: dice_allowed, 2: external_dice, 3: near_in_mm}

QUIZ = (
    Question(
        "A row prints mean sensitivity 0.986, mean precision 0.983 and a mean Dice of 0.865. Possible?",
        (
            Choice(
                "Yes, if a few patients are very bad.",
                "Bad patients would lower the means, too: the sum of both less 1 stays below the mean Dice.",
            ),
            Choice(
                "No: the mean Dice must be 0.968 or more.",
                "S + P - 1 is at most D for each patient, and means keep that.",
                right=True,
            ),
            Choice(
                "Yes, means of different measures are free.",
                "Three means of one set of patients are tied by two inequalities.",
            ),
        ),
    ),
    Question(
        "Mean sensitivity 0.72, mean precision 0.60. What is the mean Dice?",
        (
            Choice("0.65, their harmonic mean.", "That is the upper end, reached only where all patients are alike."),
            Choice("0.66, their mean.", "Dice is never above the harmonic mean of the two, nor is its average."),
            Choice(
                "Anything from 0.32 to 0.65.",
                "It depends on how much patients differ, which a table of means hides.",
                right=True,
            ),
        ),
    ),
    Question(
        "The paper has 0.726 on its patients, Ma et al. 0.673 on P20. Which network is better?",
        (
            Choice(
                "That cannot be said: other patients, and 731 scans to learn from against four.",
                "Sixteen scans in place of four bring Ma's network to 0.777.",
                right=True,
            ),
            Choice(
                "COVID-SegNet, by 0.053.",
                "The spread over patients is 0.2, and the two were never asked about the same one.",
            ),
            Choice(
                "Ma's, as it learned from fewer.",
                "Perhaps; but these numbers do not say what either does on the other's scans.",
            ),
        ),
    ),
)
