"""Checks for 42_segment_your_ct: the share of each lung, a mask on its grid, patients dealt to folds."""

import numpy as np

from covidseg.lessons.answers import MISSING, kind, named, near, number, numbers, yes_or_no

# ------------------------------------------------------------------------------------- 1: how much of each lung


def share_of_each_lung(answer) -> str:
    rng = np.random.default_rng(4)
    for trial in range(4):
        lung = rng.choice([0, 1, 2], (6, 8, 3), p=[0.5, 0.3, 0.2]).astype(np.uint8)
        mask = rng.choice([0, 1, 2], lung.shape, p=[0.6, 0.3, 0.1]).astype(np.uint8)
        if trial == 1:
            mask[lung == 1] = 0
        right = [float(np.mean(mask[lung == side] > 0)) for side in (1, 2)]
        found = numbers(answer(mask.copy(), lung.copy()), 2).tolist()
        if np.allclose(found, right, rtol=0, atol=6e-4):
            continue
        return _slip_of_share(found, right, mask > 0, mask, lung)
    return ""


def _slip_of_share(found, right, marked, mask, lung) -> str:
    both = [marked & (lung == side) for side in (1, 2)]
    slips = (
        (right[::-1], "You have the two lungs the wrong way round: 1 is the right one."),
        ([100 * v for v in right], "These are per cent; a share is 0 to 1."),
        ([b.sum() / (lung > 0).sum() for b in both], "You divide by both lungs together: each has its own size."),
        ([b.sum() / lung.size for b in both], "You divide by the whole scan: most of it is no lung."),
        (
            [b.sum() / max(1, marked.sum()) for b in both],
            "You divide by the infection; the question is how much of the lung.",
        ),
        (
            [float(mask[lung == s].mean()) for s in (1, 2)],
            "Class 2 counts as one voxel, not as two: is it marked or not?",
        ),
        ([float((mask[lung == s] == 1).mean()) for s in (1, 2)], "Class 2, consolidation, is infection too."),
    )
    for values, says in slips:
        if np.allclose(found, values, atol=1e-6):
            return says
    shown = [f"{values[0]:.3f} and {values[1]:.3f}" for values in (right, found)]
    return f"For one pair of masks the shares are {shown[0]}, not {shown[1]}."


# ------------------------------------------------------------------------------------- 2: does the mask lie there?

SHAPE = (5, 6, 4)
BASE = np.array([[-0.7, 0, 0, 90.0], [0, -0.7, 0, 60.0], [0, 0, 5.0, -200.0], [0, 0, 0, 1.0]])


def _turned(affine, shape, order, flips):
    """(shape, affine) of the same grid with its axes in another order, some of them reversed."""
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for new, old in enumerate(order):
        change[old, new] = -1 if flips[new] else 1
        change[old, 3] = shape[old] - 1 if flips[new] else 0
    return tuple(shape[axis] for axis in order), affine @ change


def _moved(affine, voxels):
    out = affine.copy()
    out[:3, 3] += affine[:3, :3] @ voxels
    return out


