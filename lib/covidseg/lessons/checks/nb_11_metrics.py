"""Checks for 11_metrics: what two columns of a table imply, a fair distance, measures that disagree."""

import numpy as np

from covidseg.lessons.quiz import Choice, Question
from covidseg.metrics import dice, hausdorff

DSC, MIOU = 0.7591, 0.8215  # printed for COVID-19-CT100, see the notebook


def _one_table(answer):
    lesion, background = map(float, answer)
    right = DSC / (2 - DSC)
    if abs(lesion - DSC) < 1e-9:
        return "The first number is the Dice itself; solve Dice = 2 IoU / (1 + IoU) for IoU."
    if abs(lesion - right) > 0.0015:
        return f"The lesion's IoU is not {lesion:.3f}: solve Dice = 2 IoU / (1 + IoU) for IoU."
    if abs(background - (2 * MIOU - right)) > 0.003:
        return f"The background's IoU is not {background:.3f}: the mean of the two must be {MIOU}."
    return ""


def _fair_distance(answer):
    nothing, left, right = np.zeros((3, 30, 40), bool)
    left[10:20, 5:15], right[10:20, 9:19] = True, True
    spacing, diagonal = (2.0, 0.5), float(np.hypot(60, 20))
    for what, pred, truth, expected in (
        ("two overlapping masks", left, right, 2.0),
        ("an empty prediction", nothing, right, diagonal),
        ("an empty truth", left, nothing, diagonal),
        ("two empty masks", nothing, nothing, 0.0),
    ):
        value = float(answer(pred.copy(), truth.copy(), spacing))
        if not abs(value - expected) < 0.01 * max(expected, 1):
            return f"For {what} (30 x 40 pixels of 2 x 0.5 mm) it gives {value:.2f} mm, not {expected:.2f} mm."
    return ""


def _disagree(answer):
    truth, first, second = (np.asarray(mask) for mask in answer)
    if {truth.shape, first.shape, second.shape} != {(32, 32)}:
        return "All three masks must have 32 x 32 pixels."
    if not (truth.any() and first.any() and second.any()):
        return "None of the masks may be empty."
    gain = dice(first, truth) - dice(second, truth)
    if gain < 0.2:
        return f"In Dice the first leads by {gain:.3f}, and 0.2 is asked for."
    nearer = hausdorff(first, truth) - hausdorff(second, truth)
    if nearer < 10:
        return f"In Hausdorff distance the second leads by {nearer:.1f} pixels, and 10 are asked for."
    return ""


CHECKS = {1: _one_table, 2: _fair_distance, 3: _disagree}

QUIZ = (
    Question(
        "A prediction is empty and the slice is infected. Which score may call it perfect, if the rule is careless?",
        (
            Choice("Dice.", "Nothing is common, so Dice is 0 by any rule."),
            Choice(
                "The Hausdorff distance.",
                "It has no value then; a program that answers 0 gives the worst mask the best distance.",
                right=True,
            ),
            Choice("Sensitivity.", "Nothing was found, so it is 0."),
        ),
    ),
    Question(
        "A table prints a Jaccard of 0.80 and a Dice of 0.78 for the same masks. What do you conclude?",
        (
            Choice("Jaccard is the stricter score, so all is well.", "Being stricter it is never above Dice."),
            Choice("The masks are small.", "The order of the two does not depend on size."),
            Choice(
                "One of the two is wrong, or they are not of the same masks.",
                "J = D / (2 - D), so J is below D except at 0 and 1; means over slices keep that order.",
                right=True,
            ),
        ),
    ),
)
