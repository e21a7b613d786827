"""Right and wrong answers to the exercises of the notebooks that belong to no one paper."""

from itertools import combinations

import numpy as np
from answers.kinds import Row

from covidseg.data.own import deal
from covidseg.data.splits import patient_of, volume_of
from covidseg.metrics import dice, hausdorff, iou

# ------------------------------------------------------------------------------------------ 00


def area(mask, spacing):
    return (mask > 0).sum() * spacing[0] * spacing[1] / 100


def box(mask, spacing):
    if not mask.any():
        return 0.0
    rows, columns = np.nonzero(mask)
    return np.ptp(rows + 0.0) * np.ptp(columns + 0.0) * spacing[0] * spacing[1] / 100


def dice_by_hand(mask, truth):
    both = mask.sum() + truth.sum()
    return 2 * (mask & truth).sum() / both if both else 1.0


START = {
    1: Row("number", 1250 / 1500, [0.33, 0.5, 1250, 83, 0.27], digits=2),
    2: Row(
        "function to a number",
        area,
        [
            lambda m, s: m.sum() * 0.5 * 0.8 / 100,  # a spacing written in
            lambda m, s: m.size * s[0] * s[1] / 100,
            lambda m, s: m.sum() * s[0] ** 2 / 100,
            lambda m, s: m.sum() * s[1] ** 2 / 100,
            lambda m, s: m.sum() * s[0] * s[1],
            lambda m, s: m.sum(),
            box,
            lambda m, s: (np.ptp(np.nonzero(m)[0]) + 1) * (np.ptp(np.nonzero(m)[1]) + 1) * s[0] * s[1] / 100,
        ],
    ),
    3: Row("number", 481_296_384 / 4e6, [481, 240.6, 60.2, 0.12, 120_324_096], also=[120], digits=1),
    4: Row(
        "function to a number",
        dice_by_hand,
        [
            lambda a, b: (a & b).sum() / (a | b).sum(),
            iou,
            lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum()),  # 0 by 0 for two empty masks
            lambda a, b: (a & b).sum() / (a.sum() + b.sum()) if a.any() else 1.0,
            lambda a, b: (a == b).mean(),
            lambda a, b: dice(a, b) if a.any() else 0.0,
            lambda a, b: dice(a, b) if a.any() and b.any() else 1.0,
        ],
        also=[lambda a, b: dice(a, b) if (a | b).any() else 1],
    ),
}

# ------------------------------------------------------------------------------------------ 10


def window(hu, level, width):
    return np.rint(255 * np.clip((hu - (level - width / 2)) / width, 0, 1)).astype(np.uint8)


def upright(array):
    return array.transpose(2, 0, 1)[::-1, ::-1]


def split(ids):
    people, test = sorted({patient_of("p20", volume_of(i)) for i in ids}), []
    for who in people:
        if len(test) < 0.2 * len(ids):
            test += [i for i in ids if patient_of("p20", volume_of(i)) == who]
    return [i for i in ids if i not in test], test


def by_volume(ids):
    volumes = sorted({volume_of(i) for i in ids})
    halves = [{*volumes[k::2]} for k in (0, 1)]
    return tuple([i for i in ids if volume_of(i) in half] for half in halves)


