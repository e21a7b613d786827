"""Checks for 41_attention_explorer: contrast of a map, what reverse attention leaves, expected calibration error."""

import numpy as np

from covidseg.attention import reliability
from covidseg.lessons.answers import near, number
from covidseg.lessons.quiz import Choice, Question

# --------------------------------------------------------------------------------------------- 1: contrast


def contrast(answer) -> str:
    rng = np.random.default_rng(1)
    for trial in range(4):
        A, lung, lesion = rng.random((9, 12)), np.zeros((9, 12), bool), np.zeros((9, 12), bool)
        lung[1:8, 1:10] = True
        lesion[2 + trial : 6, 3:12] = True  # a part of it lies outside the lung
        A[lesion] += 0.5 - 0.4 * trial
        right = A[lesion].mean() - A[lung & ~lesion].mean()
        given = number(answer(A.copy(), lesion.copy(), lung.copy()))
        if not near(given, right):
            return _slip_of_contrast(given, right, A, lesion, lung)
    for lesion, lung in ((np.zeros((3, 3), bool), np.ones((3, 3), bool)), (np.ones((3, 3), bool),) * 2):
        given = number(answer(np.ones((3, 3)), lesion, lung))
        if given != 0:
            return f"Without a lesion, or without healthy lung, there is nothing to compare: return 0.0, not {given}."
    return ""


def _slip_of_contrast(given, right, A, lesion, lung) -> str:
    healthy = lung & ~lesion
    slips = (
        (-right, "The sign is wrong: higher in the lesion is positive, and a map may be lower there: keep the sign."),
        (A[lesion].mean() - A[lung].mean(), "Healthy lung is lung that is no lesion; you compare with the whole lung."),
        (A[lesion].mean() - A[~lesion].mean(), "You compare with all that is no lesion; most of that is no lung."),
        (A[lesion].mean() - A.mean(), "You compare with the whole slice."),
        (A[lesion & lung].mean() - A[healthy].mean(), "All of the lesion counts, also what lies outside the lung."),
        (A[lesion].sum() - A[healthy].sum(), "You take sums: a large lesion would win by its size alone."),
        (np.median(A[lesion]) - np.median(A[healthy]), "You take medians; the contrast is of means."),
        (A[lesion].max() - A[healthy].max(), "You take maxima; the contrast is of means."),
        (A[lesion].mean() / A[healthy].mean(), "You divide; the contrast is a difference."),
        (A[lesion].mean(), "That is the mean in the lesion; take the healthy lung's away."),
    )
    return _named(given, right, slips)


# ------------------------------------------------------------------------------- 2: what is left to look at


def left_to_look_at(answer) -> str:
    rng = np.random.default_rng(2)
    for trial in range(4):
        S, truth = rng.normal(0.4 * trial, 2, (8, 11)), np.zeros((8, 11), bool)
        truth[1:6, 2 : 6 + trial] = True
        right = float((S[truth] < 0).mean())
        given = number(answer(S.copy(), truth.copy()))
        if not near(given, right):
            return _slip_of_left(given, right, S, truth)
    given = number(answer(np.ones((3, 3)), np.zeros((3, 3), bool)))
    if given != 0:
        return f"Where nothing is infected nothing is left: return 0.0, not {given}."
    return ""


def _slip_of_left(given, right, S, truth) -> str:
    A = 1 / (1 + np.exp(S))
    slips = (
        (1 - right, "That is the share that is erased: A is 1 minus the sigmoid of S."),
        ((S < 0).mean(), "Of the infected pixels, not of all pixels of the slice."),
        (((S < 0) & truth).mean(), "You divide by all pixels; divide by the infected ones."),
        (((S < 0) & truth).sum(), "That is a number of pixels; the question is a share."),
        (((S < 0) & truth).sum() / max(1, (S < 0).sum()), "You divide by what is left; divide by what is infected."),
        ((S[~truth] < 0).mean(), "You look at the healthy pixels."),
        (A[truth].mean(), "That is the mean weight; count the pixels whose weight is above one half."),
        ((S[truth] < 0.5).mean(), "You compare the logit with one half; the weight A is what you compare."),
        ((1 - S[truth] > 0.5).mean(), "S are logits: A is 1 minus their sigmoid, not 1 minus S."),
        (100 * right, "That is per cent; a share is 0 to 1."),
    )
    return _named(given, right, slips)


