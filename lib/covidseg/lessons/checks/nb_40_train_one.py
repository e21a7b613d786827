"""Checks of 40_train_one: scores that may be reported, people on both sides, a chosen epoch's gift, a restart."""

import numpy as np

from covidseg.lessons.answers import MISSING, kind, named, near, number, numbers
from covidseg.lessons.quiz import Choice, Question

# ------------------------------------------------------------------------------------------ 1: what may be reported

HONEST = {"A": False, "B": True, "C": True, "D": False, "E": False, "F": True}
WHY = {
    "A": "A: the epoch was chosen by its score on the very cases that are reported.",
    "B": "B: the last epoch was fixed before any score was seen.",
    "C": "C: the cases that chose the epoch are not those that are reported.",
    "D": "D: the threshold was fitted to the cases that are reported.",
    "E": "E: the best of five seeds was chosen by the scores that are reported; their mean is honest.",
    "F": "F: a mean over all seeds that were run chooses nothing.",
}


def may_be_reported(answer) -> str:
    if not isinstance(answer, dict) or set(answer) != set(HONEST):
        return f"Give a dict with one word for each of {', '.join(HONEST)}."
    for letter, word in answer.items():
        if word not in ("honest", "optimistic"):
            return f"{letter}: {word!r} is neither 'honest' nor 'optimistic'."
    wrong = [letter for letter in HONEST if (answer[letter] == "honest") != HONEST[letter]]
    return f"Think again of {WHY[wrong[0]].partition(':')[0]}: {WHY[wrong[0]].partition(': ')[2]}" if wrong else ""


# ------------------------------------------------------------------------------------------ 2: people on both sides


def on_both_sides(answer) -> str:
    trials = (
        ([("a1", "ada"), ("b1", "bo"), ("c1", "")], [("a2", "ada"), ("d1", "dan"), ("e1", "")], {"ada"}),
        ([("a1", "ada")], [("b1", "bo")], set()),
        ([("x", ""), ("y", "")], [("z", "")], set()),
        ([("x", "cy"), ("y", "cy"), ("w", "eve")], [("v", "eve"), ("u", "cy"), ("t", "cy")], {"cy", "eve"}),
    )
    for train, val, wanted in trials:
        given = answer(list(train), list(val))
        if given is None:
            return MISSING
        if not isinstance(given, set | list | tuple | frozenset):
            return f"Return a set of patients, not {kind(given)}."
        if not all(isinstance(who, str) for who in given):
            return "Return the patients' names, one text each, not pairs or numbers."
        found = set(given)
        if found == wanted:
            continue
        if "" in found:
            return 'A patient who is not named, "", is nobody: two such cases need not be one person.'
        if extra := sorted(found - wanted):
            return f"For {train} and {val}: {extra[0]!r} is not a patient of both parts."
        return f"For {train} and {val}: {sorted(wanted - found)[0]!r} is in both parts, and you miss it."
    return ""


# ------------------------------------------------------------------------------------------ 3: the chosen epoch's gift


def gift_of_the_best(answer) -> str:
    for seed, shape in ((0, (6, 30)), (1, (3, 8)), (2, (1, 20))):
        rng = np.random.default_rng(seed)
        scores = 0.7 + 0.1 * np.linspace(0, 1, shape[1]) ** 0.3 + rng.normal(0, 0.02, shape)
        best, last = scores.max(1), scores[:, -1]
        true, given = float((best - last).mean()), number(answer(scores.copy()))
        if near(given, true):
            continue
        slips = {
            -true: "The sign is turned round: best minus last.",
            100 * true: "Scores stay shares of 1 here: no per cent.",
            float(scores.max() - last.mean()): "Each run keeps its own best epoch: one maximum for each row.",
            float(scores.mean(0).max() - last.mean()): "Each run chooses its epoch for itself: take the maximum first.",
            float(best.mean()): "That is the score of the chosen epochs: subtract that of the last ones.",
            float((best - scores[:, 0]).mean()): "The last epoch is the last column.",
            float((best - scores.mean(1)).mean()): "Compare with the last epoch, not with the mean of all.",
            float((best - last).sum()): "A mean over the runs is asked for, not a sum.",
        }
        return (
            named(given, slips, 3) or f"For {shape[0]} runs of {shape[1]} epochs it is {true:.4f}; you say {given:.4f}."
        )
    return ""


# ------------------------------------------------------------------------------------------ 4: after a restart


def rates_after_a_restart(answer) -> str:
    for done, epochs, lr in ((0, 5, 1e-3), (3, 8, 0.01), (7, 8, 1.0)):
        rates = [lr * (1 - e / epochs) ** 0.9 for e in range(epochs)]
        wanted = rates[done:]
        given = answer(done, epochs, lr)
        if given is not None and np.ndim(given) == 1 and len(given) == epochs != len(wanted):
            return f"After {done} of {epochs} epochs there are {len(wanted)} left, and you give {len(given)} rates."
        given = numbers(given, len(wanted))
        if np.allclose(given, wanted, rtol=0.01, atol=0):
            continue
        where = f"After {done} of {epochs} epochs"
        left = epochs - done
        if np.allclose(given, [lr * (1 - e / left) ** 0.9 for e in range(left)], rtol=0.01):
            return f"{where} the schedule starts again at its first rate: the epochs that are done count too."
        if np.allclose(given, [lr * (1 - (done + e) / epochs) for e in range(left)], rtol=0.01):
            return f"{where} the power 0.9 is missing."
        if np.allclose(given, (rates[done + 1 :] + [0.0]), rtol=0.01, atol=1e-9):
            return f"{where} you are one epoch late: epochs are counted from 0."
        return f"{where} the next rate is {wanted[0]:.4g}; you give {given[0]:.4g}."
    return ""


CHECKS = {1: may_be_reported, 2: on_both_sides, 3: gift_of_the_best, 4: rates_after_a_restart}

QUIZ = (
    Question(
        "The best epoch has the higher mIoU on the fold, the last one was fixed before. Which may stand in a table?",
        (
            Choice(
                "The best: it is what the network can do.",
                "It was chosen by looking at the very cases it is scored on; part of its lead is luck.",
            ),
            Choice(
                "The last; the best beside it only under its own name.",
                "The record keeps both, so that you can see what the choice is worth.",
                right=True,
            ),
            Choice("Their mean.", "Half of a gift is a gift."),
        ),
    ),
    Question(
        "You run with `size=64` because your laptop is slow. Why does no table show the run?",
        (
            Choice("Its score is too low.", "Scores play no part in it; a low one of a standard run is shown."),
            Choice("Tables show runs on real data only.", "Phantom runs have their own column, named as such."),
            Choice(
                "It departs from the budget's standard, and a table compares like with like.",
                "The record notes the change; `covidseg report -p size=64` shows such runs.",
                right=True,
            ),
        ),
    ),
)
