"""Checks of 00_start_here: each returns "" or the sentence that helps."""

import numpy as np

from covidseg.data.transforms import LUNG
from covidseg.lessons.answers import named, near, number
from covidseg.lessons.quiz import Choice, Question
from covidseg.metrics import dice


def grey_of_water(answer) -> str:
    true = (0 - (LUNG.level - LUNG.width / 2)) / LUNG.width
    given = number(answer)
    if abs(given - true) < 0.01:
        return ""
    if abs(given - (0 - LUNG.level) / LUNG.width) < 0.01:
        return "You measured from the middle of the window; black is its lower end."
    if not 0 <= given <= 1:
        return f"Grey runs from 0 (black) to 1 (white), and {given:g} is outside."
    return "Find black and white in HU first; water, at 0 HU, lies between them."


def area_in_cm2(answer) -> str:
    mask = np.zeros((40, 30), np.uint8)
    mask[5:15, 8:28] = 1
    mask[10:15, 18:28] = 0  # an L of 150 pixels
    for height, width in ((0.5, 0.8), (1.0, 0.6)):
        true, given = 1.5 * height * width, number(answer(mask.copy(), (height, width)))
        if near(given, true):
            continue
        hints = {
            150: "That counts pixels; each covers spacing[0] x spacing[1] square millimetres.",
            100 * true: "That is in square millimetres; a square centimetre has a hundred of them.",
            10 * true: "A square centimetre has 10 x 10 square millimetres.",
            1.5 * height**2: "You used spacing[0] for both sides; a pixel need not be a square.",
            1.5 * width**2: "You used spacing[1] for both sides; a pixel need not be a square.",
            2 * height * width: "That is the box around the infection: count its pixels instead.",
        }
        where = f"150 pixels of {height} mm x {width} mm cover {true:g} square centimetres, not {given:g}."
        return named(given, hints) or where
    if number(answer(mask * 0, (0.5, 0.8))) != 0:
        return "A mask without infection has an area of 0."
    return ""


def macs_of_a_smaller_slice(answer) -> str:
    given = number(answer)
    if abs(given - 120.3) < 0.5:
        return ""
    slips = {
        481.3: "That is the cost of 512 x 512 pixels; half the side leaves fewer pixels.",
        240.6: "Half the side is a quarter of the pixels.",
        60.2: "Half the side leaves a quarter of the pixels, not an eighth.",
        0.12: "The answer is asked for in millions.",
        120_324_096: "The answer is asked for in millions.",
    }
    near_ones = [words for value, words in slips.items() if abs(given - value) < 0.01 * value + 0.05]
    return near_ones[0] if near_ones else "A convolution is done once for every pixel of its map: count the pixels."


def dice_repaired(answer) -> str:
    rng = np.random.default_rng(2)
    pairs = [rng.random((2, 9, 7)) < p for p in (0.2, 0.5, 0.8)]
    for mask, truth in pairs:
        true, given = dice(mask, truth), number(answer(mask.copy(), truth.copy()))
        if near(given, true):
            continue
        hits = (mask & truth).sum()
        slips = {
            float(
                hits / (mask | truth).sum()
            ): "That is still hits over the union (IoU): Dice is twice the hits over both.",
            float(hits / (mask.sum() + truth.sum())): "Twice the hits: an identical pair must give 1.",
            float(
                2 * hits / (mask | truth).sum()
            ): "Divide by both sizes together, where hits count twice, not by the union.",
            float(
                (mask == truth).mean()
            ): "That is the share of equal pixels: pixels that are empty in both do not count.",
        }
        return named(given, slips, 4) or f"For one pair of masks you give {given:.3f}; the Dice is {true:.3f}."
    nothing = np.zeros((9, 7), bool)
    both = answer(nothing.copy(), nothing.copy())
    if np.isscalar(both) and both != both:
        return "For two empty masks your function divides 0 by 0: they agree, so give 1."
    if number(both) != 1:
        return f"For two empty masks you give {number(both):g}; they agree, so give 1."
    one = number(answer(nothing.copy(), pairs[0][1].copy()))
    return "" if one == 0 else "Where one mask is empty and the other not, there is no hit: the Dice is 0."


CHECKS = {1: grey_of_water, 2: area_in_cm2, 3: macs_of_a_smaller_slice, 4: dice_repaired}

QUIZ = (
    Question(
        "A network reaches a Dice of 0.9 on phantoms. What does that say of patients?",
        (
            Choice(
                "It finds nine tenths of an infection.", "Dice is no share of what is found, and these are phantoms."
            ),
            Choice(
                "Nothing yet: a phantom is computed, and a scan differs in ways that nobody drew.",
                "A phantom shows that the program works. What it is worth on patients is measured on patients.",
                right=True,
            ),
            Choice(
                "It would reach about 0.9 there, too.", "A network loses much of its score on scans unlike its own."
            ),
        ),
    ),
    Question(
        "You set budget = 'smoke'. What is smaller?",
        (
            Choice(
                "The data and the number of steps; what is computed stays the same.",
                "That is why a checked cell prints the same in every budget.",
                right=True,
            ),
            Choice("The network.", "It stays as published; fewer and smaller slices pass through it."),
        ),
    ),
)