DATA = {
    1: Row(
        "function to an array",
        window,
        [
            lambda hu, level, width: window(hu, -500, 1500),  # a window written in
            lambda hu, level, width: window(hu, level, width / 2),
            lambda hu, level, width: 255 - window(hu, level, width),
            lambda hu, level, width: window(hu, level, width).astype(float),
            lambda hu, level, width: np.clip((hu - level + width / 2) / width, 0, 1),
            lambda hu, level, width: (255 * (hu - level + width / 2) / width).astype(np.int64).astype(np.uint8),
        ],
        also=[lambda hu, level, width: (255 * np.clip((hu - level + width / 2) / width, 0, 1)).astype(np.uint8)],
    ),
    2: Row(
        "function to an array",
        upright,
        [
            lambda a: a,
            lambda a: a.transpose(2, 0, 1),
            lambda a: a.transpose(2, 0, 1)[::-1],
            lambda a: a.transpose(2, 0, 1)[:, ::-1],
            lambda a: a.transpose(2, 0, 1)[::-1, ::-1, ::-1],
            lambda a: a.transpose(0, 2, 1)[::-1, ::-1],
            lambda a: a.reshape(a.shape[2], a.shape[0], a.shape[1]),
        ],
    ),
    3: Row(
        "function",
        split,
        [
            lambda ids: (ids[: len(ids) * 7 // 10], ids[len(ids) * 7 // 10 :]),
            by_volume,
            lambda ids: (ids, []),
            lambda ids: (ids, split(ids)[1]),
            lambda ids: split(ids)[::-1],
            lambda ids: (split(ids)[0], split(ids)[1][1:]),
            lambda ids: split(ids)[0],
            lambda ids: ([1, 2], [3]),
        ],
        also=[
            lambda ids: list(split(ids)),
            lambda ids: tuple(map(tuple, split(ids))),
            lambda ids: tuple(map(np.array, split(ids))),
        ],
    ),
}

# ------------------------------------------------------------------------------------------ 11


def fair(pred, truth, spacing):
    diagonal = np.hypot(pred.shape[0] * spacing[0], pred.shape[1] * spacing[1])
    return hausdorff(pred, truth, spacing=spacing, empty=diagonal)


def of_boxes(pred, truth, spacing):
    masks = []
    for mask in (pred, truth):
        filled = np.zeros_like(mask)
        if mask.any():
            rows, columns = np.nonzero(mask)
            filled[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        masks.append(filled)
    return fair(*masks, spacing)


def three(first_pixel=(30, 30), shift=3):
    truth, first, second = np.zeros((3, 32, 32), bool)
    truth[4:14, 4:14] = first[4:14, 4:14] = True
    first[first_pixel] = True
    second[4 + shift : 14 + shift, 4 + shift : 14 + shift] = True
    return truth, first, second


METRICS = {
    1: Row(
        "pair",
        (0.7591 / (2 - 0.7591), 2 * 0.8215 - 0.7591 / (2 - 0.7591)),
        [(0.7591, 0.8839), (0.612, 0.8215), (0.612, 1.0), (61.2, 103.1)],
        also=[(0.612, 1.031), [0.612, 1.031]],
    ),
    2: Row(
        "function to a number",
        fair,
        [
            lambda p, t, s: fair(p, t, (2.0, 0.5)),  # a spacing written in
            lambda p, t, s: fair(p, t, s[::-1]),
            lambda p, t, s: fair(p, t, (1, 1)),
            lambda p, t, s: hausdorff(p, t, spacing=s),
            lambda p, t, s: hausdorff(p, t, spacing=s, empty=0.0),
            lambda p, t, s: hausdorff(p, t, spacing=s, empty=np.hypot(*p.shape)),
            of_boxes,
        ],
        digits=2,
    ),
    3: Row(
        "other",
        three(),
        [
            three(shift=0),
            three(first_pixel=(14, 14)),
            (three()[0], three()[2], three()[1]),
            [np.zeros((32, 32), bool)] * 3,
            [m[:16] for m in three()],
            three()[:2],
            [m * np.nan for m in three()],
            [m * 255 for m in three()],
            ("truth", "first", "second"),
        ],
        also=[
            list(three()),
            np.array(three()),
            tuple(m.astype(np.uint8) for m in three()),
            [m.tolist() for m in three()],
        ],
    ),
}

# ------------------------------------------------------------------------------------------ 35


def unit(pairs):
    for u in (1e6, 1.024e6, 2**20):
        if all(f"{n / u:.{len(text.partition('.')[2])}f}" == text for n, text in pairs):
            return u
    return None


def best(rows, name, *, ties=False, least=True):
    own, found = next(row for row in rows if row["method"] == name), []
    for c in own:
        others = [row[c] for row in rows if row is not own]
        if c != "method":
            least_wins = least and c.endswith("hd")
            good = own[c] < min(others) if least_wins else own[c] > max(others)
            found += [c] if good or (ties and own[c] in (min(others), max(others))) else []
    return found


def copied(rows, run=3):
    def alike(a, b):
        same = [x == y for x, y in zip(rows[a], rows[b], strict=True)]
        return any(all(same[k : k + run]) for k in range(len(same) - run + 1))

    return [pair for pair in combinations(rows, 2) if alike(*pair)]


FINDINGS = {
    1: Row("pair", (0.6, 0.7875), [(0.7, 0.8), (0.6, 0.8), (0.63, 0.7875), (0.7, 0.9)], also=[(0.6, 0.788)]),
    2: Row(
        "function",
        unit,
        [
            lambda pairs: 1e6,
            lambda pairs: 1.024e6,
            lambda pairs: unit(pairs) or 1e6,
            lambda pairs: unit(pairs[:1]),
            lambda pairs: "million",
            lambda pairs: round(pairs[0][0] / float(pairs[0][1])),
        ],
        also=[
            lambda pairs: None if unit(pairs) is None else int(unit(pairs)),
            lambda pairs: None if unit(pairs) is None else np.float64(unit(pairs)),
        ],
    ),
    3: Row(
        "function",
        best,
        [
            lambda rows, name: best(rows, name, ties=True),
            lambda rows, name: best(rows, name, least=False),
            lambda rows, name: [],
            lambda rows, name: list(rows[0]),
            lambda rows, name: ["miou"],
            lambda rows, name: [1, 2],
        ],
        also=[lambda rows, name: set(best(rows, name)), lambda rows, name: tuple(best(rows, name))],
    ),
    4: Row(
        "function",
        copied,
        [
            lambda rows: copied(rows, 2),
            lambda rows: copied(rows, 4),
            lambda rows: [("C", "D")],
            lambda rows: list(combinations(rows, 2)),
            lambda rows: [(a, a) for a in rows] + copied(rows),
            lambda rows: [(a, b) for a, b in combinations(rows, 2) if len({*rows[a]} & {*rows[b]}) >= 3],
            lambda rows: ["C", "D"],
            lambda rows: "CD",
        ],
        also=[
            lambda rows: {pair[::-1] for pair in copied(rows)},
            lambda rows: tuple(map(list, copied(rows))),
        ],
    ),
}

# ------------------------------------------------------------------------------------------ 40

HONEST = {"A": "optimistic", "B": "honest", "C": "honest", "D": "optimistic", "E": "optimistic", "F": "honest"}


def both_sides(train, val):
    return {who for _, who in train} & {who for _, who in val} - {""}


def gift(scores):
    return (scores.max(1) - scores[:, -1]).mean()


def rates(done, epochs, lr, power=0.9):
    return [lr * (1 - epoch / epochs) ** power for epoch in range(done, epochs)]


TRAIN_ONE = {
    1: Row(
        "other",
        HONEST,
        [{**HONEST, letter: {"honest": "optimistic"}.get(word, "honest")} for letter, word in HONEST.items()]
        + [dict.fromkeys(HONEST, True), list(HONEST.values())],
        also=[dict(sorted(HONEST.items(), reverse=True)), dict(HONEST)],
    ),
    2: Row(
        "function",
        both_sides,
        [
            lambda train, val: {who for _, who in train} & {who for _, who in val},
            lambda train, val: {case for case, _ in train} & {case for case, _ in val},
            lambda train, val: {who for _, who in (*train, *val)},
            lambda train, val: set(),
            lambda train, val: {"ada"},
            lambda train, val: len(both_sides(train, val)),
            lambda train, val: [pair for pair in train if pair[1] in both_sides(train, val)],
        ],
        also=[lambda t, v: sorted(both_sides(t, v)), lambda t, v: tuple(both_sides(t, v))],
    ),
    3: Row(
        "function to a number",
        gift,
        [
            lambda s: s.max() - s[:, -1].mean(),
            lambda s: s.mean(0).max() - s[:, -1].mean(),
            lambda s: s.max(1).mean(),
            lambda s: (s.max(1) - s[:, 0]).mean(),
            lambda s: (s.max(0) - s[-1]).mean(),
            lambda s: (s.max(1) - s.mean(1)).mean(),
        ],
        also=[lambda s: np.mean([max(run) - run[-1] for run in s.tolist()])],
    ),
    4: Row(
        "function to numbers",
        rates,
        [
            lambda done, epochs, lr: rates(0, epochs - done, lr),
            lambda done, epochs, lr: rates(0, epochs, lr),
            lambda done, epochs, lr: rates(done, epochs, lr, 1),
            lambda done, epochs, lr: rates(done + 1, epochs + 1, lr),
            lambda done, epochs, lr: rates(done, epochs, 1e-3),
            lambda done, epochs, lr: rates(done, epochs, lr)[::-1],
            lambda done, epochs, lr: [lr] * (epochs - done),
        ],
        also=[lambda *a: np.array(rates(*a))],
        digits=6,
    ),
}

# ------------------------------------------------------------------------------------------ 42


def shares(mask, lung):
    return [(mask[lung == side] > 0).mean() for side in (1, 2)]


def shares_by_hand(mask, lung):
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


def near_whole(there):
    return bool(np.allclose(there, np.rint(there), atol=0.01))


def ml(mask, affine):
    return (mask > 0).sum() * abs(np.linalg.det(affine[:3, :3])) / 1000


YOUR_CT = {
    1: Row(
        "function to numbers",
        shares,
        [
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
        ],
        also=[shares_by_hand],
    ),
    2: Row(
        "function",
        grid,
        [
            lambda a, s, b, m: a == b,
            lambda a, s, b, m: bool(np.allclose(s, m)),
            lambda a, s, b, m: a == b and bool(np.allclose(s, m, atol=1e-3)),
            lambda a, s, b, m: sorted(a) == sorted(b),
            lambda a, s, b, m: True,
            lambda a, s, b, m: False,
            lambda a, s, b, m: near_whole((np.linalg.inv(s) @ m)[:3, :3]),  # forgets the shift
            lambda a, s, b, m: near_whole(np.linalg.inv(s) @ m),  # whole, but off the grid
            lambda a, s, b, m: bool(np.allclose(np.linalg.norm(s[:3, :3], axis=0), np.linalg.norm(m[:3, :3], axis=0))),
            lambda a, s, b, m: bool(np.isclose(abs(np.linalg.det(s)), abs(np.linalg.det(m)), rtol=1e-3)),
            lambda a, s, b, m: grid(a, np.diag([*np.diag(s)[:3], 1]), b, np.diag([*np.diag(m)[:3], 1])),
            lambda a, s, b, m: int(grid(a, s, b, m)),
        ],
        also=[lambda *a: np.bool_(grid(*a)), lambda *a: np.array(grid(*a))],
    ),
    3: Row(
        "function",
        deal,
        [
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
        ],
        also=[lambda s, k: tuple(map(tuple, deal(s, k))), lambda s, k: [set(fold) for fold in deal(s, k)]],
    ),
    4: Row(
        "function to a number",
        ml,
        [
            lambda m, a: (m > 0).sum() * np.prod(np.abs(np.diag(a)[:3])) / 1000,
            lambda m, a: (m > 0).sum() * np.linalg.det(a[:3, :3]) / 1000,
            lambda m, a: (m > 0).sum() * abs(np.linalg.det(a[:3, :3])),
            lambda m, a: m.sum() * abs(np.linalg.det(a[:3, :3])) / 1000,
            lambda m, a: (m == 1).sum() * abs(np.linalg.det(a[:3, :3])) / 1000,
            lambda m, a: m.size * abs(np.linalg.det(a[:3, :3])) / 1000,
            lambda m, a: (m > 0).sum() * 0.7 * 0.7 * 0.5 / 1000,
        ],
        also=[lambda m, a: (m > 0).sum() * np.prod(np.linalg.norm(a[:3, :3], axis=0)) / 1000],
        digits=2,
    ),
}

NOTEBOOKS = {
    "00_start_here": START,
    "10_ct_data": DATA,
    "11_metrics": METRICS,
    "35_reproduction_findings": FINDINGS,
    "40_train_one": TRAIN_ONE,
    "42_segment_your_ct": YOUR_CT,
}
