"""Right and wrong answers to the exercises of Inf-Net's, CHS-Net's and COVID-SegNet's notebooks."""

import csv
from math import ceil

import numpy as np
import torch
from answers.kinds import Row

from covidseg.fetch.catalog import data_file
from covidseg.metrics import dice, surface_dice
from covidseg.nn.layers import resize
from covidseg.papers.infnet.checks.nb_32_infnet_tables import MEASURES

# ------------------------------------------------------------------------------------------ 21


def up(f, S):
    return resize(S, f.shape[-2:])


def corners(f, S):
    return torch.nn.functional.interpolate(S, f.shape[-2:], mode="bilinear", align_corners=True)


def unit(C, width, kernel, convs, last, *, norm=2, edge=64, map_norm=2, bias=0, everywhere=1):
    first = (width + edge) * width * kernel**2
    others = (convs - 1) * (width + (edge if everywhere > 1 else 0)) * width * kernel**2
    return C * width + first + others + width * last**2 + (convs + 1) * (norm + bias) * width + map_norm + bias


def per_image(bce, w):
    return ((w * bce).sum((1, 2, 3)) / w.sum((1, 2, 3))).mean()


INFNET = {
    1: Row(
        "function to a tensor",
        lambda f, S: f * (1 - up(f, S).sigmoid()),
        [
            lambda f, S: f * up(f, S).sigmoid(),
            lambda f, S: f * (1 - up(f, S)),
            lambda f, S: f * (1 - up(f, S.sigmoid())),
            lambda f, S: f * (1 - corners(f, S).sigmoid()),
            lambda f, S: 1 - up(f, S).sigmoid(),
            lambda f, S: (1 - up(f, S).sigmoid()).expand_as(f),
            lambda f, S: f,
        ],
        also=[lambda f, S: f * up(f, -S).sigmoid(), lambda f, S: f - f * up(f, S).sigmoid()],
    ),
    2: Row(
        "function to a number",
        unit,
        [
            lambda *u: unit(*u, norm=0, map_norm=0),
            lambda *u: unit(*u, map_norm=0),
            lambda *u: unit(*u, edge=0),
            lambda *u: unit(*u, bias=1),
            lambda *u: unit(*u, everywhere=2),
            lambda *u: unit(2048, 256, 5, 3, 1),
        ],
    ),
    3: Row(
        "function to numbers",
        lambda bce, w: (bce.mean(), per_image(bce, w)),
        [
            lambda bce, w: (per_image(bce, w), per_image(bce, w)),
            lambda bce, w: (bce.mean(), bce.mean()),
            lambda bce, w: (bce.mean(), (w * bce).sum() / w.sum()),
            lambda bce, w: (bce.mean(), (w * bce).mean()),
            lambda bce, w: (bce, w),
            lambda bce, w: (None, None),
            lambda bce, w: bce.mean(),
        ],
        also=[lambda bce, w: (bce.mean().item(), per_image(bce, w).item())],
    ),
}

# ------------------------------------------------------------------------------------------ 22


