"""Where a network is sure, asked in three ways, and whether that is worth anything: how often it is right when sure.

A stack holds the probability of infection that several askings gave, float32 (n, B, H, W), in 3-D (n, B, H, W, D).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.errors import UserError
from covidseg.nn.layers import main_output
from covidseg.training.evaluation import infection_probability

__all__ = ["Reliability", "by_dropout", "by_flips", "by_members", "entropy", "reliability"]

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@torch.no_grad()
def by_flips(model: nn.Module, x: Tensor) -> np.ndarray:
    """The stack (4, B, H, W) of a slice as it is, mirrored along its columns, its rows and both, each turned back.

    x : (B, C, H, W) or (B, C, H, W, D), normalised. Runs in eval mode; the mode is left as it was.
    """
    turns = ([], [3], [2], [2, 3])
    with _mode(model):
        answers = [torch.flip(_probability(model, torch.flip(x, t)), [axis - 1 for axis in t]) for t in turns]
    return torch.stack(answers).cpu().numpy()


@torch.no_grad()
def by_dropout(model: nn.Module, x: Tensor, n: int = 10, *, seed: int = 0) -> np.ndarray:
    """The stack (n, B, H, W) of ``n`` passes whose dropout layers drop, all others being in eval mode.

    Source: Gal and Ghahramani, ICML 2016. What torch draws elsewhere is left as it was. Raises UserError for a network
    without dropout (`by_flips` asks every network), and for n under 1.
    """
    layers = [part for part in model.modules() if isinstance(part, DROPOUTS) and part.p > 0]
    if not layers:
        raise UserError(f"{type(model).__name__} drops nothing, so all its passes are equal: ask it by flips instead.")
    if n < 1:
        raise UserError(f"n is {n}; it counts the passes: give 1 or more.")
    with torch.random.fork_rng(devices=[]), _mode(model, dropping=layers):
        torch.manual_seed(seed)
        return torch.stack([_probability(model, x) for _ in range(n)]).cpu().numpy()


@torch.no_grad()
def by_members(models: Sequence[nn.Module], x: Tensor) -> np.ndarray:
    """The stack (n, B, H, W) of several networks, such as the folds of one training (`covidseg.ensemble`)."""
    answers = []
    for model in models:
        with _mode(model):
            answers.append(_probability(model, x))
    return torch.stack(answers).cpu().numpy()


def entropy(probability: np.ndarray) -> np.ndarray:
    """How unsure a probability of infection is, in bits: 0 at 0 and 1, 1 at one half. Same shape, float32.

    >>> entropy(np.array([0.0, 0.5, 1.0])).tolist()
    [0.0, 1.0, 0.0]
    """
    p = np.clip(np.asarray(probability, np.float64), 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where((p > 0) & (p < 1), -p * np.log2(p) - (1 - p) * np.log2(1 - p), 0.0)
    return bits.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Reliability:
    """What a probability was worth, by bins of equal width from 0 to 1; arrays (bins,), nan where a bin is empty.

    said : mean probability; found : share of the pixels that are infected; count : pixels
    error : expected calibration error, the mean of abs(said - found) over pixels. Source: Guo et al., ICML 2017, Eqn 3,
        for the probability of one class
    """

    said: np.ndarray
    found: np.ndarray
    count: np.ndarray
    error: float


def reliability(
    probability: np.ndarray, truth: np.ndarray, *, bins: int = 10, where: np.ndarray | None = None
) -> Reliability:
    """Of pixels of any shape. truth : of the same shape, not 0 where infected; where : bool, the pixels that count.

    Left in, the pixels far from any lung are nearly all of them, all sure and all right, and hide every other error.
    Raises UserError for unlike shapes, no pixel, or values that are no probabilities.

    >>> r = reliability(np.array([0.9, 0.9, 0.9, 0.9, 0.1]), np.array([1, 1, 1, 0, 0]), bins=2)
    >>> r.count.tolist(), r.found.tolist(), round(r.error, 3)
    ([1, 4], [0.0, 0.75], 0.14)
    """
    p, t = np.asarray(probability, np.float64), np.asarray(truth) != 0
    if p.shape != t.shape or (where is not None and np.shape(where) != p.shape):
        raise UserError(f"Probabilities have shape {p.shape}, the truth {t.shape}; every pixel needs both.")
    if where is not None:
        p, t = p[np.asarray(where) != 0], t[np.asarray(where) != 0]
    if not p.size or bins < 1:
        raise UserError("There is no pixel to count, or no bin to count it in.")
    if not (p.min() >= 0 and p.max() <= 1):  # NaN is neither
        raise UserError(f"Probabilities are 0 to 1; these go from {p.min():g} to {p.max():g}.")
    place = np.minimum((p.ravel() * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        said = np.bincount(place, p.ravel(), bins) / count
        found = np.bincount(place, t.ravel(), bins) / count
    return Reliability(said, found, count, float(np.nansum(np.abs(said - found) * count) / count.sum()))


def _probability(model: nn.Module, x: Tensor) -> Tensor:
    return infection_probability(main_output(model(x)).float())


@contextmanager
def _mode(model: nn.Module, dropping: Sequence[nn.Module] = ()) -> Iterator[None]:
    """eval(), but for the layers that drop; then every part is as it was."""
    before = {part: part.training for part in model.modules()}
    model.eval()
    for layer in dropping:
        layer.train()
    try:
        yield
    finally:
        for part, training in before.items():
            part.training = training
