"""Right and wrong answers to the exercises of MiniSeg's notebooks."""

import numpy as np
import torch
from answers.kinds import Row

from covidseg.papers.miniseg.checks.nb_12_training import READ
from covidseg.papers.miniseg.checks.nb_26_model_zoo import SLOW
from covidseg.papers.miniseg.network import AHSP

# ------------------------------------------------------------------------------------------ 12

STEPS, T = 60, 4800


def rate(iteration, total=T, power=0.9):
    return 1e-3 * (1 - iteration / total) ** power


def below(total=T, power=0.9):
    return next(i for i in range(total) if rate(i, total, power) < 1e-4)


def pieces(net, criterion, x, target, size, *, weigh="mass", clear="once", back=True):
    if clear == "once":
        net.zero_grad()
    for first in range(0, len(x), size):
        piece, truth = x[first : first + size], target[first : first + size]
        if clear == "always":
            net.zero_grad()
        share = {"mass": criterion.mass(truth) / criterion.mass(target), "count": len(piece) / len(x)}.get(weigh, 1)
        if back:
            (share * criterion(net(piece), truth)).backward()


def with_(**choices):
    return lambda *arguments: pieces(*arguments, **choices)


def at_once(net, criterion, x, target, size):
    pieces(net, criterion, x, target, len(x))


def by_autograd(net, criterion, x, target, size):
    net.zero_grad(set_to_none=False)
    for k in range(0, len(x), size):
        part = criterion(net(x[k : k + size]), target[k : k + size])
        share = criterion.mass(target[k : k + size]) / criterion.mass(target)
        for p, g in zip(net.parameters(), torch.autograd.grad(part, list(net.parameters())), strict=True):
            p.grad += share * g


def returned(*arguments):
    pieces(*arguments)
    return "done"


TRAINING = {
    1: Row(
        "pair",
        (rate(60 * STEPS), below()),
        [
            (rate(60 * STEPS, power=1), below()),
            (rate(61 * STEPS), below()),
            (1e-3, below()),
            (rate(60 * STEPS), below() + 1),
            (rate(60 * STEPS), below() - 1),
            (rate(60 * STEPS), below(80 * 15)),
            (rate(60 * STEPS), below(80 * 64)),
            (rate(60 * STEPS), below(power=1)),
            (below(), rate(60 * STEPS)),
        ],
        also=[(2.872e-4, below()), (np.float32(rate(60 * STEPS)), np.int64(below()))],
        digits=6,
    ),
    2: Row(
        "other",
        READ,
        [{**READ, "A": READ["B"], "B": READ["A"]}, {**READ, "C": "overfitting"}, {**READ, "A": 1}, list(READ.values())],
        also=[dict(reversed(READ.items())), dict(READ)],
    ),
    3: Row(
        "function that changes",
        pieces,
        [
            with_(weigh="none"),
            with_(weigh="count"),
            with_(clear="never"),
            with_(clear="always"),
            with_(back=False),
            at_once,
            lambda net, criterion, x, target, size: pieces(net, criterion, x[:-1], target[:-1], size),
            lambda net, criterion, x, target, size: pieces(net, criterion, x * torch.nan, target, size),
            lambda net, criterion, x, target, size: pieces(net, criterion, x, target[::-1], size),
        ],
        also=[by_autograd, returned, lambda *a: pieces(*a[:-1], max(1, a[-1] - 1))],
    ),
}

# ------------------------------------------------------------------------------------------ 20


def ahsp(C, C_out, *, norm=3, fuse=4, attend=4, taps=9):
    inner = C_out // 4
    return C * inner + 4 * taps * inner + attend * inner + C_out * C_out // fuse + norm * C_out


BLOCK = AHSP(24, 24)
PLAIN = BLOCK.dilated[0].weight.detach()

