"""Exercises of 42_segment_your_ct: right answers pass, in more than one way; ten wrong ones of each do not."""

import numpy as np
import pytest

from covidseg.data.own import deal
from covidseg.lesson import judge
from covidseg.lessons import read, resolve
from covidseg.lessons.exercises import find_exercises


def said(exercise, answer):
    return judge("42_segment_your_ct", exercise, answer)


def shares(mask, lung):
    return [(mask[lung == side] > 0).mean() for side in (1, 2)]


def by_hand(mask, lung):
    counts = [[0, 0], [0, 0]]
    for value, side in zip(mask.ravel(), lung.ravel(), strict=True):
        if side:
            counts[side - 1][0] += value != 0
            counts[side - 1][1] += 1
    return tuple(sick / all_ for sick, all_ in counts)


def grid(scan_shape, scan, mask_shape, mask):
    """Every voxel's middle is asked for: the slow way."""
    there = np.linalg.inv(scan) @ mask
    index = np.stack(np.meshgrid(*map(np.arange, mask_shape), indexing="ij"), -1).reshape(-1, 3)
    at = index @ there[:3, :3].T + there[:3, 3]
    whole = np.rint(at)
    inside = ((whole >= 0) & (whole < scan_shape)).all()
    return bool(abs(at - whole).max() < 0.05 and inside and len({*map(tuple, whole)}) == np.prod(scan_shape))


@pytest.mark.parametrize("n, answer", [(1, shares), (1, by_hand), (2, grid), (3, lambda s, k: deal(s, k))])
def test_a_right_answer_passes(n, answer):
    assert said(n, answer) == ""


def test_the_solutions_in_the_notebook_pass():
    (path,) = resolve(["42_segment_your_ct"])
    for exercise in find_exercises(read(path), path.stem):
        names = {"np": np}
        exec(exercise.code, names)
        assert said(exercise.number, names["answer"]) == ""


WRONG_SHARES = [
    lambda m, g: shares(m, g)[::-1],
    lambda m, g: [100 * v for v in shares(m, g)],
    lambda m, g: [((m > 0) & (g == s)).sum() / (g > 0).sum() for s in (1, 2)],
    lambda m, g: [((m > 0) & (g == s)).sum() / g.size for s in (1, 2)],
    lambda m, g: [((m > 0) & (g == s)).sum() / max(1, (m > 0).sum()) for s in (1, 2)],
    lambda m, g: [m[g == s].mean() for s in (1, 2)],
    lambda m, g: [(m[g == s] == 1).mean() for s in (1, 2)],
    lambda m, g: [(m[g > 0] > 0).mean()] * 2,
    lambda m, g: [(m[:, :4] > 0).mean(), (m[:, 4:] > 0).mean()],
    lambda m, g: (m[g > 0] > 0).mean(),
    lambda m, g: [1 - v for v in shares(m, g)],
]


def turns(scan, mask):
    there = np.linalg.inv(scan) @ mask
    return there, np.rint(there[:3, :3])


WRONG_GRIDS = [
    lambda a, s, b, m: a == b,
    lambda a, s, b, m: bool(np.allclose(s, m)),
    lambda a, s, b, m: a == b and bool(np.allclose(s, m, atol=1e-3)),
    lambda a, s, b, m: sorted(a) == sorted(b),
    lambda a, s, b, m: True,
    lambda a, s, b, m: False,
    lambda a, s, b, m: bool(np.allclose(turns(s, m)[0][:3, :3], turns(s, m)[1], atol=0.01)),  # forgets the shift
    lambda a, s, b, m: bool(np.allclose(turns(s, m)[0], np.rint(turns(s, m)[0]), atol=0.01)),  # whole, but off the grid
    lambda a, s, b, m: bool(np.allclose(np.linalg.norm(s[:3, :3], axis=0), np.linalg.norm(m[:3, :3], axis=0))),
    lambda a, s, b, m: bool(np.isclose(abs(np.linalg.det(s[:3, :3])), abs(np.linalg.det(m[:3, :3])), rtol=1e-3)),
    lambda a, s, b, m: grid(a, np.diag([*np.diag(s)[:3], 1]), b, np.diag([*np.diag(m)[:3], 1])),
    lambda a, s, b, m: None,
]

WRONG_FOLDS = [
    lambda s, k: [list(s)[i::k] for i in range(k)],  # by turns, whatever they weigh
    lambda s, k: [list(s)] + [[] for _ in range(k - 1)],
    lambda s, k: [list(s) for _ in range(k)],
    lambda s, k: deal(s, k)[:-1],
    lambda s, k: deal(s, k + 1),
    lambda s, k: [fold[1:] for fold in deal(s, k)],
    lambda s, k: [[*fold, deal(s, k)[0][0]] for fold in deal(s, k)],
    lambda s, k: [[f"{p} slice 1" for p in fold] for fold in deal(s, k)],
    lambda s, k: [part.tolist() for part in np.array_split(sorted(s, key=s.get), k)],
    lambda s, k: [[p] for p in s],
    lambda s, k: [[s[p] for p in fold] for fold in deal(s, k)],
]


@pytest.mark.parametrize(
    "n, answer",
    [(n, a) for n, wrong in ((1, WRONG_SHARES), (2, WRONG_GRIDS), (3, WRONG_FOLDS)) for a in (*wrong, None, 7, "yes")],
)
def test_a_wrong_answer_gets_a_sentence(n, answer):
    sentence = said(n, answer)
    assert sentence.endswith((".", "?")) and "\n" not in sentence and "report it" not in sentence
