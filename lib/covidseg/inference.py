"""From a slice or a volume to its mask: normalise, run the network, come back to the scan's own pixels.

The authors' scripts stop at 512 x 512 and compare there. A mask for a scan must lie on the scan's own grid, so the
way back is ours: the *logits* are interpolated, then compared. Interpolating the finished 0/1 mask (nearest) would
turn every border into steps of the 512 grid; the logits cross zero between two pixels and keep that place.

A 2-D network sees slice after slice (`Slices`), a 3-D one the volume in overlapping patches (`Patches`). A network
that wants to be asked in another way carries its own `Predictor`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.data.resample import at_shape, check_spacing, classes_at_shape, shape_at
from covidseg.data.transforms import Preprocessing, resize_image, to_grey
from covidseg.device import choose_device
from covidseg.errors import UserError
from covidseg.fast import Checked, laid_out, optimize, watched
from covidseg.nn.layers import dimensions, input_channels, main_output
from covidseg.progress import progress
from covidseg.sliding_window import slabs

__all__ = ["Patches", "Predictor", "Slices", "optimize", "predict", "predict_slices", "predictor_of"]

WORTH = 6  # slices from which an optimised copy pays for its making and its check


def predict(
    model: nn.Module,
    image_or_volume: np.ndarray,
    preprocessing: Preprocessing | None = None,
    intensity: str = "HU",
    *,
    lung: np.ndarray | None = None,
    spacing: Sequence[float] | None = None,
    batch: int | None = None,
    device: str | torch.device | None = None,
    optimize: bool = True,
) -> np.ndarray:
    """Segment one slice (H, W) or a volume (H, W, D); returns uint8 of the same shape.

    model : logits (B, K, h, w) or, in 3-D, (B, K, h, w, d). K = 2 or more: the class with the largest logit, 0 being
        background and a tie going to it; K = 1: 1 where the logit is above 0, where its sigmoid is above 0.5. Its
        ``model.predictor``, if it carries one, says how it is asked: see `Predictor`.
    preprocessing : the one the weights were trained with; by default ``model.preprocessing``, else `Preprocessing()`
    intensity : "HU", or "grey" for values 0..255; lung : same shape, nothing is predicted where it is 0
    spacing : (row, column, slice) in mm, nan where unknown, for weights that were trained at one spacing: the volume is
        seen at theirs, and the mask comes back on its own voxels
    batch : slices (in 3-D: patches) per step; by default what is fast on the device
    device : "auto", "cpu", "cuda", ...; the model is moved there. By default it stays where it is.
    optimize : whether volumes may be answered by `covidseg.fast.Checked`, an optimised copy that first proved equal
    Memory: a 2-D network never needs a volume as a whole; for a 3-D one see `Patches`.
    Raises UserError for other shapes, values that are not finite, a device that is not there, one slice for a 3-D
    network, and no spacing where one is needed.
    """
    image = np.asarray(image_or_volume)
    if image.ndim == 2:
        if predictor_of(model).whole:
            shape = " x ".join(map(str, image.shape))
            raise UserError(f"This network needs the whole volume (H, W, D); one slice of {shape} shows it too little.")
        image, lung = image[..., None], None if lung is None else np.asarray(lung)[..., None]
        return predict(model, image, preprocessing, intensity, lung=lung, batch=batch, device=device)[..., 0]
    _check(image, lung, batch)
    mask = np.zeros((image.shape[2], *image.shape[:2]), np.uint8)  # D, H, W: as slices come out
    how = {"lung": lung, "spacing": spacing, "batch": batch, "device": device, "optimize": optimize}
    for first, masks in predict_slices(model, image, preprocessing, intensity, **how):
        mask[first : first + len(masks)] = masks
    return mask.transpose(1, 2, 0)


def predict_slices(
    model: nn.Module,
    volume: np.ndarray,
    preprocessing: Preprocessing | None = None,
    intensity: str = "HU",
    *,
    lung: np.ndarray | None = None,
    spacing: Sequence[float] | None = None,
    batch: int | None = None,
    device: str | torch.device | None = None,
    optimize: bool = True,
) -> Iterator[tuple[int, np.ndarray]]:
    """`predict` as a stream: (index of the first slice, uint8 (b, H, W)), from slice 0 up, some slices at a time."""
    volume = np.asarray(volume)
    _check(volume, lung, batch)
    preprocessing = preprocessing or getattr(model, "preprocessing", None) or Preprocessing()
    device = _device_of(model) if device is None else choose_device(device)
    model, predictor = model.to(device), predictor_of(model)
    asked = predictor.masks if preprocessing.spacing is None else partial(_masks_at_spacing, predictor, spacing)
    parts = list(model.modules())
    if optimize and volume.shape[2] >= WORTH and hasattr(predictor, "faster") and not watched(model):
        model = predictor.faster(model)
    answers = asked(model, volume, preprocessing, intensity, batch=batch, device=device)
    while True:
        with _evaluating(parts), torch.inference_mode():  # not while the caller works with an answer
            first, masks = next(answers, (0, None))
        if masks is None:
            return
        if lung is not None:
            inside = np.moveaxis(np.asarray(lung)[:, :, first : first + len(masks)] != 0, -1, 0)
            masks = masks * inside.view(np.uint8)
        yield first, masks


class Predictor(Protocol):
    """How a network is asked about a scan. A model carries one as ``model.predictor``, as it does its preprocessing.

    whole : the network needs the volume in one piece; a single slice is then refused
    masks : the answer as a stream, (first slice, classes uint8 (b, H, W)) from slice 0 up, each slice once.
        volume (H, W, D) in HU or grey; batch is the caller's, or None; the model is on ``device``, in eval() and
        without gradients. A cascade of two 2-D networks runs both here, on what `prepare` and `to_native` give.
    A predictor may have ``faster(model)``: what it can ask in the model's place, such as `covidseg.fast.Checked`.
    """

    whole: bool

    def masks(
        self,
        model: nn.Module,
        volume: np.ndarray,
        preprocessing: Preprocessing,
        intensity: str,
        *,
        batch: int | None,
        device: torch.device,
    ) -> Iterator[tuple[int, np.ndarray]]: ...


@dataclass(frozen=True)
class Slices:
    """The `Predictor` of 2-D networks: each slice for itself, resized to ``preprocessing.size`` and back."""

    whole: ClassVar[bool] = False
    faster = staticmethod(Checked)

    def masks(self, model, volume, preprocessing, intensity, *, batch, device):
        for first, x in slice_batches(model, volume, preprocessing, intensity, batch, device):
            yield first, to_native(answer_of(model, x), volume.shape[:2])


@dataclass(frozen=True)
class Patches:
    """The `Predictor` of 3-D networks: overlapping patches of the scan's own voxels (`covidseg.sliding_window`).

    patch : (rows, columns, slices), as in training; overlap, blend : see `covidseg.sliding_window.windows`
    Of the preprocessing, window, mean and std count; its ``size`` does not, because nothing is resized.
    Memory: 4 bytes for each voxel of the scan and input channel, what `covidseg.sliding_window.slabs` holds, one
    patch in the network, and the mask.
    """

    patch: tuple[int, int, int] = (64, 64, 64)
    overlap: float = 0.5
    blend: str = "gaussian"

    whole: ClassVar[bool] = True

    def masks(self, model, volume, preprocessing, intensity, *, batch, device):
        x = prepare_volume(volume, preprocessing, intensity, _channels(model))
        step = batch or (1 if device.type == "cpu" else 4)
        pieces = slabs(model, x, self.patch, self.overlap, self.blend, step, device)
        for first, logits in pieces:  # 1, K, H, W, d
            yield first, to_native(_finite(logits[0].movedim(-1, 0)), volume.shape[:2])


def slice_batches(
    model: nn.Module, volume: np.ndarray, preprocessing: Preprocessing, intensity: str, batch: int | None,
    device: torch.device,
) -> Iterator[tuple[int, Tensor]]:  # fmt: skip
    """(first slice, (b, channels, size, size) on the device), from slice 0 up, with a progress bar."""
    channels = _channels(model)
    step = batch or (1 if device.type == "cpu" else 8)  # on a CPU one slice at a time stays in the cache
    for first in progress(range(0, volume.shape[2], step), "Segmenting"):
        slices = np.moveaxis(volume[:, :, first : first + step], -1, 0)  # b, H, W
        yield first, prepare(np.ascontiguousarray(slices), preprocessing, intensity, first)[:, :channels].to(device)


def predictor_of(model: nn.Module) -> Predictor:
    """The predictor that a model carries, else `Patches` for a 3-D network and `Slices` for all others."""
    carried = getattr(model, "predictor", None)
    return carried or (Patches() if dimensions(model) == 3 else Slices())


def _masks_at_spacing(predictor, spacing, model, volume, preprocessing, intensity, *, batch, device):
    """The predictor's answer to the volume as the weights know volumes, on the volume's own voxels.

    Memory: the volume as it is seen, float32, its classes, and one float32 map on the volume's own voxels.
    """
    if spacing is None:
        raise UserError(
            f"These weights know volumes at {preprocessing.spacing} mm: give the scan's own as spacing=(row, column, "
            "slice)."
        )
    seen = at_shape(volume, shape_at(volume.shape, spacing, check_spacing(preprocessing.spacing)))
    classes = np.zeros(seen.shape, np.uint8)
    for first, masks in predictor.masks(model, seen, preprocessing, intensity, batch=batch, device=device):
        classes[:, :, first : first + len(masks)] = np.moveaxis(masks, 0, -1)
    yield 0, np.moveaxis(classes_at_shape(classes, volume.shape), -1, 0)


def prepare(slices: np.ndarray, preprocessing: Preprocessing, intensity: str, first: int = 0) -> Tensor:
    """Slices (b, H, W) -> float32 (b, 3, size, size): `Preprocessing.apply` for a batch.

    The three channels are resized as one and normalised afterwards. Interpolation weights add up to 1, so the
    order does not matter beyond rounding, and two thirds of the work disappear.
    """
    grey = _grey(slices, preprocessing, intensity, first)
    grey = resize_image(grey, preprocessing.size, antialias=preprocessing.antialias)  # b, size, size
    return _normalised(grey[:, None], preprocessing)


def prepare_volume(volume: np.ndarray, preprocessing: Preprocessing, intensity: str, channels: int = 1) -> Tensor:
    """Volume (H, W, D) -> float32 (1, channels, H, W, D) on its own voxels: window, mean and std, no resizing."""
    H, W, D = volume.shape
    x = torch.empty(D, channels, H, W)  # slice after slice in memory, as they come
    for z in range(D):
        grey = _grey(np.array(volume[None, :, :, z]), preprocessing, intensity, z)
        x[z] = _normalised(grey, preprocessing)[:channels]
    return x.permute(1, 2, 3, 0)[None]


def _grey(slices: np.ndarray, preprocessing: Preprocessing, intensity: str, first: int) -> Tensor:
    """Slices (b, H, W) as grey 0..1; UserError, naming the slice, where a value is no number."""
    finite = np.isfinite(slices).all(axis=(1, 2))
    if not finite.all():
        z = first + int(np.argmin(finite))
        raise UserError(f"Slice {z} holds values that are not numbers (NaN or infinite); repair the scan first.")
    return torch.from_numpy(to_grey(slices, intensity, preprocessing.window))


def _normalised(grey: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Grey (..., 1, H, W) -> (..., 3, H, W)."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (preprocessing.mean, preprocessing.std))
    return (grey - mean) / std


def to_native(logits: Tensor, shape: tuple[int, int]) -> np.ndarray:
    """Logits (b, K, h, w) -> classes uint8 (b, H, W) on the scan's grid; see the top of this file."""
    if logits.shape[1] == 2:
        # interpolation is linear: the difference of two maps can be resized instead of both
        logits = logits[:, 1:] - logits[:, :1]
    native = logits if logits.shape[-2:] == shape else resize_image(logits, shape)
    classes = (native[:, 0] > 0) if native.shape[1] == 1 else native.argmax(1)
    return classes.to(torch.uint8).cpu().numpy()