MINISEG = {
    1: Row(
        "function to a number",
        ahsp,
        [
            lambda C, C_out: ahsp(C, C_out, norm=0),
            lambda C, C_out: ahsp(C, C_out, norm=2),
            lambda C, C_out: ahsp(C, C_out, fuse=1),
            lambda C, C_out: ahsp(C, C_out, attend=16),
            lambda C, C_out: ahsp(C, C_out, taps=1),
            lambda C, C_out: ahsp(C_out, C),
            lambda C, C_out: ahsp(24, 24),
        ],
        also=[lambda C, C_out: sum(p.numel() for p in AHSP(C, C_out).parameters())],
    ),
    2: Row("number", 179.2, [89.6, 190.4, 256, 11.2, 16, 17.92], also=[179], digits=1),
    3: Row(
        "other",
        (BLOCK, PLAIN + 1 / 9),
        [
            (BLOCK, PLAIN),
            (BLOCK, PLAIN + 1),
            (BLOCK, PLAIN / 9),
            (BLOCK, PLAIN - 1 / 9),
            (BLOCK, torch.full_like(PLAIN, 1 / 9)),
            (BLOCK, PLAIN * torch.nan),
            (BLOCK, (PLAIN + 1 / 9)[:3]),
            (BLOCK, (PLAIN + 1 / 9).mean()),
            (BLOCK, "weights"),
            (BLOCK, None),
        ],
        also=[(BLOCK, (PLAIN + 0.111)), (BLOCK, (PLAIN + 1 / 9).numpy()), (BLOCK, (PLAIN + 1 / 9).tolist())],
    ),
    4: Row(
        "function to a number",
        lambda macs, moved, rate, bandwidth: max(macs / rate, moved / bandwidth),
        [
            lambda macs, moved, rate, bandwidth: macs / rate + moved / bandwidth,
            lambda macs, moved, rate, bandwidth: min(macs / rate, moved / bandwidth),
            lambda macs, moved, rate, bandwidth: macs / rate,
            lambda macs, moved, rate, bandwidth: moved / bandwidth,
            lambda macs, moved, rate, bandwidth: 1000 * max(macs / rate, moved / bandwidth),
            lambda macs, moved, rate, bandwidth: min(rate / macs, bandwidth / moved),
            lambda macs, moved, rate, bandwidth: min(rate, bandwidth * macs / moved),
            lambda macs, moved, rate, bandwidth: max(2 * macs / rate, moved / bandwidth),
            lambda macs, moved, rate, bandwidth: max(macs / rate, 4 * moved / bandwidth),
            lambda macs, moved, rate, bandwidth: max(macs / bandwidth, moved / rate),
        ],
    ),
}

# ------------------------------------------------------------------------------------------ 26


def printed(text, *, million=1_024_000, small=1_000_000, half=0.005):
    value = float(text[:-1])
    unit = 1000 if text[-1] == "K" else million if value >= 1 else small
    return (value - half) * unit, (value + half) * unit