# ------------------------------------------------------------------------------ 3: expected calibration error


def calibration_error(answer) -> str:
    rng = np.random.default_rng(3)
    for bins in (1, 4, 10):
        p = np.concatenate([rng.random(300) ** 2, [0.0, 0.25, 0.5, 0.5, 1.0, 1.0]])
        truth = (rng.random(len(p)) < 0.2 + 0.5 * p).astype(int)
        right = reliability(p, truth, bins=bins)
        given = number(answer(p.copy(), truth.copy(), bins))
        if not near(given, right.error):
            return _slip_of_error(given, right, p, truth, bins)
    edge = np.array([0.5, 0.5, 0.4]), np.array([1, 1, 0])
    given = number(answer(*(values.copy() for values in edge), 2))
    if not near(given, reliability(*edge, bins=2).error):
        return "A value on the border of two bins belongs to the upper one."
    return ""


def _slip_of_error(given, right, p, truth, bins) -> str:
    there = right.count > 0
    gap, share = (right.said - right.found)[there], right.count[there] / right.count.sum()
    slips = (
        (abs((gap * share).sum()), "Bins that boast and bins that are shy cancel out: take each bin's distance."),
        ((gap * share).sum(), "Bins that boast and bins that are shy cancel out: take each bin's distance."),
        (abs(gap).mean(), "Every bin counts alike; let it count by its pixels."),
        (abs(gap).sum(), "The distances are added; their mean is asked, each bin by its pixels."),
        ((abs(gap) * right.count[there]).sum(), "Divide by the number of all pixels."),
        (abs(gap).max(), "That is the worst bin (the maximum calibration error)."),
        ((gap**2 * share).sum(), "You square the distances; take their absolute values."),
        (np.sqrt((gap**2 * share).sum()), "You take a root of squares; take absolute values."),
        (np.abs(p - truth).mean(), "You compare pixel by pixel; compare the means of each bin."),
        (((p - truth) ** 2).mean(), "That is the Brier score."),
        (_with_middles(right, bins), "You take the middle of each bin for what was said; take the mean in the bin."),
    )
    return _named(given, right.error, slips)


def _with_middles(right, bins) -> float:
    gap = (np.arange(bins) + 0.5) / bins - right.found
    return float(np.nansum(abs(gap) * right.count) / right.count.sum())


# ------------------------------------------------------------------------------------------------- shared


def _named(given, right, slips) -> str:
    for value, says in slips:
        if near(given, value, digits=6):
            return says
    return f"For one set of numbers the answer is {right:.4f}, not {given:.4f}."


CHECKS = {1: contrast, 2: left_to_look_at, 3: calibration_error}

QUIZ = (
    Question(
        "Dilation 1 of one block follows the size of the lesions. What does that say about AHSP?",
        (
            Choice(
                "That small dilations look after small lesions.",
                "In none of the twenty blocks does the correlation climb from dilation 1 to 8.",
            ),
            Choice(
                "Little: it is one block of twenty, chosen after looking.",
                "By chance about one block in twenty-four climbs; none did.",
                right=True,
            ),
            Choice("That the network was trained well.", "Its Dice says something about that, a map does not."),
        ),
    ),
    Question(
        "The calibration error is 0.024 in the lungs and 0.006 over the whole slice. Which do you report?",
        (
            Choice(
                "The one in the lungs, and say so.",
                "The air around the patient is sure and right, and drowns the pixels that are in doubt.",
                right=True,
            ),
            Choice("The smaller one, it counts more pixels.", "The pixels that it adds were never in question."),
            Choice("Their mean.", "Of two answers to two questions the mean answers neither."),
        ),
    ),
    Question(
        "The reverse attention A_3 is near 0 in the core of a lesion. What does it mean?",
        (
            Choice(
                "The network sees no infection there.",
                "The reverse: the coarser map has found it, so the next unit need not look.",
            ),
            Choice(
                "The gradient vanished.",
                "A is a weight between 0 and 1 that multiplies a feature; nothing is differentiated.",
            ),
            Choice(
                "The coarser map is sure of the core, and the unit is sent elsewhere.",
                "A = 1 - sigmoid(S): what is left is the rim, and whatever was missed.",
                right=True,
            ),
        ),
    ),
)