def answer_of(model, x):
    """The logits of one pass."""
    return _finite(main_output(model(laid_out(x))))


def _finite(logits: Tensor) -> Tensor:
    """The logits, unless some are NaN or infinite: compared with 0 they would all say "no infection"."""
    if not torch.isfinite(logits).all():
        raise UserError("The network answers with values that are not numbers (NaN or infinite): take other weights.")
    return logits


@contextmanager
def _evaluating(parts):
    """eval() for as long as it lasts; then every one of the model's ``parts`` is as it was, frozen BatchNorms too."""
    training = [module for module in parts if module.training]
    if training:  # eval() for every slice took a quarter of a scan's time
        parts[0].eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _channels(model):
    """Channels of the input: 3 for the networks that came from colour pictures, or 1; UserError for others."""
    channels = input_channels(model)
    if channels not in (1, 3):
        raise UserError(
            f"predict shows a network the slice alone; this one takes {channels} channels, the slice and more: "
            "its paper has a function that gives it both, or it carries a predictor of its own."
        )
    return channels


def _device_of(model):
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _check(volume, lung, batch):
    if volume.ndim != 3 or 0 in volume.shape:
        raise UserError(f"predict takes one slice (H, W) or a volume (H, W, D); got shape {volume.shape}.")
    if lung is not None and np.shape(lung) != volume.shape:
        raise UserError(f"The lung mask has shape {np.shape(lung)}, the scan {volume.shape}; they must be equal.")
    if batch is not None and batch < 1:
        raise UserError(f"batch is {batch}; it counts the slices per step, so give 1 or more.")
