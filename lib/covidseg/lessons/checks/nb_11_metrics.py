"""Checks for 11_metrics: what two columns of a table imply, a fair distance, measures that disagree."""

import numpy as np

from covidseg.lessons.answers import array, kind, number, numbers
from covidseg.lessons.quiz import Choice, Question
from covidseg.metrics import dice, hausdorff

DSC, MIOU = 0.7591, 0.8215  # printed for COVID-19-CT100, see the notebook


def _one_table(answer):
    lesion, background = numbers(answer, 2)
    right = DSC / (2 - DSC)
    if abs(lesion - DSC) < 1e-9:
        return "The first number is the Dice itself; solve Dice = 2 IoU / (1 + IoU) for IoU."
    if abs(lesion - right) > 0.0015:
        return f"The lesion's IoU is not {lesion:.3f}: solve Dice = 2 IoU / (1 + IoU) for IoU."
    if abs(background - (2 * MIOU - right)) > 0.003:
        return f"The background's IoU is not {background:.3f}: the mean of the two must be {MIOU}."
    return ""


def _fair_distance(answer):
    for shape, spacing in (((30, 40), (2.0, 0.5)), ((36, 25), (0.7, 0.8))):
        nothing, left, right = np.zeros((3, *shape), bool)
        left[10:20, 5:15], right[10:20, 9:19] = (
            np.tri(10),
            np.tri(10).T,
        )  # triangles: the boxes around them lie elsewhere
        diagonal = float(np.hypot(shape[0] * spacing[0], shape[1] * spacing[1]))
        for what, pred, truth, expected in (
            ("two overlapping masks", left, right, hausdorff(left, right, spacing=spacing)),
            ("the same masks the other way round", right, left, hausdorff(left, right, spacing=spacing)),
            ("an empty prediction", nothing, right, diagonal),
            ("an empty truth", left, nothing, diagonal),
            ("two empty masks", nothing, nothing, 0.0),
        ):
            given = answer(pred.copy(), truth.copy(), spacing)
            if isinstance(given, float) and not np.isfinite(given):
                return f"For {what} it gives {given}: what is the distance where nothing is marked?"
            value = number(given)
            if not abs(value - expected) < 0.01 * max(expected, 1):
                pixels = f"{shape[0]} x {shape[1]} pixels of {spacing[0]:g} x {spacing[1]:g} mm"
                return f"For {what} ({pixels}) it gives {value:.2f} mm, not {expected:.2f} mm."
    return ""


def _disagree(answer):
    if not isinstance(answer, list | tuple | np.ndarray) or len(answer) != 3:
        return f"Give three masks: (truth, first, second); your answer is {kind(answer)}."
    truth, first, second = (array(mask, (32, 32)) for mask in answer)
    if any(not np.isin(mask, (0, 1)).all() for mask in (truth, first, second)):
        return "A mask holds 0 and 1, or False and True, and nothing else."
    truth, first, second = (mask.astype(bool) for mask in (truth, first, second))
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
