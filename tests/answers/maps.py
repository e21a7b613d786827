"""Answers to 41_attention_explorer: contrast of a map, what reverse attention leaves, expected calibration error."""

import numpy as np
from answers.kinds import Row


def sigmoid(S):
    return 1 / (1 + np.exp(-S))


def contrast(A, lesion, lung):
    healthy = lung & ~lesion
    return float(A[lesion].mean() - A[healthy].mean()) if lesion.any() and healthy.any() else 0.0


def contrast_by_sums(A, lesion, lung):
    inside, healthy = lesion.astype(float), (lung > lesion).astype(float)
    if inside.sum() * healthy.sum() == 0:
        return 0
    return (A * inside).sum() / inside.sum() - (A * healthy).sum() / healthy.sum()


def guarded(of_means):
    """A wrong answer that minds the empty cases."""
    return lambda A, lesion, lung: of_means(A, lesion, lung) if lesion.any() and (lung & ~lesion).any() else 0.0


CONTRAST_SLIPS = [
    lambda A, lesion, lung: -contrast(A, lesion, lung),
    lambda A, lesion, lung: abs(contrast(A, lesion, lung)),
    guarded(lambda A, lesion, lung: A[lesion].mean() - A[lung].mean()),
    guarded(lambda A, lesion, lung: A[lesion].mean() - A[~lesion].mean()),
    guarded(lambda A, lesion, lung: A[lesion].mean() - A.mean()),
    guarded(lambda A, lesion, lung: A[lesion & lung].mean() - A[lung & ~lesion].mean()),
    guarded(lambda A, lesion, lung: A[lesion].sum() - A[lung & ~lesion].sum()),
    guarded(lambda A, lesion, lung: np.median(A[lesion]) - np.median(A[lung & ~lesion])),
    guarded(lambda A, lesion, lung: A[lesion].max() - A[lung & ~lesion].max()),
    guarded(lambda A, lesion, lung: A[lesion].mean() / A[lung & ~lesion].mean()),
    guarded(lambda A, lesion, lung: A[lesion].mean()),
    lambda A, lesion, lung: contrast(A, lesion, lung) if lesion.any() and (lung & ~lesion).any() else 1.0,
]


def left(S, truth):
    return float((1 - sigmoid(S[truth]) > 0.5).mean()) if truth.any() else 0.0


def left_by_logits(S, truth):
    return np.count_nonzero(truth & (S < 0)) / max(1, np.count_nonzero(truth))


LEFT_SLIPS = [
    lambda S, truth: (sigmoid(S[truth]) > 0.5).mean() if truth.any() else 0.0,
    lambda S, truth: (S < 0).mean(),
    lambda S, truth: ((S < 0) & truth).mean(),
    lambda S, truth: ((S < 0) & truth).sum(),
    lambda S, truth: ((S < 0) & truth).sum() / max(1, (S < 0).sum()),
    lambda S, truth: (S[~truth] < 0).mean(),
    lambda S, truth: (1 - sigmoid(S[truth])).mean() if truth.any() else 0.0,
    lambda S, truth: (S[truth] < 0.5).mean() if truth.any() else 0.0,
    lambda S, truth: 100 * left(S, truth),
    lambda S, truth: left(S, truth) if truth.any() else float("nan"),
    lambda S, truth: S[truth] < 0,
]


def error(p, truth, bins):
    place = np.minimum((p * bins).astype(int), bins - 1)
    here = [place == b for b in range(bins)]
    return float(sum(h.mean() * abs(p[h].mean() - truth[h].mean()) for h in here if h.any()))


def error_by_counts(p, truth, bins):
    which = np.digitize(p, np.arange(1, bins) / bins)
    return np.abs(np.bincount(which, p, bins) - np.bincount(which, truth, bins)).sum() / len(p)


def gaps(p, truth, bins):
    """Distance and number of pixels of each bin that holds some."""
    place = np.minimum((p * bins).astype(int), bins - 1)
    here = [place == b for b in range(bins) if (place == b).any()]
    return np.array([p[h].mean() - truth[h].mean() for h in here]), np.array([h.sum() for h in here])


def border_below(p, truth, bins):
    """A value on a border goes to the bin below."""
    which = np.digitize(p, np.arange(1, bins) / bins, right=True)
    return float(np.abs(np.bincount(which, p, bins) - np.bincount(which, truth, bins)).sum() / len(p))


def of_gaps(change):
    return lambda p, truth, bins: change(*gaps(p, truth, bins))


ERROR_SLIPS = [
    of_gaps(lambda gap, many: abs((gap * many).sum()) / many.sum()),
    of_gaps(lambda gap, many: abs(gap).mean()),
    of_gaps(lambda gap, many: abs(gap).sum()),
    of_gaps(lambda gap, many: (abs(gap) * many).sum()),
    of_gaps(lambda gap, many: abs(gap).max()),
    of_gaps(lambda gap, many: (gap**2 * many).sum() / many.sum()),
    of_gaps(lambda gap, many: np.sqrt((gap**2 * many).sum() / many.sum())),
    lambda p, truth, bins: np.abs(p - truth).mean(),
    lambda p, truth, bins: ((p - truth) ** 2).mean(),
    lambda p, truth, bins: abs(p.mean() - truth.mean()),
    lambda p, truth, bins: error(p, truth, bins + 1),
    border_below,
    of_gaps(lambda gap, many: gap),
]

NOTEBOOKS = {
    "41_attention_explorer": {
        1: Row("function to a number", contrast, CONTRAST_SLIPS, also=[contrast_by_sums]),
        2: Row("function to a number", left, LEFT_SLIPS, also=[left_by_logits]),
        3: Row("function to a number", error, ERROR_SLIPS, also=[error_by_counts]),
    },
}
