"""From a slice or a volume to its mask: resize, normalise, run the network, come back to the scan's own pixels.

The authors' scripts stop at 512 x 512 and compare there. A mask for a scan must lie on the scan's own grid, so the
way back is ours: the *logits* are interpolated, then compared. Interpolating the finished 0/1 mask (nearest) would
turn every border into steps of the 512 grid; the logits cross zero between two pixels and keep that place.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.data.transforms import Preprocessing, resize_image, to_grey
from covidseg.device import choose_device
from covidseg.errors import UserError
from covidseg.progress import progress

__all__ = ["predict", "predict_slices"]


def predict(
    model: nn.Module,
    image_or_volume: np.ndarray,
    preprocessing: Preprocessing | None = None,
    intensity: str = "HU",
    *,
    lung: np.ndarray | None = None,
    batch: int | None = None,
    device: str | torch.device | None = None,
) -> np.ndarray:
    """Segment one slice (H, W) or a volume (H, W, D), slice by slice; returns uint8 of the same shape.

    model : logits (B, K, h, w) in eval(). K = 2 or more: the class with the largest logit, 0 being background and
        a tie going to it; K = 1: 1 where the logit is above 0, that is where its sigmoid is above 0.5.
    preprocessing : the one the weights were trained with; by default ``model.preprocessing``, else `Preprocessing()`
    intensity : "HU", or "grey" for values 0..255; lung : same shape, nothing is predicted where it is 0
    batch : slices per step; by default what is fast on the device. A volume is never copied as a whole.
    device : "auto", "cpu", "cuda", ...; the model is moved there. By default it stays where it is.
    Raises UserError for other shapes, for values that are not finite and for a device that is not there.
    """
    image = np.asarray(image_or_volume)
    if image.ndim == 2:
        image, lung = image[..., None], None if lung is None else np.asarray(lung)[..., None]
        return predict(model, image, preprocessing, intensity, lung=lung, batch=batch, device=device)[..., 0]
    _check(image, lung, batch)
    mask = np.zeros((image.shape[2], *image.shape[:2]), np.uint8)  # D, H, W: as slices come out
    for first, masks in predict_slices(model, image, preprocessing, intensity, lung=lung, batch=batch, device=device):
        mask[first : first + len(masks)] = masks
    return mask.transpose(1, 2, 0)


def predict_slices(
    model: nn.Module,
    volume: np.ndarray,
    preprocessing: Preprocessing | None = None,
    intensity: str = "HU",
    *,
    lung: np.ndarray | None = None,
    batch: int | None = None,
    device: str | torch.device | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """`predict` as a stream: (index of the first slice, uint8 (b, H, W)), from slice 0 up, a batch at a time."""
    volume = np.asarray(volume)
    _check(volume, lung, batch)
    channels = _channels(model)
    preprocessing = preprocessing or getattr(model, "preprocessing", None) or Preprocessing()
    device = _device_of(model) if device is None else choose_device(device)
    step = batch or (1 if device.type == "cpu" else 8)  # on a CPU one slice at a time stays in the cache
    model = model.to(device)
    for first in progress(range(0, volume.shape[2], step), "Segmenting"):
        window = slice(first, min(first + step, volume.shape[2]))
        slices = np.stack([volume[:, :, z] for z in range(window.start, window.stop)])  # b, H, W
        with _evaluating(model), torch.inference_mode():
            x = prepare(slices, preprocessing, intensity, first)[:, :channels]  # b, channels, size, size
            logits = _logits(model, x.to(device))
            masks = to_native(logits, slices.shape[1:])
        if lung is not None:
            masks *= np.moveaxis(lung[:, :, window] != 0, -1, 0)
        yield first, masks


def prepare(slices: np.ndarray, preprocessing: Preprocessing, intensity: str, first: int = 0) -> Tensor:
    """Slices (b, H, W) -> float32 (b, 3, size, size): `Preprocessing.apply` for a batch.

    The three channels are resized as one and normalised afterwards. Interpolation weights add up to 1, so the
    order does not matter beyond rounding, and two thirds of the work disappear.
    """
    finite = np.isfinite(slices).all(axis=(1, 2))
    if not finite.all():
        z = first + int(np.argmin(finite))
        raise UserError(f"Slice {z} holds values that are not numbers (NaN or infinite); repair the scan first.")
    grey = torch.from_numpy(to_grey(slices, intensity, preprocessing.window))
    grey = resize_image(grey, preprocessing.size, antialias=preprocessing.antialias)  # b, size, size
    mean, std = (torch.tensor(v)[:, None, None] for v in (preprocessing.mean, preprocessing.std))
    return (grey[:, None] - mean) / std


def to_native(logits: Tensor, shape: tuple[int, int]) -> np.ndarray:
    """Logits (b, K, h, w) -> classes uint8 (b, H, W) on the scan's grid; see the top of this file."""
    if logits.shape[1] == 2:
        # interpolation is linear: the difference of two maps can be resized instead of both
        logits = logits[:, 1:] - logits[:, :1]
    native = logits if logits.shape[-2:] == shape else resize_image(logits, shape)
    classes = (native[:, 0] > 0) if native.shape[1] == 1 else native.argmax(1)
    return classes.to(torch.uint8).cpu().numpy()


def _logits(model, x):
    """One forward pass; networks with side outputs answer with a tuple whose first entry is the prediction."""
    if x.device.type == "cpu" and torch.get_num_threads() > 1:
        x = x.contiguous(memory_format=torch.channels_last)  # measured: 43 instead of 76 ms; a loss with one thread
    out = model(x)
    return out[0] if isinstance(out, tuple | list) else out


@contextmanager
def _evaluating(model):
    """eval() for as long as it lasts; then every part is as it was, frozen BatchNorms too."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _channels(model):
    """Channels of the first convolution: 3 for the networks that came from colour pictures, or 1."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)), None)
    if isinstance(first, nn.Conv3d):
        raise UserError("predict works slice by slice; this network is three-dimensional: feed it patches instead.")
    channels = 3 if first is None else first.in_channels
    if channels not in (1, 3):
        raise UserError(
            f"predict shows a network the slice alone; this one takes {channels} channels, a slice and a map of where "
            "infection is: covidseg.papers.infnet.labelling.label_infection gives it both."
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
