"""A volume too large for one pass of a 3-D network: overlapping patches, their answers blended where they overlap.

The patches stand on a grid of steps of ``1 - overlap`` patches, the last of each axis moved back to the volume's end.
With "gaussian" an answer weighs most in the middle of its patch, where the network saw something on every side;
"constant" is the plain mean. What is averaged are logits, so that one patch alone gives the network's own answer.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from covidseg.errors import UserError, unknown_name
from covidseg.nn.layers import main_output
from covidseg.progress import progress

__all__ = ["BLENDS", "slabs", "windows"]

BLENDS = ("gaussian", "constant")
SIGMA = 1 / 8  # of the patch: at its border the Gaussian of one axis has fallen to exp(-8)
LEAST = 1e-3  # of the largest weight: in a corner the product of three would vanish in float32


def windows(
    model: Callable[[Tensor], Tensor],
    volume: Tensor,
    patch: tuple[int, int, int],
    overlap: float = 0.5,
    blend: str = "gaussian",
    batch: int = 1,
    device: str | torch.device | None = None,
) -> Tensor:
    """Logits of a whole volume, patch by patch: (1, C, H, W, D) -> float32 (1, K, H, W, D) on the CPU.

    model : patches (b, C, *patch) -> logits (b, K, *patch), in eval(); of several outputs the first counts
    patch : (rows, columns, slices); a thinner volume is padded with its border voxels, the answer cut back
    overlap : share of a patch that the next one covers again, 0 to below 1; blend : "gaussian" or "constant"
    batch : patches per pass; the answer does not depend on it. device : where passes run, else where the volume is
    Memory besides the volume: 8 K bytes for each of its voxels (the slabs, then the whole); `slabs` holds less.
    Raises UserError for other shapes, an unknown blend, and a network that answers in another size.
    """
    return torch.cat([scores for _, scores in slabs(model, volume, patch, overlap, blend, batch, device)], -1)


def slabs(model, volume, patch, overlap=0.5, blend="gaussian", batch=1, device=None) -> Iterator[tuple[int, Tensor]]:
    """`windows` as a stream: (first slice, float32 (1, K, H, W, d)), slices coming as soon as no patch will touch them.

    Memory besides the volume and the network's own: at most 4 (3 K + 1) bytes for each voxel of H x W x patch slices.
    A scan of 512 x 512 with K = 3 in patches of 64 slices takes 0.7 GB, however many slices it has.
    """
    _check(volume, patch, overlap, blend, batch)
    (H, W, D), device = volume.shape[2:], device or volume.device
    volume, (top, left, front) = _pad(volume, patch)
    rows, columns, starts = (_starts(n, p, overlap) for n, p in zip(volume.shape[2:], patch, strict=True))
    corners = list(product(rows, columns))
    chunks = [corners[k : k + batch] for k in range(0, len(corners), batch)]
    weight, first, total = _weight(patch, blend), 0, None
    share = torch.zeros(*volume.shape[2:4], patch[2])  # of the slab at hand: H', W', patch; sums of the weights
    inner = slice(top, top + H), slice(left, left + W)  # without the padding
    for z, chunk in progress([(z, chunk) for z in starts for chunk in chunks], "Segmenting"):
        if z > first:  # no later patch reaches the slices before z
            done = (..., *inner, slice(z - first))
            yield first, total[done] / share[done]
            _move_on(total, z - first), _move_on(share, z - first)
            first = z
        places = [(slice(y, y + patch[0]), slice(x, x + patch[1])) for y, x in chunk]
        x = torch.cat([volume[:, :, *place, z : z + patch[2]] for place in places])  # b, C, patch
        answers = _answers(model, x.to(device))  # b, K, patch
        total = torch.zeros(1, answers.shape[1], *share.shape) if total is None else total
        for place, answer in zip(places, answers, strict=True):
            total[0, :, *place] += answer * weight
            share[place] += weight
    done = (..., *inner, slice(front, front + min(D, patch[2])))
    yield first, total[done] / share[done]


def _answers(model, x: Tensor) -> Tensor:
    """Logits of some patches, on the CPU; UserError where they have another size than the patches."""
    with torch.no_grad():  # a graph would keep every patch alive
        answers = main_output(model(x))
    if answers.shape[2:] != x.shape[2:]:
        given, got = (" x ".join(map(str, shape[2:])) for shape in (x.shape, answers.shape))
        raise UserError(f"The network answers a patch of {given} in {got}: choose a patch whose sides it keeps.")
    return answers.cpu()


def _starts(n: int, p: int, overlap: float) -> list[int]:
    """First voxel of each patch along an axis of n voxels.

    >>> _starts(10, 4, 0.5)
    [0, 2, 4, 6]
    >>> _starts(9, 4, 0.25)
    [0, 3, 5]
    """
    step = max(1, int(p * (1 - overlap)))
    return [min(start, n - p) for start in range(0, n - p + step, step)]


def _weight(patch: Sequence[int], blend: str) -> Tensor:
    """How much each voxel of a patch counts: float32, of the patch's shape."""
    if blend == "constant":
        return torch.ones(*patch)
    axes = [torch.exp(-(((torch.arange(p) - (p - 1) / 2) / (SIGMA * p)) ** 2) / 2) for p in patch]
    return torch.einsum("h,w,d->hwd", *axes).clamp_(min=LEAST)


def _pad(volume: Tensor, patch: Sequence[int]) -> tuple[Tensor, list[int]]:
    """Volume at least as large as a patch, grown on both sides by its border voxels; and what was put before it."""
    missing = [max(p - n, 0) for n, p in zip(volume.shape[2:], patch, strict=True)]
    before = [m // 2 for m in missing]
    ends = [side for m, b in zip(missing[::-1], before[::-1], strict=True) for side in (b, m - b)]
    return (F.pad(volume, ends, mode="replicate") if any(missing) else volume), before


def _move_on(slab: Tensor, n: int) -> None:
    """Make a slab start n slices later: the first n are forgotten, n empty ones follow."""
    kept = slab.shape[-1] - n
    slab[..., :kept] = slab[..., n:].clone()
    slab[..., kept:] = 0


def _check(volume, patch, overlap, blend, batch):
    if volume.ndim != 5 or len(volume) != 1 or 0 in volume.shape:
        raise UserError(f"The sliding window takes one volume (1, C, H, W, D); got shape {tuple(volume.shape)}.")
    if len(patch) != 3 or min(patch) < 1:
        raise UserError(f"patch is {patch}; give rows, columns and slices, such as (64, 64, 64).")
    if not 0 <= overlap < 1:
        raise UserError(f"overlap is {overlap}; it is the share that two patches have in common, from 0 to below 1.")
    if blend not in BLENDS:
        raise unknown_name("blend", blend, BLENDS)
    if batch < 1:
        raise UserError(f"batch is {batch}; it counts the patches per pass, so give 1 or more.")
