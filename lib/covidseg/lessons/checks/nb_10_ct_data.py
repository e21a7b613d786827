"""Checks for 10_ct_data: a window by hand, an array brought upright, a split that keeps patients apart."""

import numpy as np

from covidseg.data.splits import paper_folds, patient_of, volume_of
from covidseg.lessons.answers import MISSING, array, kind
from covidseg.lessons.quiz import Choice, Question
from covidseg.scans.upright import axes_from_code


def _window(answer):
    for level, width in ((-500, 1500), (40, 400)):
        hu = np.array([[-3000.0, level - width / 2, level, level + width / 2, 3000.0], np.linspace(-1300, 700, 5)])
        grey = array(answer(hu.copy(), level, width))
        expected = np.rint(255 * np.clip((hu - (level - width / 2)) / width, 0, 1))
        if grey.shape != hu.shape:
            return f"It returns shape {grey.shape} for an input of shape {hu.shape}."
        if grey.dtype != np.uint8:
            return f"It returns {grey.dtype}, not uint8."
        wrong = np.abs(grey.astype(float) - expected) > 1  # rounding down is accepted
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0])
            return f"At level {level}, width {width}: {hu[at]:g} HU became {grey[at]}, not {expected[at]:g}."
    return ""


def _upright(answer):
    for shape in ((3, 4, 5), (4, 4, 4)):  # equal sides: no shape gives an axis away
        array_ = np.arange(np.prod(shape)).reshape(shape)
        expected = axes_from_code("RSA").upright(array_)
        turned = array(answer(array_.copy()))
        if turned.shape != expected.shape:
            return (
                f"{shape} became {turned.shape}, not {expected.shape}: put anterior first, right second, superior last."
            )
        if not np.array_equal(turned, expected):
            flips = [n for axis, n in enumerate(("rows", "columns", "slices")) if _only_flip(turned, expected, axis)]
            return (
                f"The axes are in place, but the {flips[0]} run backwards."
                if flips
                else "At least two axes run backwards or stand in each other's place."
            )
    return ""


def _only_flip(turned, expected, axis) -> bool:
    return np.array_equal(np.flip(turned, axis), expected)


def _split(answer):
    for seed in (0, 1):
        ids = [i for fold in paper_folds("p20").values() for i in fold[seed::4]]
        np.random.default_rng(seed).shuffle(ids)
        if said := _parts(answer(list(ids)), ids):
            return said
    return ""


def _parts(given, ids) -> str:
    if given is None:
        return MISSING
    if not isinstance(given, list | tuple) or len(given) != 2:
        return f"Return two lists, for training and for the test; you return {kind(given)}."
    if not all(isinstance(part, list | tuple | set | np.ndarray) for part in given):
        return "Both parts must be lists of ids."
    train, test = ([str(i) for i in part] for part in given)
    if sorted(train + test) != sorted(ids):
        return "Every id must be in exactly one of the two lists."
    people = [{patient_of("p20", volume_of(i)) for i in part} for part in (train, test)]
    if both := sorted(people[0] & people[1]):
        return f"Patient {both[0]} is in both parts."
    if not 0.15 <= len(test) / len(ids) <= 0.45:
        return f"The test part holds {len(test) / len(ids):.0%} of the slices; aim at 20 to 40 %."
    return ""


CHECKS = {1: _window, 2: _upright, 3: _split}

QUIZ = (
    Question(
        "A slice looks far too dark in the lung window. What changes if you widen the window?",
        (
            Choice("The HU of the slice.", "A window only chooses how HU become greys; the numbers stay."),
            Choice(
                "More HU share the same greys, so contrast falls and less is cut off at black and white.",
                "Width trades contrast for range; the level moves the middle.",
                right=True,
            ),
            Choice("The noise.", "It is as large as before, in HU; in greys it looks smaller."),
        ),
    ),
    Question(
        "Slices are dealt out at random, and test scores rise by half. Which is the likeliest cause?",
        (
            Choice(
                "Slices of one patient are on both sides, and neighbours look alike.",
                "A copy of the nearest slice's mask already scores high then. Part people, not slices.",
                right=True,
            ),
            Choice("More data.", "There are as many slices as before."),
            Choice("The network has become better.", "It is the same network; what changed is the exam."),
        ),
    ),
)
