"""Checks of 32_infnet_tables: each returns "" or the sentence that helps."""

import csv

import numpy as np

from covidseg.fetch.catalog import data_file
from covidseg.lessons.answers import kind, number
from covidseg.lessons.quiz import Choice, Question
from covidseg.papers.infnet.protocol import curves

MEASURES = ("dice", "sen", "spec", "s_alpha", "e_phi_mean", "mae")


def ceiling(answer) -> str:
    answer = number(answer)
    if abs(answer - 353 / 638) < 0.001:
        return ""
    if abs(answer - 285 / 638) < 0.001:
        return "That is the share of slices without infection; the perfect network scores 0 on those and 1 on the rest."
    if abs(answer - 1) < 0.001:
        return "A perfect map of a slice without infection has no hit at any threshold: what does the tool score then?"
    return "Average 1 over the slices with infection and 0 over those without."


def misfits(answer) -> str:
    true = set()
    with data_file("papers/infnet_table3.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for m in MEASURES:
                ggo, consolidation = float(row[f"ggo_{m}"]), float(row[f"consolidation_{m}"])
                if abs((ggo + consolidation) / 2 - float(row[f"average_{m}"])) > 0.0011:
                    true.add((row["method"], m))
    if not isinstance(answer, set | list | tuple | frozenset | dict):
        return f"Give a set of pairs (method, measure), not {kind(answer)}."
    given = {tuple(pair) if isinstance(pair, list | tuple) else (pair,) for pair in answer}
    if any(len(pair) != 2 or not all(isinstance(word, str) for word in pair) for pair in given):
        return "Each member must be a pair of texts: (method, measure)."
    if given == true:
        return ""
    if extra := given - true:
        return f"{sorted(extra)[0]} fits: its average is the mean of the other two, to rounding."
    return f"{len(true - given)} of the {len(true)} cells are still missing."


def dice_over_thresholds(answer) -> str:
    rng = np.random.default_rng(0)
    G = np.zeros((24, 24), bool)
    G[4:12, 6:15] = True
    soft = np.clip(0.35 * G + 0.3 * rng.random(G.shape), 0, 1)
    stretched = (soft - soft.min()) / (soft.max() - soft.min())
    wanted = curves(stretched, G)[0]["Dice"].mean()
    got = number(answer(soft.copy(), G.copy()))
    if abs(got - wanted) > 6e-4:
        if abs(got - curves(soft, G)[0]["Dice"].mean()) < 6e-4:
            return "Stretch the map first: its smallest value becomes 0, its largest 1."
        return f"For the map we tried you give {got:.4f}, the tool {wanted:.4f}. Are 0 and 1 among the 256 thresholds?"
    constant = number(answer(np.full(G.shape, 0.5), G.copy()))
    if abs(constant - curves(np.full(G.shape, 0.5), G)[0]["Dice"].mean()) > 6e-4:
        return "A constant map stays as it is: there is nothing to stretch."
    empty = number(answer(soft.copy(), np.zeros_like(G)))
    return "" if empty == 0 else "Without lesion there is no hit at any threshold, so the score is 0."


CHECKS = {1: ceiling, 2: misfits, 3: dice_over_thresholds}

QUIZ = (
    Question(
        "Two maps mark the same pixels at 0.5, one is surer of itself. Which has the higher Dice in Table II?",
        (
            Choice(
                "Both the same: the masks are equal.",
                "At 0.5 they are. The table averages over 256 thresholds, and a soft map loses at most of them.",
            ),
            Choice(
                "The softer one: it is more honest.",
                "Honesty is measured by calibration (`41_attention_explorer`), not by this mean.",
            ),
            Choice("The surer one.", "So the column measures sureness and shape together.", right=True),
        ),
    ),
    Question(
        "A perfect network is scored for consolidation by the tool, over all 48 slices. Its sensitivity?",
        (
            Choice(
                "0.79: ten slices have no consolidation and count 0.",
                "38/48. The printed table leaves the ten out, which is the better rule; say which one you used.",
                right=True,
            ),
            Choice("1.", "It would be, if slices without the class were left out or counted as found."),
            Choice("It has none.", "Of each empty slice the ratio is 0/0; the tool writes 0 and goes on."),
        ),
    ),
    Question(
        "Table IV ends with 0.739 for all three parts; Table II has Inf-Net at 0.682. Which network is the last row?",
        (
            Choice(
                "Inf-Net, in a better run.", "All six columns are those of another row of Table II, digit for digit."
            ),
            Choice(
                "Semi-Inf-Net: the rows of Table IV learned from pseudo labels.",
                "So they must not be held against rows of Table II that did not.",
                right=True,
            ),
            Choice(
                "Inf-Net with weighted BCE.",
                "No run of the published program had weights there; the row is found elsewhere in Table II.",
            ),
        ),
    ),
)
