"""From a slice in its own units to the tensor a network sees: window, resize, normalise, and a wide augmentation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from covidseg.data.resample import check_spacing
from covidseg.errors import UserError, unknown_name

INTENSITIES = ("HU", "grey")


class Window(NamedTuple):
    """The range of CT numbers shown as black to white: ``level`` is its centre, ``width`` its extent, both in HU."""

    level: float
    width: float

    @property
    def low(self) -> float:
        return self.level - self.width / 2

    @property
    def high(self) -> float:
        return self.level + self.width / 2


LUNG = Window(-500, 1500)  # -1250..250 HU: the window in which half of P20 is published (Ma et al. 2020)
MEDIASTINUM = Window(40, 400)  # -160..240 HU: soft tissue; the lungs turn black
BONE = Window(400, 1800)  # -500..1300 HU
CT_RANGE = (-1024, 3071)  # HU of 12 bits
WIDEST = 65_536  # HU: all numbers of 16 bits
WINDOWS = {"lung": LUNG, "mediastinum": MEDIASTINUM, "bone": BONE}

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def to_grey(image: np.ndarray, intensity: str, window: Window = LUNG) -> np.ndarray:
    """CT numbers or stored grey levels as float32 in 0..1.

    image : any shape; HU, or grey levels 0..255
    intensity : "HU" applies ``window``; "grey" divides by 255 and leaves the window alone, because a grey picture
        was windowed by whoever made it
    Raises UserError for another intensity or a window without width.

    >>> to_grey(np.array([-1250.0, -500.0, 250.0]), "HU").tolist()
    [0.0, 0.5, 1.0]
    """
    image = np.asarray(image, dtype=np.float32)
    if intensity == "grey":
        return np.clip(image / np.float32(255), 0, 1)
    if intensity != "HU":
        raise unknown_name("intensity", intensity, INTENSITIES)
    window = Window(*window)
    if not window.width > 0:
        raise UserError(f"A window of width {window.width:g} HU shows nothing: give a width above 0, e.g. 1500.")
    return np.clip((image - np.float32(window.low)) / np.float32(window.width), 0, 1)


def resize_image(image: torch.Tensor, size: int | tuple[int, int], *, antialias: bool = False) -> torch.Tensor:
    """Bilinear resize of the last two axes, as cv2.INTER_LINEAR: half-pixel centres, no antialiasing.

    image : float (H, W), (C, H, W) or (B, C, H, W); size : side, or (rows, columns)
    antialias : True widens the kernel when shrinking, as PIL does
    """
    batch = image.reshape(-1, 1, *image.shape[-2:])
    resized = F.interpolate(batch, size=_rows_columns(size), mode="bilinear", align_corners=False, antialias=antialias)
    return resized.reshape(*image.shape[:-2], *resized.shape[-2:])


def resize_mask(mask: torch.Tensor, size: int | tuple[int, int]) -> torch.Tensor:
    """Nearest-neighbour resize of the last two axes, as cv2.INTER_NEAREST: output x reads input floor(x * in / out).

    mask : any dtype, (..., H, W). No new label can appear, which is why labels are never interpolated.
    """
    rows, columns = (_nearest_index(old, new) for old, new in zip(mask.shape[-2:], _rows_columns(size), strict=True))
    return mask[..., rows[:, None].to(mask.device), columns[None, :].to(mask.device)]


def _nearest_index(old: int, new: int) -> torch.Tensor:
    # cv2 inverts the scale twice in double precision, so floor may land one pixel below the exact fraction:
    # P9's 630 -> 768 does at 5 of 768 positions. Labels should fall where the authors' fell.
    scale = 1.0 / (new / old)
    return torch.floor(torch.arange(new, dtype=torch.float64) * scale).long().clamp_(max=old - 1)


def _rows_columns(size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


@dataclass(frozen=True)
class Preprocessing:
    """All that stands between a slice and the network, kept with the weights so that both travel together.

    size : side of the square input; mean, std : per channel (R, G, B), in grey 0..1; window : for HU images
    antialias : how to shrink, see resize_image
    spacing : of volumes, in mm, at which the weights were trained (`covidseg.data.resample`); None: as they are
    The default statistics are neutral; fit them on the training fold with `Preprocessing.fit`.
    """

    size: int = 512
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)
    window: Window = LUNG
    antialias: bool = False
    spacing: tuple[float | None, float | None, float | None] | None = None

    def __post_init__(self):
        # JSON gives lists; a frozen dataclass is filled in through object.__setattr__
        object.__setattr__(self, "size", int(self.size))
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))
        object.__setattr__(self, "window", Window(*(float(v) for v in self.window)))
        object.__setattr__(self, "spacing", None if self.spacing is None else check_spacing(self.spacing))
        if self.size < 1:
            raise UserError(f"Preprocessing: size is {self.size}; give the side in pixels, e.g. 512.")
        self._check_statistics()
        self._check_window()

    def _check_statistics(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or not all(math.isfinite(v) for v in self.mean + self.std):
            raise UserError(f"Preprocessing: mean {self.mean} and std {self.std} must be three finite numbers each.")
        if min(self.std) <= 0:
            raise UserError(f"Preprocessing: std {self.std} must be above 0 (is every training image of one grey?).")
        if min(self.mean) < 0 or max(self.mean + self.std) > 1:
            raise UserError(f"Preprocessing: mean {self.mean} and std {self.std} are no greys, which go from 0 to 1.")

    def _check_window(self) -> None:
        low, high = CT_RANGE
        if not all(math.isfinite(v) for v in self.window) or self.window.width <= 0:
            raise UserError(f"Preprocessing: {self.window} is no window: a level and a width above 0, in HU.")
        if self.window.low >= high or self.window.high <= low or self.window.width > WIDEST:
            raise UserError(f"Preprocessing: {self.window} shows a CT ({low} to {high} HU) in a single grey.")

    def normalise(self, image: np.ndarray, intensity: str = "HU") -> torch.Tensor:
        """(H, W) in HU or grey -> float32 (3, H, W) at native resolution: grey, minus mean, over std."""
        grey = torch.from_numpy(to_grey(image, intensity, self.window))
        if grey.ndim != 2:
            raise UserError(f"Preprocessing takes one slice (H, W); got shape {tuple(grey.shape)}.")
        mean, std = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (self.mean, self.std))
        return (grey[None] - mean) / std  # 3, H, W

    def apply(self, image: np.ndarray, intensity: str = "HU") -> torch.Tensor:
        """(H, W) in HU or grey -> float32 (3, size, size). Code: normalised at native resolution, then resized."""
        return resize_image(self.normalise(image, intensity), self.size, antialias=self.antialias)

    @classmethod
    def fit(cls, cases: Iterable, **options) -> Preprocessing:
        """Preprocessing whose statistics are those of the training ``cases`` (see fold_statistics)."""
        mean, std = fold_statistics(cases, options.get("window", LUNG))
        return cls(mean=mean, std=std, **options)

    def to_dict(self) -> dict:
        """Plain numbers and lists, ready for JSON and for a weights-only checkpoint."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        if self.spacing is None:  # came later: checkpoints without it stay as they were
            del values["spacing"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping) -> Preprocessing:
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise unknown_name("preprocessing setting", name, known)
        return cls(**values)