def _oblique(degrees=11.0):
    a = np.radians(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return turn @ BASE


def _pairs():
    """(what it is, does it lie there, scan affine, mask shape, mask affine); the scan's shape is SHAPE."""
    for name, base in (("a straight scan", BASE), ("an oblique scan", _oblique())):
        yield f"{name} and a mask with the same affine", True, base, SHAPE, base
        flipped = _turned(base, SHAPE, (0, 1, 2), (True, False, True))
        yield f"{name} and a mask stored from the other end of two axes", True, base, *flipped
        swapped = _turned(base, SHAPE, (2, 0, 1), (False, True, False))
        yield f"{name} and a mask with its axes in another order", True, base, *swapped
        yield f"{name} and a mask half a voxel beside", False, base, SHAPE, _moved(base, [0, 0.5, 0])
        yield f"{name} and a mask one whole slice off", False, base, SHAPE, _moved(base, [0, 0, 1])
        yield f"{name} and a mask that lacks a slice", False, base, (*SHAPE[:2], SHAPE[2] - 1), base
        yield f"{name} and a mask with other steps", False, base, SHAPE, base @ np.diag([1.1, 1, 1, 1])
        mirrored = base @ np.diag([-1.0, 1, 1, 1])
        yield f"{name} and a mask mirrored without moving its corner", False, base, SHAPE, mirrored
    yield "a straight scan and a mask turned by 11 degrees", False, BASE, SHAPE, _oblique()
    yield "two affines that differ by a header's rounding", True, BASE, SHAPE, BASE + 1e-5 * np.eye(4)


def lies_on_the_grid(answer) -> str:
    for name, there, scan, shape, mask in _pairs():
        said = yes_or_no(answer(SHAPE, scan.copy(), shape, mask.copy()))
        if said != there:
            verdict = "does lie on the grid, voxel for voxel" if there else "does not lie on the grid"
            return f"Think of {name}: it {verdict}; your function says {said}."
    return ""


# ------------------------------------------------------------------------------------- 3: patients to folds


def patients_to_folds(answer) -> str:
    rng = np.random.default_rng(7)
    for n, count in ((6, 3), (5, 5), (9, 2), (12, 4), (30, 5)):
        slices = {f"patient {k}": int(v) for k, v in enumerate(rng.integers(1, 60, n))}
        given = answer(dict(slices), count)
        if given is None:
            return MISSING
        if not isinstance(given, list | tuple) or not all(isinstance(fold, list | tuple | set) for fold in given):
            return f"A list of lists of patients is asked for, not {kind(given)} of other things."
        folds = [list(fold) for fold in given]
        if len(folds) != count:
            return f"{n} patients in {count} folds: you return {len(folds)} folds."
        dealt = [patient for fold in folds for patient in fold]
        if complaint := _not_whole(dealt, slices):
            return complaint
        sums = [sum(slices[patient] for patient in fold) for fold in folds]
        if min(sums) == 0:
            return f"{n} patients in {count} folds: one fold is empty."
        if max(sums) - min(sums) > max(slices.values()):
            return (
                f"The folds hold {min(sums)} to {max(sums)} slices, further apart than the largest patient's "
                f"{max(slices.values())}: give each patient to the lightest fold."
            )
    return ""


def _not_whole(dealt: list, slices: dict) -> str:
    """What is wrong with who was dealt: each name once."""
    if strangers := set(map(str, dealt)) - set(slices):
        return f"{sorted(strangers)[0]!r} is no patient: deal names, each whole."
    if twice := [patient for patient in slices if dealt.count(patient) > 1]:
        return f"{twice[0]!r} is in two places: then one fold is scored on whom another has seen."
    lost = [patient for patient in slices if patient not in dealt]
    return f"{lost[0]!r} is in no fold." if lost else ""


# ------------------------------------------------------------------------------------- 4: millilitres


def millilitres(answer) -> str:
    rng = np.random.default_rng(5)
    swapped = _turned(BASE, SHAPE, (2, 0, 1), (False, True, False))[1]
    for name, affine in (("a straight scan", BASE), ("an oblique scan", _oblique()), ("swapped axes", swapped)):
        mask = rng.choice([0, 1, 2], SHAPE, p=[0.5, 0.3, 0.2]).astype(np.uint8)
        voxel = abs(np.linalg.det(affine[:3, :3]))  # mm^3
        true, given = float((mask > 0).sum() * voxel / 1000), number(answer(mask.copy(), affine.copy()))
        if near(given, true, 2):
            continue
        slips = {
            1000 * true: "That is in cubic millimetres; a millilitre has a thousand.",
            -true: "A volume is not below 0: an axis may run backwards.",
            float((mask > 0).sum()): "Those are voxels; each has a size.",
            float(mask.sum() * voxel / 1000): "Class 2 counts as one voxel, not as two: is it marked or not?",
            float((mask == 1).sum() * voxel / 1000): "Class 2, consolidation, is infection too.",
            float((mask > 0).sum() * abs(np.prod(np.diag(affine)[:3])) / 1000): (
                f"For {name} the steps do not stand on the diagonal: what is the volume between three vectors?"
            ),
        }
        return named(given, slips, 2) or f"For {name} it is {true:.3f} ml, not {given:.3f}."
    return ""


CHECKS = {1: share_of_each_lung, 2: lies_on_the_grid, 3: patients_to_folds, 4: millilitres}
