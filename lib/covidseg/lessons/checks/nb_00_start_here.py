"""Checks of 00_start_here: each returns "" or the sentence that helps."""

import numpy as np

from covidseg.data.transforms import LUNG
from covidseg.lessons.quiz import Choice, Question


def grey_of_water(answer) -> str:
    true = (0 - (LUNG.level - LUNG.width / 2)) / LUNG.width
    given = float(answer)
    if abs(given - true) < 0.01:
        return ""
    if abs(given - (0 - LUNG.level) / LUNG.width) < 0.01:
        return "You measured from the middle of the window; black is its lower end."
    if not 0 <= given <= 1:
        return f"Grey runs from 0 (black) to 1 (white), and {given:g} is outside."
    return "Find black and white in HU first; water, at 0 HU, lies between them."


def area_in_cm2(answer) -> str:
    mask = np.zeros((40, 30), np.uint8)
    mask[5:15, 8:28] = 1  # 200 pixels
    given = float(answer(mask, (0.5, 0.8)))
    if abs(given - 0.8) < 1e-6:
        return "" if abs(float(answer(mask * 0, (0.5, 0.8)))) < 1e-6 else "A mask without infection has an area of 0."
    hints = {
        200: "That counts pixels; each covers spacing[0] x spacing[1] square millimetres.",
        80: "That is in square millimetres; a square centimetre has a hundred of them.",
        8: "A square centimetre has 10 x 10 square millimetres.",
        0.5: "You used spacing[0] for both sides; a pixel need not be a square.",
        1.28: "You used spacing[1] for both sides; a pixel need not be a square.",
    }
    near = [hint for value, hint in hints.items() if abs(given - value) < 1e-6]
    return near[0] if near else f"200 pixels of 0.5 mm x 0.8 mm cover 0.8 square centimetres, not {given:g}."


CHECKS = {1: grey_of_water, 2: area_in_cm2}

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
