"""Checks of 24_chsnet: each returns "" or the sentence that helps."""

import numpy as np

from covidseg.lessons.answers import array, near, number, whole
from covidseg.lessons.quiz import Choice, Question
from covidseg.papers.chsnet.blocks import IC
from covidseg.papers.chsnet.spectral import spectral_matrix
from covidseg.papers.chsnet.wiring import PAPER

# ------------------------------------------------------------------------------------------ 1: spectral pooling


def spectral_line(answer) -> str:
    rng = np.random.default_rng(0)
    for N, n in ((16, 8), (15, 7), (12, 5), (9, 9), (8, 1)):
        x = rng.normal(size=N) + 1
        given = array(answer(x.copy(), n), (n,))
        wanted = spectral_matrix(n, N) @ x
        if np.allclose(given, wanted, rtol=0, atol=6e-4):
            continue
        ratio = given.mean() / wanted.mean()
        for factor, name in ((n / N, "n/N"), (N / n, "N/n"), ((n / N) ** 0.5, "sqrt(n/N)"), (N, "N"), (n, "n")):
            if np.allclose(given, factor * wanted, atol=1e-8) and n != N:
                return f"The shape is right, the scale is not: your values are {name} times too large; keep the mean."
        if abs(ratio - 1) < 1e-6:
            return f"For N={N}, n={n} the mean is right, the rest is not: keep the n frequencies around 0."
        return f"For N={N}, n={n} the mean is {given.mean():.3f}; that of x is {x.mean():.3f}."
    return ""


# ------------------------------------------------------------------------------------------ 2: parameters of IC


def inception_parameters(answer) -> str:
    for C, C_out in ((1, 20), (20, 20), (6, 10)):
        true = sum(p.numel() for p in IC(C, C_out, PAPER).parameters())
        given = whole(answer(C, C_out))
        if given == true:
            continue
        slips = {
            3 * 2 * C_out: "The three branches lack their BatchNorm, two numbers per channel.",
            3 * C_out: "Each DSC has a bias in its second step.",
            2 * C: "The pooling branch has a BatchNorm, too.",
            2 * C * C + C: "The pooling branch ends in a 1x1 convolution from 2C to C channels.",
            C * C: "Hybrid pooling mixes 2C channels, not C: max and spectral.",
            2 * C_out: "The last convolution has a BatchNorm.",
            C * C_out: "The last convolution also reads the C channels of the pooling branch.",
            C: "The 1x1 DSC has a first step, too: one number per channel. Or a bias of the pooling's 1x1 is missing.",
        }
        hint = slips.get(true - given, f"you count {given:,}; the block has {true:,}.")
        return f"For C={C}, C_out={C_out}: {hint}"
    return ""


# ------------------------------------------------------------------------------------------ 3: the ceiling


def ceiling_of_dice(answer) -> str:
    for r in (1.0, 0.9, 0.5, 0.2):
        given = number(answer(r))
        if near(given, 2 * r / (1 + r)):
            continue
        if near(given, r):
            return "That is the recall. Dice is the harmonic mean of recall and precision."
        if near(given, r / (2 - r)):
            return "That would be the Jaccard index of a Dice of r; r is the recall here, and precision is 1."
        return f"For r={r} you give {given:.3f}. Nothing false is marked: what is the precision?"
    return ""


CHECKS = {1: spectral_line, 2: inception_parameters, 3: ceiling_of_dice}

QUIZ = (
    Question(
        "Attention uses *global spectral* pooling in place of global average pooling. What changes?",
        (
            Choice(
                "Nothing: the one frequency that is left is the mean.",
                "Both give 0.403 on this slice. A new name is not yet a new number.",
                right=True,
            ),
            Choice(
                "It sees high frequencies, which an average cannot.",
                "The window has one frequency, the lowest. The high ones are what is cut.",
            ),
            Choice(
                "It is less drawn to extreme values.", "So the paper says; but it is the same sum over the same pixels."
            ),
        ),
    ),
    Question(
        "The lung network loses six pixels of rim. What can the second network do about it?",
        (
            Choice(
                "Find the lesions there all the same, from their surroundings.",
                (
                    "They are painted black, and it was trained to find nothing in black; its recall follows the "
                    "ceiling down."
                ),
            ),
            Choice(
                "Nothing: its recall stays below the share that is inside the drawn lungs.",
                "Look at the first mask before you believe the second.",
                right=True,
            ),
            Choice(
                "Raise an alarm.",
                "It answers a flat logit below zero, as for healthy lung. An empty mask looks like good news.",
            ),
        ),
    ),
)
