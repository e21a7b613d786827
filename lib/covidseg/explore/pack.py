"""Arrays as text inside a page: gzip, then base64; the page unpacks them with the browser's own gunzip."""

import base64
import gzip
from collections.abc import Sequence

import numpy as np

__all__ = ["odds_in_steps", "pack", "pack_look"]


def pack(*arrays: np.ndarray) -> str:
    """The bytes of the arrays one after the other, little-endian; the same arrays give the same text."""
    rows = [np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<"), copy=False).tobytes() for a in arrays]
    return base64.b64encode(gzip.compress(b"".join(rows), 9, mtime=0)).decode()


def pack_look(odds: np.ndarray, maps: Sequence[np.ndarray]) -> str:
    """A look as page/store.js reads it: low and high of every channel (float32), odds and maps (bytes).

    odds : float32 (H, W); maps : float32 (c, h, w) each. A map keeps 256 steps between a channel's own low and high.
    """
    ends = [(float(channel.min()), float(channel.max())) for values in maps for channel in values]
    steps = [_in_steps(channel) for values in maps for channel in values]
    return pack(np.array(ends, np.float32), odds_in_steps(odds), *steps)


def odds_in_steps(odds: np.ndarray) -> np.ndarray:
    """256 times the probability, uint8: 128 and more exactly where the odds are above 0, so the mask stays the mask."""
    steps = np.floor(256 / (1 + np.exp(-np.clip(odds.astype(np.float64), -60, 60)))).astype(int)
    return np.where(odds > 0, np.clip(steps, 128, 255), np.clip(steps, 0, 127)).astype(np.uint8)


def _in_steps(channel: np.ndarray) -> np.ndarray:
    low, high = float(channel.min()), float(channel.max())
    return np.rint((channel - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