def fold_statistics(cases: Iterable, window: Window = LUNG) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of a training fold as the authors' code takes them, in grey 0..1, each repeated for R, G, B.

    cases : training cases of the fold, anything with `.image` and `.intensity`
    mean = average over images of the image's mean; std = average over images of the image's own population std.
    That is not the std of all pixels pooled, which would also hold how images differ from one another.
    Raises UserError if there is no case.
    """
    means, stds = [], []
    for case in cases:
        grey = to_grey(case.image, case.intensity, window)
        means.append(float(grey.mean(dtype=np.float64)))
        stds.append(float(grey.std(dtype=np.float64)))
    if not means:
        raise UserError("No training case to take mean and std from: the fold is empty.")
    return (float(np.mean(means)),) * 3, (float(np.mean(stds)),) * 3


class Scale(NamedTuple):
    """One pass of an epoch: all images at ``side`` pixels, cropped by margins of at most ``bound``."""

    side: int
    bound: int


def augment_wide(image, mask, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Ours: a random part of the slice, tilted, mirrored, in other greys; for phantoms that stand in for patients.

    image : float (1, H, W), grey 0..1, mask : (H, W). Real sets are cut and windowed in ways nobody wrote down
    (COVID-SemiSeg is cropped to the lungs, each slice in its own greys), so the network must not rely on either.
    """
    width, height, whole, mirror, tilt, right, down, contrast = torch.rand(8, generator=generator).tolist()
    gamma, offset = torch.randn(2, generator=generator).tolist()
    # below 1 zooms in: six of ten times each axis for itself, else both alike and hardly
    zoom = (0.55 + 0.5 * width, 0.55 + 0.5 * height) if whole < 0.6 else (0.9 + 0.2 * width,) * 2
    shift = [(2 * d - 1) * max(0.0, 1 - z) for d, z in zip((right, down), zoom, strict=True)]
    image, mask = _placed(image, mask, zoom, shift, angle=0.2 * (tilt - 0.5), mirrored=mirror < 0.5)
    image = image.clamp(0, 1) ** math.exp(0.25 * gamma)
    image = (image - 0.5) * (0.8 + 0.45 * contrast) + 0.5 + 0.05 * offset
    return image.clamp(0, 1), mask


def _placed(image, mask, zoom, shift, angle: float, mirrored: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Both seen through a window of the size ``zoom`` (columns, rows; 1 is all), moved and tilted (radians)."""
    side, angle = -1.0 if mirrored else 1.0, torch.tensor(angle)
    sin, cos = torch.sin(angle).item(), torch.cos(angle).item()
    rows = [[cos * zoom[0] * side, -sin * zoom[1], shift[0]], [sin * zoom[0] * side, cos * zoom[1], shift[1]]]
    grid = F.affine_grid(torch.tensor([rows]), (1, 1, *mask.shape), align_corners=False).to(image.device)
    image = F.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0]
    labels = mask[None, None].to(image.dtype)
    mask = F.grid_sample(labels, grid, mode="nearest", padding_mode="border", align_corners=False)[0, 0].to(mask.dtype)
    return image, mask
