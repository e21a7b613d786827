"""Checks of 22_semi_infnet: the cost of Algorithm 1, the stretch, and a stretch that spares clean slices."""

from collections.abc import Callable
from math import ceil

import numpy as np

from covidseg.lessons.answers import NotYet, array, whole
from covidseg.lessons.quiz import Choice, Question
from covidseg.papers.infnet.semi import make_label, steps_as_run

# ------------------------------------------------------------------------------------------------ 1: what it costs


def steps_of_algorithm_1(answer: Callable) -> str:
    for labelled, unlabelled, k in ((50, 1600, 5), (20, 100, 20), (30, 97, 10)):
        given, true = whole(answer(labelled, unlabelled, k)), steps_as_run(labelled, unlabelled, k)
        if given != true:
            return _slip(given, labelled, unlabelled, k) or (
                f"For {labelled} labelled and {unlabelled} unlabelled slices in groups of {k} you count {given:,}; "
                f"the run takes {true:,}."
            )
    return ""


def _slip(given, labelled: int, unlabelled: int, k: int) -> str:
    """The sentence for a wrong number that has a known cause."""
    rounds = range(ceil(unlabelled / k))
    after, before = ([labelled + min(k * (i + more), unlabelled) for i in rounds] for more in (1, 0))
    slips = {
        27 * sum(size // 16 for size in after): "The incomplete batch at the end of a pass counts too: round up.",
        27 * sum(ceil(size / 16) for size in before): "A round fine-tunes after its own labels have joined the set.",
        9 * sum(ceil(size / 16) for size in after): "Every mini-batch is three steps, one at each scale.",
        3 * sum(ceil(size / 16) for size in after): "Every round passes nine times over the whole set.",
        27 * sum(ceil(k * (i + 1) / 16) for i in rounds): "The doctors' slices are in the set in every round.",
        27 * ceil(k / 16) * len(rounds): "A round fine-tunes on the whole set, old labels included, not on its group.",
        27
        * sum(ceil((labelled + k * (i + 1)) / 16) for i in rounds): "The last group holds what is left, fewer than k.",
    }
    return slips.get(given, "")


# -------------------------------------------------------------------------------------------- 2 and 3: the stretch

ORIGIN = dict(kind="check", round=0, group=0, snapshot="")
MAPS = {
    "a clean slice": np.array([[0.01, 0.02], [0.06, 0.21]]),
    "a slice with a lesion": np.array([[0.02, 0.1, 0.3], [0.2, 0.55, 0.75]]),
    "a sure network": np.array([[0.0, 0.3], [0.7, 1.0]]),
}


def the_stretch(answer: Callable) -> str:
    for what, p in MAPS.items():
        complaint = _compare(answer(p.copy()), make_label("x", p, **ORIGIN).mask, what, p)
        if complaint:
            return complaint
    constant = "A constant map has nothing to stretch: return zeros"
    try:
        with np.errstate(all="raise"):
            flat = array(answer(np.full((2, 3), 0.3)))
    except NotYet as said:
        return f"{constant}; your function divides 0 by 0." if _divides(said) else str(said)
    return f"{constant}." if flat.any() or flat.shape != (2, 3) else ""


def _divides(said: NotYet) -> bool:
    return isinstance(said.__cause__, FloatingPointError | ZeroDivisionError) or "finite" in str(said)


def _compare(given, true: np.ndarray, what: str, p: np.ndarray) -> str:
    given = array(given)
    if given.shape != true.shape:
        return f"The label should have the map's shape {true.shape}, not {given.shape}."
    if given.dtype != np.uint8:
        return f"The label should be uint8, not {given.dtype}: 256 greys."
    if np.array_equal(given, true):
        return ""
    if np.array_equal(given, np.floor(255 * p / p.max() + 0.5)):
        return f"For {what}: the smallest value should become 0; subtract it first."
    if np.abs(given.astype(int) - true).max() == 1:
        return f"For {what} you are one grey off: round to the nearest whole number instead of cutting off."
    return f"For {what} your label is {given.tolist()}; it should be {true.tolist()}."


def spares_clean_slices(answer: Callable) -> str:
    maps = MAPS | {"a slice never above 0.5": np.array([[0.1, 0.5], [0.2, 0.3]])}
    for what, p in maps.items():
        given, clean = array(answer(p.copy())), p.max() <= 0.5
        if clean and np.max(given) > 128:
            return f"For {what} (largest p {p.max()}) the label reaches {np.max(given)} of 255: none may pass 128."
        if clean and not np.any(given):
            return f"For {what} the label is empty; it should still be the network's map, 255 p."
        complaint = _compare(given, make_label("x", p, stretch=not clean, **ORIGIN).mask, what, p)
        if complaint:
            return complaint
    return ""


CHECKS = {1: steps_of_algorithm_1, 2: the_stretch, 3: spares_clean_slices}

QUIZ = (
    Question(
        "The network answers at most 0.21 anywhere on a clean slice. Which label does the published program make?",
        (
            Choice(
                "A black one.",
                "So it would be unstretched: 54 of 255 at the most. The stretch lifts the strongest pixel to 255.",
            ),
            Choice(
                "One with a lesion of full strength at the strongest pixel.",
                "Every stretched label reaches 255, whether there is something to find or not.",
                right=True,
            ),
            Choice(
                "None: the slice is left out, because nothing is sure.",
                "No score decides which label to trust; that is what the paper praises as threshold-free.",
            ),
        ),
    ),
    Question(
        "A label is the network's own map, G = p. Which loss still pushes?",
        (
            Choice("The BCE.", "Its gradient is p - G, which is zero here."),
            Choice(
                "Neither.",
                "The BCE is silent, but overlap still pays: the IoU moves the haze by +0.06 in the table above.",
            ),
            Choice(
                "The weighted IoU, and it pushes haze up.",
                "Haze against haze is a poor overlap, and the way to a better one is up.",
                right=True,
            ),
        ),
    ),
    Question(
        "A student is wrong on more than half of the pixels where its labels were. Has it learned their mistakes?",
        (
            Choice(
                "Not by this number: the student that never saw a label is wrong on at least as many of them.",
                "Those pixels are hard for everybody. A share needs a control beside it.",
                right=True,
            ),
            Choice(
                "Yes, more than half of them.",
                "The student without any pseudo label repeats at least as many, and nobody taught it those.",
            ),
            Choice(
                "No, it has mended almost half.",
                (
                    "The student of the experts' masks mends more of them; what the labels did is in the "
                    "difference only."
                ),
            ),
        ),
    ),
)
