"""What a scan shows: whole slices with air around the body, or pictures cut to the lungs."""

import numpy as np

__all__ = ["LUNGS", "WHOLE", "view_of"]

WHOLE, LUNGS = "whole", "lungs"
_AIR = 0.22  # of the picture's outermost pixels
_DARK = {"HU": -600, "grey": 64}  # between air and tissue; 64 is the same in the lung window


def view_of(volume: np.ndarray, intensity: str) -> str:
    """WHOLE if the picture ends in the air around the body, LUNGS if it ends inside the body.

    volume : (H, W, D), upright or not; intensity : "HU" or "grey"
    The median of nine slices decides. Measured, dark pixels of the outermost ones: 0.33 and 0.52 in the two real
    volumes that cut off the body's sides, at least 0.91 in the eleven others; at most 0.13 in 24 published crops.
    """
    slices = np.unique((np.linspace(0.1, 0.9, 9) * (volume.shape[2] - 1)).round().astype(int))
    air = np.median([_dark_frame(volume[:, :, z], _DARK[intensity]) for z in slices])
    return WHOLE if air > _AIR else LUNGS


def _dark_frame(image: np.ndarray, below: float) -> float:
    frame = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return float((frame < below).mean())
