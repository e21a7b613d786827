"""Checks of 30_miniseg_ablations: what chance alone agrees on, what deep supervision costs, runs paired by seed."""

from functools import cache

import numpy as np
import torch

from covidseg.lessons.answers import named, near, number, whole
from covidseg.lessons.quiz import Choice, Question
from covidseg.nn.registry import create_model

# ------------------------------------------------------------------------------------------ 1: agreement by chance

ROWS, SEEDS = 12, 3


def agreement_by_chance(answer) -> str:
    given = number(answer)
    if near(given, ROWS / 2**SEEDS, 2):
        return ""
    slips = {
        ROWS / 2: "Half of the rows would agree with one seed; all three seeds must.",
        ROWS / SEEDS: "A coin has two sides: three seeds agree on a given side with a chance of one half to the third.",
        1 / 2**SEEDS: "That is the chance of one row; there are twelve rows.",
        100 / 2**SEEDS: "That is the chance of one row, in per cent; twelve rows are asked for.",
        ROWS / 2 ** (SEEDS - 1): "All seeds on either side would be twice as likely; they must be on the paper's side.",
        6.0: "Six is what you see here. What would be seen if no part mattered?",
        0.0: "Chance agrees now and then: each seed is a coin.",
    }
    return named(given, slips, 2) or "Each seed is a coin: which share of the rows shows the paper's side three times?"


# ------------------------------------------------------------------------------------------ 2: heads for training only


def heads_for_training(answer) -> str:
    for C, classes in (((8, 24, 32, 64), 2), ((8, 24, 32, 64), 4), ((16, 48, 64, 128), 2)):
        true, given = _parameters(C, classes, True) - _parameters(C, classes, False), whole(answer(C, classes))
        if given == true:
            continue
        slips = {
            classes * sum(C[1:]): "Each of the three convolutions has a bias, one number for each class.",
            classes * sum(C) + 4 * classes: "The head on the first map is the one that predicts: it stays.",
            classes * sum(C[:3]) + 3 * classes: "The three extra heads read the maps of stages 2, 3 and 4.",
            sum(C[1:]) + 3: "A head answers with one map for each class.",
            9 * classes * sum(C[1:]) + 3 * classes: "The heads are 1x1 convolutions: one tap, not nine.",
            classes * sum(C[1:]) + 3: "The bias has one number for each class, too.",
        }
        return f"For C={C} and {classes} classes: {named(given, slips) or f'it is {true:,}, you say {given:,}.'}"
    return ""


@cache
def _parameters(C, classes, aux) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in create_model("miniseg", C=C, num_classes=classes, aux=aux).parameters())


# ------------------------------------------------------------------------------------------ 3: runs paired by seed


def paired_by_seed(answer) -> str:
    trials = (
        ({0: 74.3, 1: 76.6, 2: 75.6}, {2: 82.1, 0: 81.4, 1: 80.7}),  # as files come: in another order
        ({3: 70.0, 1: 60.0}, {1: 61.0, 2: 99.0, 3: 73.0, 7: 10.0}),  # a seed that only one of them has
        ({5: 50.0}, {5: 49.0, 6: 80.0}),
    )
    for one, other in trials:
        both = sorted(one.keys() & other.keys())
        gaps = [other[s] - one[s] for s in both]
        given = number(answer(dict(one), dict(other)))
        if near(given, float(np.mean(gaps)), 2):
            continue
        return _pairs(given, one, other, gaps)
    if (apart := answer({0: 70.0}, {1: 71.0})) is not None:
        return f"Without a common seed nothing can be said: the answer is None, and you give {apart!r}."
    return ""


def _pairs(given, one, other, gaps) -> str:
    mean, by_order = float(np.mean(gaps)), [b - a for a, b in zip(one.values(), other.values(), strict=False)]
    slips = {
        -mean: "The sign is turned round: the second minus the first.",
        float(np.mean(by_order)): "Runs are paired by their order in the dict: take the same seed from both.",
        float(np.mean([*other.values()]) - np.mean([*one.values()])): "Take only seeds that both have.",
        float(np.sum(gaps)): "Divide by the number of pairs: a mean is asked for.",
        float(np.median(gaps)): "The mean of the differences is asked for, not their median.",
        float(np.max(gaps)): "The largest difference is no mean.",
    }
    return named(given, slips, 2) or f"For {one} and {other} you give {given:.2f}; it is {mean:.2f}."


CHECKS = {1: agreement_by_chance, 2: heads_for_training, 3: paired_by_seed}

QUIZ = (
    Question(
        "From MB+AH+TP to MiniSeg the paper gains 2.79 points. Is that what concatenate-fuse-split brings?",
        (
            Choice(
                "Yes, it is the only difference between the rows.",
                "The code of that row has ReLU in path E, 17 PReLU layers in place of 40: two things change.",
            ),
            Choice(
                "It cannot be told: the activation changes in the same step.",
                "An ablation answers only if one thing changes. A third row would part the two.",
                right=True,
            ),
            Choice("No, PReLU brings all of it.", "The step holds both, in unknown parts."),
        ),
    ),
    Question(
        (
            "In print, attention, sums and the second path together add 0.48 points of DSC to MB. What "
            "would tell whether that is more than chance?"
        ),
        (
            Choice(
                "The spread over the five folds.",
                "Folds are other patients, and both rows share them. How far a repeated training moves is not in it.",
            ),
            Choice(
                "Both rows again with other seeds, compared seed by seed.",
                "Here the gap of one and the same row moves by up to four points from seed to seed.",
                right=True,
            ),
            Choice("More decimals.", "They print the same single run more finely."),
        ),
    ),
)
