"""Checks of 34_covid_segnet_tables: each returns "" or the sentence that helps."""

from collections import defaultdict

import numpy as np

# ------------------------------------------------------------------------------------------ 1: what two means allow


def dice_allowed(answer) -> str:
    for sen, prec in ((0.986, 0.983), (0.719, 0.597), (0.3, 0.4), (0.9, 0.5)):
        low, high = max(0.0, sen + prec - 1), 2 * sen * prec / (sen + prec)
        given = answer(sen, prec)
        if given is None:
            return "The function returns nothing yet."
        if np.shape(given) != (2,):
            return f"Return two numbers, the lowest and the highest mean Dice; the answer has shape {np.shape(given)}."
        if np.allclose(given, (low, high), atol=1e-9):
            continue
        said = _slip(tuple(float(v) for v in given), sen, prec, low, high)
        yours = f"For Sen {sen}, Prec {prec} you give {given[0]:.3f} to {given[1]:.3f}"
        return said or f"{yours}; it is {low:.3f} to {high:.3f}."
    return ""


def _slip(given: tuple[float, float], sen: float, prec: float, low: float, high: float) -> str:
    if np.allclose(given, (high, low), atol=1e-9):
        return "The lowest comes first."
    if abs(given[0] - (sen + prec - 1)) < 1e-9 > abs(given[1] - high) and low == 0:
        return f"For Sen {sen}, Prec {prec} the bound is below 0, and no Dice is: 0 then."
    if abs(given[1] - (sen + prec) / 2) < 1e-9:
        return "That is the arithmetic mean. Dice is the harmonic one, which is smaller, and concave (Jensen)."
    if abs(given[1] - max(sen, prec)) < 1e-9 or abs(given[1] - 1) < 1e-9:
        return "No case's Dice exceeds the harmonic mean of its Sen and Prec; what follows for the means?"
    if abs(given[1] - min(sen, prec)) < 1e-9:
        return "Dice lies between Sen and Prec, so it may exceed the smaller of the two."
    if abs(given[0] - high) < 1e-9 or abs(given[0] - min(sen, prec)) < 1e-9:
        return "One case may have all the sensitivity, another all the precision: both have Dice 0. How low can it get?"
    if abs(given[0] - sen * prec) < 1e-9:
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
        if given is None:
            return "The function returns nothing yet."
        true = _mean_of_people(scored, taught)
        if abs(float(given) - true) < 1e-9:
            continue
        return _why(float(given), scored, taught) or f"You give {float(given):.4f}; it is {true:.4f}."
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
        "A slice without a value has none: leave it out, or the mean is not a number.": np.nan,
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
    return next((why for why, value in slips.items() if np.isclose(given, value, atol=1e-9, equal_nan=True)), "")


CHECKS = {1: dice_allowed, 2: external_dice}
