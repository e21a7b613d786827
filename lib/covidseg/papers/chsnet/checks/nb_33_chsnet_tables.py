"""Checks of 33_chsnet_tables: each returns "" or the sentence that helps."""

import numpy as np

from covidseg.papers.chsnet.data import fold_of_slices

# ------------------------------------------------------------------------------------------ 1: the fourth number


def fourth_number(answer) -> str:
    for tp, fp, fn, tn in ((30, 10, 20, 940), (46, 85, 54, 320), (5, 1, 0, 4)):
        pre, rec, spe = tp / (tp + fp), tp / (tp + fn), tn / (tn + fp)
        true, share = (tp + tn) / (tp + fp + fn + tn), (tp + fn) / (tp + fp + fn + tn)
        given = answer(pre, rec, spe)
        if given is None:
            return "The function returns nothing yet."
        if abs(given - true) < 1e-6:
            continue
        if abs(given - share) < 1e-6:
            return (
                "That is the share of positive pixels. Accuracy weighs recall with it, and specificity with the rest."
            )
        if abs(given - ((1 - share) * rec + share * spe)) < 1e-6:
            return "The weights are swapped: recall speaks of the positive pixels."
        if abs(given - (rec + spe) / 2) < 1e-6:
            return "Recall and specificity do not weigh the same: negative pixels are far more."
        return f"For Pre {pre:.3f}, Rec {rec:.3f}, Spe {spe:.3f} you give {given:.3f}; the accuracy is {true:.3f}."
    return ""


# ------------------------------------------------------------------------------------------ 2: the leak


def leaking_share(answer) -> str:
    chance = {z for z, fold in fold_of_slices(list(range(60)), "exercise").items() if fold == 0}
    trials = {
        "chance": (list(range(60)), chance),
        "the upper third": (list(range(60)), set(range(40, 60))),
        "a gap": ([3, 5, 7, 9, 20], {7, 20}),
    }
    for name, (numbers, tested) in trials.items():
        order = sorted(numbers)
        near = {z: {*order[max(k - 1, 0) : k], *order[k + 1 : k + 2]} for k, z in enumerate(order)}
        true = sum(bool(near[z] - tested) for z in tested) / len(tested)
        given = answer(list(numbers), set(tested))
        if given is None:
            return "The function returns nothing yet."
        if abs(given - true) < 1e-6:
            continue
        if abs(given - true * len(tested)) < 1e-6:
            return "Divide by the number of tested slices: a share is asked for."
        if abs(given - true * len(tested) / len(numbers)) < 1e-6:
            return "Divide by the number of tested slices, not by that of all slices."
        if name == "a gap":
            return "With gaps in the numbers, neighbours are the next ones that are there: beside 7 is 9, if 8 is not."
        return f"For {name} you give {given:.3f}; it is {true:.3f}."
    return ""


# ------------------------------------------------------------------------------------------ 3: drawing patients


def interval_over_patients(answer) -> str:
    rng = np.random.default_rng(0)
    names = np.array(list("abcdefghijkl"))
    patients = np.repeat(names, rng.integers(4, 60, len(names)))
    levels = dict(zip(names, rng.normal(0.1, 0.2, len(names)), strict=True))
    gains = np.array([levels[name] for name in patients]) + rng.normal(0, 0.02, len(patients))
    groups = [gains[patients == name] for name in names]
    draws = 4000
    chosen = rng.integers(0, len(groups), (draws, len(groups)))
    true = np.percentile([np.concatenate([groups[k] for k in row]).mean() for row in chosen], [2.5, 97.5])
    equal = np.percentile([np.mean([groups[k].mean() for k in row]) for row in chosen], [2.5, 97.5])
    slices = np.percentile(gains[rng.integers(0, len(gains), (draws, len(gains)))].mean(1), [2.5, 97.5])
    given = answer(gains.copy(), patients.copy(), draws, np.random.default_rng(1))
    if given is None:
        return "The function returns nothing yet."
    given = np.asarray(given, float)
    if given.shape != (2,):
        return f"Return two numbers, the 2.5th and the 97.5th percentile; the answer has shape {given.shape}."
    if np.allclose(given, true, atol=0.015):
        return ""
    if np.allclose(given, slices, atol=0.01):
        return "This draws slices: far too sure. Draw patients, and take all slices of each."
    if np.allclose(given, equal, atol=0.01):
        return "Take the mean over all slices of the drawn patients, not the mean of the patients' means."
    return f"For twelve patients you give {given[0]:+.3f} to {given[1]:+.3f}; it is {true[0]:+.3f} to {true[1]:+.3f}."


CHECKS = {1: fourth_number, 2: leaking_share, 3: interval_over_patients}
