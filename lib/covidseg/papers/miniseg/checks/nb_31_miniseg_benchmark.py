"""Checks of 31_miniseg_benchmark: how much each network learned, two means, and the interval of a paired difference."""

import numpy as np

from covidseg.lessons.answers import numbers
from covidseg.lessons.quiz import Choice, Question

TRAININGS = (  # slices, batch, epochs, sides of the passes of an epoch
    (79, 5, 80, (768, 640, 384, 512)),
    (79, 5, 80, (512,)),
    (319, 4, 3, (352, 256)),
    (40, 8, 2, (96,)),
)


def training_ratio(answer) -> str:
    """answer(slices, batch, epochs, sides) -> (optimiser steps, pixels seen)."""
    for slices, batch, epochs, sides in TRAININGS:
        given = numbers(answer(slices, batch, epochs, sides), 2)
        where = f"For {slices} slices, batch {batch}, {epochs} epochs at {', '.join(map(str, sides))}"
        said = _steps(given[0], slices, batch, epochs, sides) or _pixels(given[1], slices, batch, epochs, sides)
        if said:
            return f"{where}{said}"
    return ""


def _steps(given, slices, batch, epochs, sides) -> str:
    full = slices // batch
    if abs(given - full * len(sides) * epochs) < 1e-6:
        return ""
    slips = {
        ": one epoch is one pass for each side.": full * epochs,
        ": the last batch of a pass, which is not full, is dropped.": -(-slices // batch) * len(sides) * epochs,
    }
    near = [words for words, value in slips.items() if abs(given - value) < 1e-6]
    return near[0] if near else f" there are {full * len(sides) * epochs:,} steps; you say {given:,.0f}."


def _pixels(given, slices, batch, epochs, sides) -> str:
    full, areas = slices // batch, epochs * sum(side * side for side in sides)
    if abs(given - full * batch * areas) <= 1e-6 * full * batch * areas:
        return ""
    slips = {
        ": slices of the dropped batch are not seen in that pass.": slices * areas,
        ": a step sees a whole batch.": full * areas,
    }
    near = [words for words, value in slips.items() if abs(given - value) < 0.5]
    return near[0] if near else f" {full * batch * areas:,} pixels are seen; you say {given:,.0f}."


def two_means(answer) -> str:
    """answer(dsc, folds) -> (mean of slices, mean of the folds' means)."""
    rng = np.random.default_rng(5)
    for sizes in ((3, 40, 7), (1, 2), (20, 20, 20, 20, 19)):
        folds = np.repeat(np.arange(1, len(sizes) + 1), sizes)
        order = rng.permutation(len(folds))
        dsc = np.clip(rng.normal(0.5 + 0.08 * folds, 0.1), 0, 1)
        dsc, folds = dsc[order], folds[order]
        given = numbers(answer(dsc.copy(), folds.copy()), 2)
        of_folds = [dsc[folds == fold].mean() for fold in range(1, len(sizes) + 1)]
        true = dsc.mean(), float(np.mean(of_folds))
        if np.allclose(given, true, rtol=0, atol=6e-4):
            continue
        if np.allclose(given, true[::-1], rtol=0, atol=1e-6):
            return "The two are swapped: first the mean of all slices, then that of the folds' means."
        if np.allclose(given, [100 * value for value in true], rtol=0, atol=1e-3):
            return "Dice stays a share of 1 here: no percent."
        if abs(given[0] - true[0]) > 6e-4:
            return f"The mean of the {len(dsc)} slices is {true[0]:.4f}; you say {given[0]:.4f}."
        if abs(given[1] - np.median(of_folds)) < 1e-6:
            return "The mean of the folds is asked for, not their median."
        return (
            f"Folds of {sizes} slices have a mean of {true[1]:.4f}; you say {given[1]:.4f}. Each fold weighs the same."
        )
    return ""


def paired_interval(answer) -> str:
    """answer(one, other, draws, rng) -> (low, high), 95 %, of the mean difference over the same cases."""
    rng = np.random.default_rng(11)
    for n, lead, shift in ((60, 0.02, 0), (25, -0.05, 7)):
        level = rng.uniform(0, 0.9, n)
        other = level + rng.normal(0, 0.03, n)
        one = level + lead + rng.normal(0, 0.03, n)
        gains, draws = one - other, 4000
        true = _ends(gains[rng.integers(0, n, (draws, n))].mean(1))
        apart = _ends(one[rng.integers(0, n, (draws, n))].mean(1) - other[rng.integers(0, n, (draws, n))].mean(1))
        given = numbers(answer(one.copy(), other.copy(), draws, np.random.default_rng(1 + shift)), 2)
        wide = true[1] - true[0]
        if np.allclose(given, true, rtol=0, atol=0.05 * wide + 5e-4):
            continue
        slips = {
            "This draws the cases of each network apart. A case drawn for the one must be drawn for the other.": apart,
            "The sign is turned round: first minus second.": (-true[1], -true[0]),
            "These are the ends of the single differences, not of their mean.": _ends(gains),
            "These are the ends of 90 %: leave out 2.5 % on each side.": np.percentile(
                gains[rng.integers(0, n, (draws, n))].mean(1), [5, 95]
            ),
        }
        for words, ends in slips.items():
            if np.allclose(given, ends, rtol=0, atol=0.05 * (ends[1] - ends[0])):
                return words
        return (
            f"For {n} cases you give {given[0]:+.4f} to {given[1]:+.4f}; it is about {true[0]:+.4f} to {true[1]:+.4f}."
        )
    return ""


def _ends(values) -> np.ndarray:
    return np.percentile(values, [2.5, 97.5])


CHECKS = {1: training_ratio, 2: two_means, 3: paired_interval}

QUIZ = (
    Question(
        "MiniSeg and its rivals are trained for 80 epochs each. Is that equal training?",
        (
            Choice(
                "No: an epoch of MiniSeg's is four passes, so it takes 4,800 steps and a rival 1,200.",
                "Compare steps and pixels, not epochs. By pixels it is 5.4 times as much.",
                right=True,
            ),
            Choice(
                "Yes, an epoch is an epoch.",
                "An epoch is what a program calls one. These two programs mean different things.",
            ),
            Choice(
                "Yes, since all see the same slices.",
                "They see the same slices, one of them four times as often and larger.",
            ),
        ),
    ),
    Question(
        "MiniSeg leads on CT100 by 0.64 points, one training a fold. Which sentence does that carry?",
        (
            Choice(
                "MiniSeg is the best of 32 networks on CT100.",
                "Another seed moves a network by a point or two, so the order of the first few is open.",
            ),
            Choice(
                "Small networks beat large ones.",
                "The second, DUpsampling, has 350 times as many parameters and is nearly level with it.",
            ),
            Choice(
                "MiniSeg is among the first on CT100.",
                "The order within the lead needs seeds, and pairs of slices.",
                right=True,
            ),
        ),
    ),
    Question(
        "The ranks of 31 rivals on CT100 and on P9 correlate with -0.11. What follows?",
        (
            Choice("P9's table is wrong.", "Nothing says which. Both may be right about their slices."),
            Choice(
                "A rank on one set says nothing about the other: sets differ, or ranks are noise.",
                "The table alone cannot tell which of the two it is. Seeds could.",
                right=True,
            ),
            Choice(
                "Networks that are good on CT100 are bad on P9.",
                "-0.11 over 31 rivals is as near to nothing as chance makes it.",
            ),
        ),
    ),
)
