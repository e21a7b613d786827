"""Spectral pooling (section 3.1.1, Eqn 2; after Rippel et al., NeurIPS 2015): low frequencies make a smaller picture.

By definition: transform every channel, shift the mean to the centre, keep the centred h x w window, transform back,
take the real part. Three things follow, and each is tested:

- The cut is one real matrix per axis, Y = A_h X A_w^T. It needs no complex numbers, works under bf16, and is faster
  than the transform. This is exact where the window's corner frequency (-h/2, -w/2), which has no partner in a window
  of even sides, is averaged with (-h/2, +w/2). Without that average a flipped slice gives another answer than the
  flipped answer.
- "Same" spectral pooling keeps every frequency, so it is the identity.
- Global spectral pooling keeps one frequency, the mean, so it is global average pooling.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.papers.chsnet.wiring import Wiring

__all__ = ["GlobalSpectralPool", "SpectralPool", "crop_spectrum", "spectral_matrix", "spectral_pool"]


def spectral_matrix(n: int, N: int, keep: int | None = None) -> np.ndarray:
    """Matrix (n, N), float64, that cuts one axis of N pixels to n by keeping its ``keep`` lowest frequencies.

    keep : n by default, which is spectral pooling; with n = N and fewer frequencies it smooths and keeps the size.
    Rows sum to 1, so that a constant stays what it is; n = N is the identity and n = 1 the mean.
    """
    keep = n if keep is None else keep
    k = np.arange(-(keep // 2), (keep + 1) // 2)  # the centred window, as fftshift has it
    turns = np.arange(n)[:, None] / n - np.arange(N) / N  # y/n - x/N
    return np.cos(2 * np.pi * k * turns[..., None]).sum(-1) / N


@lru_cache(maxsize=128)
def _matrix(n: int, N: int, keep: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # one made while predicting must serve a training afterwards
        return torch.tensor(spectral_matrix(n, N, keep), dtype=dtype, device=device)


def spectral_pool(x: Tensor, size: tuple[int, int], keep: tuple[int, int] | None = None) -> Tensor:
    """Maps (..., H, W) -> (..., h, w) with the mean of each preserved; ``keep`` as in `spectral_matrix`."""
    (h, w), (k_h, k_w) = size, keep or size
    A_h, A_w = (_matrix(n, N, k, x.dtype, x.device) for n, N, k in zip((h, w), x.shape[-2:], (k_h, k_w), strict=True))
    return A_h @ (x @ A_w.T)  # ..., h, w


def crop_spectrum(x: Tensor, size: tuple[int, int], *, average_corner: bool = True) -> Tensor:
    """The definition, by fast Fourier transform: maps (..., H, W) -> (..., h, w) with the mean of each preserved.

    average_corner : False is the literature's form; then the corner frequency keeps one of its two halves.
    """
    (H, W), (h, w) = x.shape[-2:], size
    spectrum = torch.fft.fftshift(torch.fft.fft2(x, norm="forward"), dim=(-2, -1))
    top, left = H // 2 - h // 2, W // 2 - w // 2
    window = spectrum[..., top : top + h, left : left + w].clone()
    if average_corner and h % 2 == w % 2 == 0 and h < H and w < W:
        window[..., 0, 0] = (window[..., 0, 0] + spectrum[..., top, left + w]) / 2
    return torch.fft.ifft2(torch.fft.ifftshift(window, dim=(-2, -1)), norm="forward").real


def _literature(x: Tensor, size: tuple[int, int]) -> Tensor:
    x = x if x.dtype == torch.float64 else x.float()  # complex numbers have no half precision
    return crop_spectrum(x, size, average_corner=False)


class SpectralPool(nn.Module):
    """Spectral pooling by two: (B, C, H, W) -> (B, C, H // 2, W // 2), odd sides rounded down as max pooling does."""

    def __init__(self, wiring: Wiring):
        super().__init__()
        self.scale, self.corner, self.relu = wiring.spectral_scale, wiring.spectral_corner, wiring.spectral_relu

    def forward(self, x: Tensor) -> Tensor:
        (H, W), size = x.shape[-2:], (x.shape[-2] // 2, x.shape[-1] // 2)
        y = spectral_pool(x, size) if self.corner == "average" else _literature(x, size)
        if self.scale == "unitary":  # (2) as printed: the mean grows by 2 with every pooling
            y = y * (H * W / (size[0] * size[1])) ** 0.5
        return y.relu() if self.relu else y


class SameSpectralPool(nn.Module):
    """Spectral pooling that keeps the size: the identity, or for study ``same_keep`` of each axis' frequencies."""

    def __init__(self, wiring: Wiring):
        super().__init__()
        self.keep, self.relu = wiring.same_keep, wiring.spectral_relu

    def forward(self, x: Tensor) -> Tensor:  # B, C, H, W
        if self.keep < 1:
            size = tuple(x.shape[-2:])
            x = spectral_pool(x, size, tuple(max(1, int(self.keep * side)) for side in size))
        return x.relu() if self.relu else x


class GlobalSpectralPool(nn.Module):
    """P_gsp of Eqn 8, (B, C, H, W) -> (B, C, 1, 1): the one frequency that is left of a 1 x 1 window is the mean."""

    def __init__(self, wiring: Wiring):
        super().__init__()
        self.scale = wiring.spectral_scale

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((-2, -1), keepdim=True)
        return mean if self.scale == "mean" else mean * (x.shape[-2] * x.shape[-1]) ** 0.5  # (2) as printed