def steps(labelled, unlabelled, k, *, whole=False, late=0, epochs=9, scales=3, all_full=False):
    total = 0
    for done in range(0, unlabelled, k):
        joined = done + k * (1 - late)
        slices = labelled + (joined if all_full else min(joined, unlabelled))
        total += epochs * scales * (slices // 16 if whole else ceil(slices / 16))
    return total


def stretch(p, *, low=True, half=0.5):
    p = p - p.min() if low else p
    return (
        np.floor(255 * p / p.max() + half).astype(np.uint8)
        if p.max() > 0 and np.ptp(p)
        else np.zeros(p.shape, np.uint8)
    )


def plain(p):
    return np.floor(255 * p + 0.5).astype(np.uint8)


def spare(p):
    return plain(p) if p.max() <= 0.5 else stretch(p)


SEMI = {
    1: Row(
        "function to a number",
        steps,
        [
            lambda *a: steps(*a, whole=True),
            lambda *a: steps(*a, late=1),
            lambda *a: steps(*a, scales=1),
            lambda *a: steps(*a, epochs=1),
            lambda *a: steps(*a, all_full=True),
            lambda labelled, unlabelled, k: steps(0, unlabelled, k),
            lambda labelled, unlabelled, k: steps(50, 1600, k),
        ],
    ),
    2: Row(
        "function to an array",
        stretch,
        [
            lambda p: stretch(p, low=False),
            lambda p: stretch(p, half=0),
            plain,
            lambda p: stretch(p) / 255,
            lambda p: stretch(p).astype(float),
            lambda p: np.floor(255 * (p - p.min()) / (p.max() - p.min()) + 0.5).astype(np.uint8),
            lambda p: stretch(p) if np.ptp(p) else np.full(p.shape, 255, np.uint8),
        ],
    ),
    3: Row(
        "function to an array",
        spare,
        [
            stretch,
            plain,
            lambda p: stretch(p) if p.max() > 0.5 else np.zeros(p.shape, np.uint8),
            lambda p: spare(p) if p.max() > 0.5 else np.minimum(stretch(p), 128),
            lambda p: plain(p) if p.max() < 0.6 else stretch(p, low=False),
            lambda p: plain(p) if p.mean() <= 0.5 else stretch(p),
        ],
    ),
}

# ------------------------------------------------------------------------------------------ 23


def lands(row, column, grey, shape, *, greys=True, shift=1, wrap=True):
    v = ({38: 1, 75: 2} if greys else {}).get(grey, grey)
    place = 3 * (row * shape[1] + column) + v - shift
    place = place % (3 * shape[0] * shape[1]) if wrap else max(place, 0)
    pixel, channel = divmod(place, 3)
    return min(pixel // shape[1], shape[0] - 1), pixel % shape[1], channel


GREYS = np.array([0, 128, 255], np.uint8)
MULTICLASS = {
    1: Row(
        "function to numbers",
        lands,
        [
            lambda r, c, g, s: (r, c, {38: 0, 75: 1}.get(g, 2)),
            lambda r, c, g, s: lands(r, c, g, s, shift=0),
            lambda r, c, g, s: lands(r, c, g, s, wrap=False),
            lambda r, c, g, s: lands(r, c, g, s, greys=False),
            lambda r, c, g, s: lands(c, r, g, s),
            lambda r, c, g, s: lands(1, 2, 38, s),
        ],
    ),
    2: Row(
        "function to an array",
        lambda index: GREYS[index],
        [
            lambda index: np.rint(255 * (index / max(1, index.max()))).astype(np.uint8),
            lambda index: index,
            lambda index: (127 * index).astype(np.uint8),
            lambda index: np.array([0, 128, 200], np.uint8)[index],
            lambda index: GREYS[index].astype(int),
            lambda index: GREYS[::-1][index],
        ],
        also=[lambda index: np.select([index == 0, index == 1], [0, 128], 255).astype(np.uint8)],
    ),
    3: Row(
        "pair",
        (0.3 * 48 / 38, 32.8 / 48),
        [(0.3 * 38 / 48, 32.8 / 48), (0.3 * 48 / 38, 0.6 * 38 / 48), (0.3, 0.6), (0.379, 0.6)],
        also=[(0.379, 0.683)],
    ),
}

# ------------------------------------------------------------------------------------------ 32


def misfits(tolerance=0.0011, measures=MEASURES):
    with data_file("papers/infnet_table3.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        (row["method"], m)
        for row in rows
        for m in measures
        if abs((float(row[f"ggo_{m}"]) + float(row[f"consolidation_{m}"])) / 2 - float(row[f"average_{m}"])) > tolerance
    }


OFF = misfits()


def over_thresholds(p, G, *, stretched=True, least=0, hitless=0.0):
    if stretched and p.max() > p.min():
        p = (p - p.min()) / (p.max() - p.min())
    level = np.floor(255 * p + 1e-9)
    masks = [level >= t for t in range(least, 256)]
    return np.mean([2 * (m & G).sum() / (m.sum() + G.sum()) if (m & G).any() else hitless for m in masks])


INFNET_TABLES = {
    1: Row("number", 353 / 638, [285 / 638, 1.0, 0.597, 0.0, 55.3]),
    2: Row(
        "other",
        OFF,
        [
            set(),
            {sorted(OFF)[0]},
            {*OFF, ("FCN8s", "dice")},
            misfits(0),
            {m for _, m in OFF},
            {(m, n) for n, m in OFF},
            "mae",
        ],
        also=[sorted(OFF), tuple(OFF), [list(pair) for pair in OFF]],
    ),
    3: Row(
        "function to a number",
        over_thresholds,
        [
            lambda p, G: over_thresholds(p, G, stretched=False),
            lambda p, G: over_thresholds(p, G, least=25),
            lambda p, G: over_thresholds(p, G, hitless=1.0),
            lambda p, G: over_thresholds((p - p.min()) / (p.max() - p.min()), G),
            lambda p, G: dice(p >= 0.5, G),
            lambda p, G: max(2 * ((p >= t) & G).sum() / ((p >= t).sum() + G.sum()) for t in np.arange(0.01, 1, 0.1)),
        ],
    ),
}

# ------------------------------------------------------------------------------------------ 24


def spectral(x, n, *, scale=1.0, shift=0):
    N, k = len(x), np.arange(-(n // 2), (n + 1) // 2)
    spectrum = np.fft.fftshift(np.fft.fft(x)) / N
    kept = spectrum[N // 2 - n // 2 + shift : N // 2 - n // 2 + n + shift]
    return scale * np.array([(kept * np.exp(2j * np.pi * k * y / n)).sum().real for y in range(n)])


def inception(C, C_out, *, norm=2, bias=1, mixed=2, joined=1, pool_norm=2):
    branches = sum(f * f * C + C * C_out + bias * C_out + norm * C_out for f in (1, 3, 5))
    return branches + mixed * C * C + C + pool_norm * C + (3 * C_out + joined * C) * C_out + C_out + 2 * C_out


CHSNET = {
    1: Row(
        "function to an array",
        spectral,
        [
            lambda x, n: spectral(x, n) * n / len(x),
            lambda x, n: spectral(x, n) * len(x),
            lambda x, n: x[:n],
            lambda x, n: np.full(n, x.mean()),
            lambda x, n: np.interp(np.arange(n) * len(x) / n, np.arange(len(x)), x),
            lambda x, n: spectral(x, n).astype(complex),
            lambda x, n: x[:: max(1, len(x) // n)][:n],
        ],
    ),
    2: Row(
        "function to a number",
        inception,
        [
            lambda C, K: inception(C, K, norm=0),
            lambda C, K: inception(C, K, bias=0),
            lambda C, K: inception(C, K, mixed=1),
            lambda C, K: inception(C, K, joined=0),
            lambda C, K: inception(C, K, pool_norm=0),
            lambda C, K: inception(K, C),
            lambda C, K: inception(20, 20),
        ],
    ),
    3: Row(
        "function to a number",
        lambda r: 2 * r / (1 + r),
        [
            lambda r: r,
            lambda r: r / (2 - r),
            lambda r: (1 + r) / 2,
            lambda r: 0.68,
            lambda r: r**0.5,
            lambda r: 2 * r - r * r,
        ],
        also=[lambda r: 2 / (1 + 1 / r)],
    ),
}

# ------------------------------------------------------------------------------------------ 33


def accuracy(pre, rec, spe, *, swap=False):
    p = pre * (1 - spe) / (pre * (1 - spe) + rec * (1 - pre))
    return (1 - p) * rec + p * spe if swap else p * rec + (1 - p) * spe


def leaking(numbers, tested, *, gaps=True, below=True):
    order = sorted(numbers)
    found = 0
    for k, z in enumerate(order):
        beside = (
            order[max(k - 1, 0) : k] * below + order[k + 1 : k + 2]
            if gaps
            else [n for n in (z - 1, z + 1) if n in order]
        )
        found += z in tested and any(n not in tested for n in beside)
    return found / len(tested)


def over_patients(gains, patients, draws, rng, *, equal=False, ends=(2.5, 97.5)):
    groups = [gains[patients == name] for name in sorted(set(patients))]
    sums, sizes = (np.array([f(group) for group in groups]) for f in (np.sum, len))
    drawn = rng.integers(0, len(groups), (draws, len(groups)))
    means = (sums / sizes)[drawn].mean(1) if equal else sums[drawn].sum(1) / sizes[drawn].sum(1)
    return np.percentile(means, ends)


def over_slices(gains, patients, draws, rng):
    return np.percentile(gains[rng.integers(0, len(gains), (draws, len(gains)))].mean(1), [2.5, 97.5])


CHSNET_TABLES = {
    1: Row(
        "function to a number",
        accuracy,
        [
            lambda pre, rec, spe: accuracy(pre, rec, spe, swap=True),
            lambda pre, rec, spe: (rec + spe) / 2,
            lambda pre, rec, spe: pre,
            lambda pre, rec, spe: pre * (1 - spe) / (pre * (1 - spe) + rec * (1 - pre)),
            lambda pre, rec, spe: 0.94,
            lambda pre, rec, spe: 2 * pre * rec / (pre + rec),
        ],
    ),
    2: Row(
        "function to a number",
        leaking,
        [
            lambda n, t: leaking(n, t) * len(t),
            lambda n, t: leaking(n, t) * len(t) / len(n),
            lambda n, t: leaking(n, t, gaps=False),
            lambda n, t: leaking(n, t, below=False),
            lambda n, t: 1 - leaking(n, t),
            lambda n, t: 0.91,
            lambda n, t: len(t) / len(n),
        ],
    ),
    3: Row(
        "function to numbers",
        over_patients,
        [
            over_slices,
            lambda *a: over_patients(*a, equal=True),
            lambda *a: over_patients(*a, ends=(25, 75)),
            lambda g, p, draws, rng: np.percentile(g, [2.5, 97.5]),
            lambda g, p, draws, rng: (g.mean(), g.mean()),
            lambda g, p, draws, rng: (g.min(), g.max()),
        ],
    ),
}

# ------------------------------------------------------------------------------------------ 25


def fv(C, *, kernel=1, last=1, norms=3, bias=1, reads=3, channels=1):
    F_g = kernel * C * (C // 4) + C // 4 + last * channels * (C // 4 + 1)
    return C * C + F_g + 27 * C * C * (2 + reads) + bias * C + 2 * C * norms


def taps(n, d, *, sides=2):
    return 1 + sides * max(0, n - d) / n


def patches(shape, patch, overlap, *, up=True, first=True):
    total = 1
    for n, p in zip(shape, patch, strict=True):
        step = max(1, int(p * (1 - overlap)))
        rest = n - p if first else n
        total *= 1 + max(0, -(-rest // step) if up else rest // step)
    return total


SEGNET = {
    1: Row(
        "function to a number",
        fv,
        [
            lambda C: fv(C, kernel=27),
            lambda C: fv(C, last=0),
            lambda C: fv(C, norms=0),
            lambda C: fv(C, bias=0),
            lambda C: fv(C, reads=1),
            lambda C: fv(C, channels=C),
            lambda C: 136 * C * C,
        ],
    ),
    2: Row(
        "function to a number",
        taps,
        [
            lambda n, d: 3,
            lambda n, d: 1 + max(0, n - d) / n,
            lambda n, d: 1 + 2 * (n - d) / n,
            lambda n, d: 1,
            lambda n, d: 2 * max(0, n - d) / n,
            lambda n, d: 3 if d < n else 1,
        ],
    ),
    3: Row(
        "function to a number",
        patches,
        [
            lambda *a: patches(*a, up=False),
            lambda *a: patches(*a, first=False),
            lambda shape, patch, overlap: patches(shape, patch, 0),
            lambda shape, patch, overlap: patches(shape, patch, 0.5),
            lambda shape, patch, overlap: int(np.prod(shape) / np.prod(patch)),
            lambda shape, patch, overlap: patches(shape[:2], patch[:2], overlap),
        ],
    ),
}

# ------------------------------------------------------------------------------------------ 34


def allowed(sen, prec):
    return max(0.0, sen + prec - 1), 2 * sen * prec / (sen + prec)


def people(taught, scored, *, keep=False, fill=None, middle=np.mean):
    by = {}
    for who, value in scored:
        value = fill if np.isnan(value) else value
        if value is not None and (keep or who not in taught):
            by.setdefault(who, []).append(value)
    return np.mean([middle(values) for values in by.values()])


def near_mm(pred, truth, spacing, tolerance):
    return surface_dice(pred, truth, tolerance=tolerance, spacing=spacing)


SEGNET_TABLES = {
    1: Row(
        "function to numbers",
        allowed,
        [
            lambda s, p: allowed(s, p)[::-1],
            lambda s, p: (s + p - 1, allowed(s, p)[1]),
            lambda s, p: (allowed(s, p)[0], (s + p) / 2),
            lambda s, p: (allowed(s, p)[0], max(s, p)),
            lambda s, p: (allowed(s, p)[0], min(s, p)),
            lambda s, p: (min(s, p), max(s, p)),
            lambda s, p: (s * p, allowed(s, p)[1]),
            lambda s, p: (0.0, allowed(s, p)[1]),
        ],
    ),
    2: Row(
        "function to a number",
        people,
        [
            lambda t, s: people(t, s, keep=True),
            lambda t, s: people({w for w, _ in s} - t, s),
            lambda t, s: np.nanmean([v for w, v in s if w not in t]),
            lambda t, s: np.nanmean([v for _, v in s]),
            lambda t, s: np.mean([v for w, v in s if w not in t]),
            lambda t, s: people(t, s, fill=0.0),
            lambda t, s: people(t, s, fill=1.0),
            lambda t, s: people(t, s, middle=np.median),
            lambda t, s: people(t, s, middle=np.max),
        ],
    ),
    3: Row(
        "function to a number",
        near_mm,
        [
            lambda p, t, s, mm: near_mm(p, t, (1, 1, 1), mm),
            lambda p, t, s, mm: near_mm(p, t, s[::-1], mm),
            lambda p, t, s, mm: near_mm(p, t, (0.7, 0.7, 5.0), 3.0),
            lambda p, t, s, mm: 1 - near_mm(p, t, s, mm),
            lambda p, t, s, mm: 100 * near_mm(p, t, s, mm),
            lambda p, t, s, mm: dice(p, t),
            lambda p, t, s, mm: 1.0,
        ],
    ),
}

NOTEBOOKS = {
    "21_infnet": INFNET,
    "22_semi_infnet": SEMI,
    "23_multiclass": MULTICLASS,
    "24_chsnet": CHSNET,
    "25_covid_segnet": SEGNET,
    "32_infnet_tables": INFNET_TABLES,
    "33_chsnet_tables": CHSNET_TABLES,
    "34_covid_segnet_tables": SEGNET_TABLES,
}
