"""Checks of 23_multiclass: where a one-hot lands, a writer that does not stretch, two means of one column."""

from collections.abc import Callable
from itertools import combinations

import numpy as np

from covidseg.lessons.answers import array, numbers, whole
from covidseg.lessons.quiz import Choice, Question

# --------------------------------------------------------------------------------------------- 1: the slipped target

SHAPE = (3, 4)
PLACES = ((1, 2, 38), (1, 2, 75), (1, 2, 0), (2, 0, 0), (1, 1, 5), (0, 0, 0))


def where_it_lands(answer: Callable) -> str:
    for row, column, grey in PLACES:
        given, true = numbers(answer(row, column, grey, SHAPE), 3), _place(row, column, grey)
        given = tuple(whole(one) for one in given)
        if given != true:
            return _slip(row, column, grey, given, true)
    return ""


def _place(row: int, column: int, grey: int) -> tuple[int, int, int]:
    v = {38: 1, 75: 2}.get(grey, grey)
    place = 3 * (row * SHAPE[1] + column) + v - 1
    return tuple(int(n) for n in np.unravel_index(place % (3 * SHAPE[0] * SHAPE[1]), (*SHAPE, 3)))


def _slip(row, column, grey, given, true) -> str:
    where = f"Grey {grey} at row {row}, column {column} of {SHAPE[0]} x {SHAPE[1]}"
    if given == (row, column, 2) and grey == 0:
        return f"{where}: v is 0, so the place is 3 p - 1. That is no place of pixel p."
    if true[0] != row and given[0] == row:
        return f"{where}: pixels are numbered row by row; left of the first column is the end of the row above."
    if grey not in (0, 38, 75):
        return f"{where}: a grey that is no class is taken as v itself and lands (v - 1) // 3 pixels further."
    return f"{where} lands at {true}, not at {given}: divide the place 3 p + v - 1 by 3."


# ------------------------------------------------------------------------------------------------ 2: an honest writer


def honest_writer(answer: Callable) -> str:
    names = ("GGO", "consolidation", "background")
    for count in (3, 2, 1):
        for present in combinations(range(3), count):
            index = np.resize(np.array(present, np.uint8), (2, 3))
            picture = array(answer(index.copy()))
            if picture.dtype != np.uint8 or picture.shape != index.shape:
                return f"The picture should be uint8 {index.shape}; yours is {picture.dtype} {picture.shape}."
            read = np.select([picture == 0, picture == 128], [0, 1], 2)
            if not np.array_equal(read, index):
                there = " and ".join(names[i] for i in present)
                return f"A map of {there} is written as {np.unique(picture).tolist()} and read as something else."
            if not np.array_equal(picture, np.array([0, 128, 255])[index]):
                return "The reader understands it, but background should be 255, as people look at the picture too."
    return ""


# ----------------------------------------------------------------------------------------------------- 3: two means


def two_means(answer) -> str:
    dice, s = numbers(answer, 2)
    if abs(dice - 0.300 * 48 / 38) > 0.001:
        if abs(dice - 0.300 * 38 / 48) < 0.001:
            return "The first number goes the other way: the tool's mean holds ten zeros that the table leaves out."
        return f"The first number is not {dice:.3f}: the sum over the slices is 48 x 0.300; by how many is it divided?"
    if abs(s - (38 * 0.60 + 10) / 48) > 0.001:
        if abs(s - 0.60 * 38 / 48) < 0.001:
            return "In S an empty answer to an empty truth scores 1, not 0: the ten slices add something."
        return f"The second number is not {s:.3f}: it is the mean of 38 slices at 0.60 and ten at 1."
    return ""


CHECKS = {1: where_it_lands, 2: honest_writer, 3: two_means}

QUIZ = (
    Question(
        "A network learned with true priors and is tested with predicted ones. What suffers most?",
        (
            Choice(
                "Telling ground glass from consolidation.", "The lower rows of the confusion matrices hardly change."
            ),
            Choice(
                "Healthy pixels near lesions: the prior's wide rim is filled with classes.",
                "The damage is in the first row, of which there are fourteen times as many pixels.",
                right=True,
            ),
            Choice(
                "Nothing, a hint is only a hint.",
                (
                    "Trained beside a channel that never lies, the network takes it for an order: shown a black "
                    "prior it finds nothing."
                ),
            ),
        ),
    ),
    Question(
        "The authors' tool prints 0.362 for consolidation, their table 0.458, of the same maps. Why?",
        (
            Choice(
                "The table was rounded in the authors' favour.",
                "No rounding moves a number by a tenth; and sensitivity and specificity move by the same ratio.",
            ),
            Choice("They are maps of two networks.", "Then the three columns would not all fit one ratio."),
            Choice(
                "The tool averages over 48 slices, the table over the 38 that have consolidation.",
                "0.458 x 38/48 is 0.363: the other ten count 0 in the tool, whatever is answered.",
                right=True,
            ),
        ),
    ),
)
