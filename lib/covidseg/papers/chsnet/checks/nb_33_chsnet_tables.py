"""Checks of 33_chsnet_tables: each returns "" or the sentence that helps."""

import numpy as np

from covidseg.lessons.answers import near, number
from covidseg.lessons.answers import numbers as two_numbers
from covidseg.lessons.quiz import Choice, Question
from covidseg.papers.chsnet.data import fold_of_slices

# ------------------------------------------------------------------------------------------ 1: the fourth number


def fourth_number(answer) -> str:
    for tp, fp, fn, tn in ((30, 10, 20, 940), (46, 85, 54, 320), (5, 1, 0, 4)):
        pre, rec, spe = tp / (tp + fp), tp / (tp + fn), tn / (tn + fp)
        true, share = (tp + tn) / (tp + fp + fn + tn), (tp + fn) / (tp + fp + fn + tn)
        given = number(answer(pre, rec, spe))
        if near(given, true):
            continue
        if near(given, share):
            return (
                "That is the share of positive pixels. Accuracy weighs recall with it, and specificity with the rest."
            )
        if near(given, ((1 - share) * rec + share * spe)):
            return "The weights are swapped: recall speaks of the positive pixels."
        if near(given, (rec + spe) / 2):
            return "Recall and specificity do not weigh the same: negative pixels are far more."
        return f"For Pre {pre:.3f}, Rec {rec:.3f}, Spe {spe:.3f} you give {given:.3f}; the accuracy is {true:.3f}."
    return ""


# ------------------------------------------------------------------------------------------ 2: the leak


def leaking_share(answer) -> str:
    chance = {z for z, fold in fold_of_slices(list(range(60)), "exercise").items() if fold == 0}
    trials = {
        "chance": (list(range(60)), chance),
        "the upper third": (list(range(60)), set(range(40, 60))),
        "a gap": ([3, 5, 7, 9, 20], {7, 20}),
    }
    for name, (numbers, tested) in trials.items():
        order = sorted(numbers)
        beside = {z: {*order[max(k - 1, 0) : k], *order[k + 1 : k + 2]} for k, z in enumerate(order)}
        true = sum(bool(beside[z] - tested) for z in tested) / len(tested)
        given = number(answer(list(numbers), set(tested)))
        if near(given, true):
            continue
        if near(given, true * len(tested)):
            return "Divide by the number of tested slices: a share is asked for."
        if near(given, true * len(tested) / len(numbers)):
            return "Divide by the number of tested slices, not by that of all slices."
        if name == "a gap":
            return "With gaps in the numbers, neighbours are the next ones that are there: beside 7 is 9, if 8 is not."
        return f"For {name} you give {given:.3f}; it is {true:.3f}."
    return ""


# ------------------------------------------------------------------------------------------ 3: drawing patients


def interval_over_patients(answer) -> str:
    for seed, names in ((0, list("abcdefghijkl")), (3, list("pqrstuvw"))):
        rng, draws = np.random.default_rng(seed), 2000
        sizes, levels = rng.integers(4, 60, len(names)), rng.normal(0.1, 0.2, len(names))
        patients = np.repeat(names, sizes)
        gains = np.repeat(levels, sizes) + rng.normal(0, 0.02, len(patients))
        given = two_numbers(answer(gains.copy(), patients.copy(), draws, np.random.default_rng(1)), 2)
        if said := _interval(given, gains, patients, rng):
            return said
    return ""


def _interval(given, gains, patients, rng) -> str:
    sums, sizes = (np.array([f(gains[patients == name]) for name in np.unique(patients)]) for f in (np.sum, np.size))
    chosen = rng.integers(0, len(sums), (8000, len(sums)))
    true = np.percentile(sums[chosen].sum(1) / sizes[chosen].sum(1), [2.5, 97.5])
    equal = np.percentile((sums / sizes)[chosen].mean(1), [2.5, 97.5])
    slices = np.percentile(gains[rng.integers(0, len(gains), (2000, len(gains)))].mean(1), [2.5, 97.5])
    if np.allclose(given, true, atol=0.02):
        return ""
    if np.allclose(given, slices, atol=0.01):
        return "This draws slices: far too sure. Draw patients, and take all slices of each."
    if np.allclose(given, equal, atol=0.01):
        return "Take the mean over all slices of the drawn patients, not the mean of the patients' means."
    where = f"For {len(sums)} patients you give {given[0]:+.3f} to {given[1]:+.3f}"
    return f"{where}; it is {true[0]:+.3f} to {true[1]:+.3f}."


CHECKS = {1: fourth_number, 2: leaking_share, 3: interval_over_patients}

QUIZ = (
    Question(
        "CHS-Net's row prints a Jaccard of 0.89 and a Dice of 0.81. What is certain?",
        (
            Choice(
                "The Jaccard is not that of the infected pixels alone.",
                "Of one region J = D / (2 - D), here 0.68. A mean with the background is the nearest reading, 0.82.",
                right=True,
            ),
            Choice(
                "The Dice is too low.", "It fits precision and recall of its row; it is the Jaccard that fits nothing."
            ),
            Choice(
                "Nothing, the two measure different things.",
                "They are one measure on two scales: each follows from the other.",
            ),
        ),
    ),
    Question(
        "30 % of all slices are drawn at random for the test. What does the score then measure?",
        (
            Choice(
                "How the network does on new patients.",
                "No tested patient is new: nine in ten tested slices lie beside one that was learned.",
            ),
            Choice(
                "How well the network fills gaps in scans it has seen.",
                "Parted by people, the same network loses 0.3 to 0.5 of Dice.",
                right=True,
            ),
            Choice("The same as a split by people, with more cases.", "More slices are no more people."),
        ),
    ),
    Question(
        "Lungs first wins on 189 of 233 slices of four scans, Wilcoxon p 4e-18. How sure are you?",
        (
            Choice(
                "As sure as one can be.",
                "The test takes 233 witnesses for independent; slices of one scan say the same thing.",
            ),
            Choice(
                "Not at all: the p-value is too small to be true.",
                "It is computed right, for a question that nobody asks.",
            ),
            Choice(
                "As sure as four scans of three people allow.",
                "Draw patients anew, not slices: exercise 3.",
                right=True,
            ),
        ),
    ),
)