def attention(H, W, stride, C_k, C_v):
    return ((H // stride) * (W // stride)) ** 2 * (C_k + C_v)


ZOO = {
    1: Row(
        "function to numbers",
        printed,
        [
            lambda text: printed(text, million=1_000_000),
            lambda text: printed(text, small=1_024_000),
            lambda text: printed(text, half=0.01),
            lambda text: printed(text, half=0),
            lambda text: printed(text)[::-1],
            lambda text: printed("8.43M"),
        ],
        digits=0,
    ),
    2: Row(
        "function to a number",
        attention,
        [
            lambda H, W, s, k, v: attention(H, W, s, k, 0),
            lambda H, W, s, k, v: attention(H, W, s, 0, v),
            lambda H, W, s, k, v: (H // s) * (W // s) * (k + v),
            lambda H, W, s, k, v: 2 * attention(H, W, s, k, v),
            lambda H, W, s, k, v: (H * W) ** 2 * (k + v),
            lambda H, W, s, k, v: attention(512, 512, s, k, v),
        ],
    ),
    3: Row("names", SLOW, [["SegNet", "DeepLabv3+"], {*SLOW, "U-Net"}, "SegNet"]),
}

# ------------------------------------------------------------------------------------------ 30


def heads(C, classes, *, maps=slice(1, None), taps=1, bias=True):
    return classes * taps * sum(C[maps]) + bias * classes * len(C[maps])


def paired(one, other):
    both = one.keys() & other.keys()
    return sum(other[s] - one[s] for s in both) / len(both) if both else None


ABLATIONS = {
    1: Row("number", 1.5, [6, 4, 0.125, 12.5, 3, 0, 12], digits=1),
    2: Row(
        "function to a number",
        heads,
        [
            lambda C, classes: heads(C, classes, bias=False),
            lambda C, classes: heads(C, classes, maps=slice(0, 4)),
            lambda C, classes: heads(C, classes, maps=slice(0, 3)),
            lambda C, classes: heads(C, classes, taps=9),
            lambda C, classes: heads(C, 2),
            lambda C, classes: heads((8, 24, 32, 64), classes),
            lambda C, classes: 246,
        ],
    ),
    3: Row(
        "function",
        paired,
        [
            lambda one, other: paired(other, one),
            lambda one, other: np.mean([b - a for a, b in zip(one.values(), other.values(), strict=False)]),
            lambda one, other: np.mean([*other.values()]) - np.mean([*one.values()]),
            lambda one, other: paired(one, other) or 0.0,
            lambda one, other: sum(other[s] - one[s] for s in one.keys() & other.keys()) or None,
            lambda one, other: max((other[s] - one[s] for s in one.keys() & other.keys()), default=None),
            lambda one, other: 6.5,
        ],
        also=[
            lambda one, other: None if paired(one, other) is None else round(paired(one, other), 2),
            lambda one, other: None if paired(one, other) is None else np.float64(paired(one, other)),
        ],
        digits=2,
    ),
}

# ------------------------------------------------------------------------------------------ 31


def training(slices, batch, epochs, sides, *, passes=None, ceil=False):
    full = -(-slices // batch) if ceil else slices // batch
    return full * (passes or len(sides)) * epochs, slices // batch * batch * epochs * sum(s * s for s in sides)


def means(dsc, folds):
    return dsc.mean(), np.mean([dsc[folds == fold].mean() for fold in np.unique(folds)])


def interval(one, other, draws, rng, *, ends=(2.5, 97.5)):
    gains = one - other
    return np.percentile(gains[rng.integers(0, len(gains), (draws, len(gains)))].mean(1), ends)


def apart(one, other, draws, rng):
    n = len(one)
    return np.percentile(
        one[rng.integers(0, n, (draws, n))].mean(1) - other[rng.integers(0, n, (draws, n))].mean(1), [2.5, 97.5]
    )


BENCHMARK = {
    1: Row(
        "function to numbers",
        training,
        [
            lambda *a: training(*a, passes=1),
            lambda *a: training(*a, ceil=True),
            lambda n, b, e, s: (training(n, b, e, s)[0], n * e * sum(x * x for x in s)),
            lambda n, b, e, s: (training(n, b, e, s)[0], training(n, b, e, s)[1] // b),
            lambda n, b, e, s: training(79, 5, 80, s),
            lambda n, b, e, s: (training(n, b, e, s)[0], training(n, b, e, s)[0] * b),
        ],
    ),
    2: Row(
        "function to numbers",
        means,
        [
            lambda d, f: means(d, f)[::-1],
            lambda d, f: [100 * v for v in means(d, f)],
            lambda d, f: (d.mean(), d.mean()),
            lambda d, f: (np.median(d), means(d, f)[1]),
            lambda d, f: (d.mean(), np.median([d[f == k].mean() for k in np.unique(f)])),
            lambda d, f: (d.mean(), max(d[f == k].mean() for k in np.unique(f))),
        ],
    ),
    3: Row(
        "function to numbers",
        interval,
        [
            apart,
            lambda one, other, draws, rng: -interval(one, other, draws, rng)[::-1],
            lambda one, other, draws, rng: interval(one, other, draws, rng, ends=(5, 95)),
            lambda one, other, draws, rng: np.percentile(one - other, [2.5, 97.5]),
            lambda one, other, draws, rng: [(one - other).mean()] * 2,
            lambda one, other, draws, rng: (0.0, 0.04),
        ],
        digits=4,
    ),
}

NOTEBOOKS = {
    "12_training": TRAINING,
    "20_miniseg": MINISEG,
    "26_model_zoo": ZOO,
    "30_miniseg_ablations": ABLATIONS,
    "31_miniseg_benchmark": BENCHMARK,
}
