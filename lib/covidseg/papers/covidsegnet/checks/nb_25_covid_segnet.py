"""Checks of 25_covid_segnet: each returns "" or the sentence that helps."""

from functools import cache

import torch

from covidseg.lessons.answers import near, number, whole
from covidseg.lessons.quiz import Choice, Question
from covidseg.papers.covidsegnet.blocks import FV
from covidseg.sliding_window import windows

# ------------------------------------------------------------------------------------------ 1: parameters of FV


def fv_parameters(answer) -> str:
    for C in (16, 8, 64):
        true = sum(p.numel() for p in FV(C).parameters())
        given = whole(answer(C))
        if given == true:
            continue
        hidden = C // 4
        slips = {
            26 * C * hidden: "The first layer of Eq. 2 is 1x1x1 here, not 3x3x3: on one voxel 26 taps are dead.",
            -(hidden + 1): "The last layer of Eq. 2 is missing: C/4 channels to one number, with a bias.",
            -6 * C: "Three convolutions are followed by BatchNorm, two numbers per channel each.",
            -C: "The second convolution of A has a bias: no BatchNorm follows it.",
            -54 * C * C: "The last convolution reads 3C channels: F_C, F_P and F_1.",
            C - 1 + hidden * (C - 1): "F_g is one number for all channels; yours has one for each (Table II's CAB).",
        }
        return f"For C={C}: {slips.get(given - true, f'you count {given:,}; the block has {true:,}.')}"
    return ""


# ------------------------------------------------------------------------------------------ 2: taps that see something


def living_taps(answer) -> str:
    for n, d in ((16, 1), (16, 8), (8, 8), (8, 4), (4, 8), (1, 1)):
        true = 1 + 2 * max(0, n - d) / n
        given = number(answer(n, d))
        if near(given, true):
            continue
        if given < 1:
            return f"For n={n}, d={d} you give {given:.3g}; the middle tap always meets the map."
        if given == 3:
            return f"For n={n}, d={d}: near the border one of the outer taps meets padding. How many voxels are near?"
        if abs(given - (1 + max(0, n - d) / n)) < 1e-3:
            return f"For n={n}, d={d} you counted one of the outer taps: there is one on each side."
        return (
            f"For n={n}, d={d} you give {given:.3g}; it is {true:.3g}. Write down the n - d voxels that a tap serves."
        )
    return ""


# ------------------------------------------------------------------------------------------ 3: patches of a scan


def patches_of_a_scan(answer) -> str:
    for shape, patch, overlap in (
        ((64, 64, 40), (16, 16, 8), 0.5),
        ((64, 64, 24), (48, 48, 24), 0.5),
        ((50, 45, 33), (16, 16, 16), 0.25),
        ((32, 32, 16), (32, 32, 16), 0.5),
        ((32, 32, 10), (16, 16, 16), 0.5),
    ):
        true, given = _asked(shape, patch, overlap), whole(answer(shape, patch, overlap))
        if given == true:
            continue
        where = f"For a scan of {shape}, patches of {patch} and overlap {overlap} you count {given}, it takes {true}"
        if any(n < p for n, p in zip(shape, patch, strict=True)):
            return f"{where}: a scan thinner than the patch is padded to one."
        if given < true:
            return f"{where}: a remainder takes a patch too, moved back to the end."
        return f"{where}: the first patch takes the first p voxels, so steps are counted in the other n - p."
    return ""


@cache
def _asked(shape, patch, overlap) -> int:
    """How many patches the library's sliding window sends through a network."""
    sizes = []

    def network(x):
        sizes.append(x.shape)
        return x

    windows(network, torch.zeros(1, 1, *shape), patch, overlap)
    return len(sizes)


CHECKS = {1: fv_parameters, 2: living_taps, 3: patches_of_a_scan}

QUIZ = (
    Question(
        "Lesion 0.60, lung 0.30. The contrast branch multiplies by F_g = 0.2. What has it done to the two?",
        (
            Choice(
                "It parts them more clearly, as a narrow window does.",
                "The difference shrinks from 0.30 to 0.06. A window subtracts before it multiplies.",
            ),
            Choice("It makes them equal.", "Their ratio is 2, as before; a later layer can undo the factor."),
            Choice(
                "Their difference shrinks, their ratio stays.",
                (
                    "A factor below 1 never widens a difference. Only with the next convolution and its norm can "
                    "it become a part of a window."
                ),
                right=True,
            ),
        ),
    ),
    Question(
        (
            "The lesson's small patches leave a map of 8 x 8 x 4 at the bottom. What is the branch with "
            "dilation 8 there?"
        ),
        (
            Choice(
                "A 1 x 1 x 1 convolution: 26 of its 27 taps meet padding only.",
                "So a comparison of context blocks on small patches compares less than its name says.",
                right=True,
            ),
            Choice(
                "The one that sees the whole map.",
                "Its outer taps lie eight voxels away, beyond the map in every direction.",
            ),
            Choice("Dead: it answers zero.", "The tap in the middle always meets the map."),
        ),
    ),
    Question(
        "Three readings of where FV sits have 28, 35 and 70 million parameters. Which one did the authors build?",
        (
            Choice(
                "The one with 70 million, the kit's default.",
                "Two readers chose it on their own; that makes it likely, not known.",
            ),
            Choice(
                "Unknown: the paper prints no number of parameters to count against.",
                "One printed count would decide it. Ask for it when you review.",
                right=True,
            ),
            Choice(
                "The smallest, as good practice asks.", "No sentence of the paper says so, and taste is no evidence."
            ),
        ),
    ),
)
