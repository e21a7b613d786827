"""Look inside a network. Arrays in and out: its named maps (`maps`), where a map speaks for a class (`cam`), how far
the network looks and what its answer rests on (`reach`), where it is sure (`doubt`), and what maps are in `regions`.

>>> from covidseg.attention import capture, grad_cam, map_names
"""

from covidseg.attention.cam import NoGradient, grad_cam, predicted_region
from covidseg.attention.doubt import Reliability, by_dropout, by_flips, by_members, entropy, reliability
from covidseg.attention.maps import capture, impulse_response, input_gradient, map_names
from covidseg.attention.reach import effective_receptive_field, occlusion, reach
from covidseg.attention.regions import border_of, lesions, mean_in, radius

__all__ = [
    "NoGradient",
    "Reliability",
    "border_of",
    "by_dropout",
    "by_flips",
    "by_members",
    "capture",
    "effective_receptive_field",
    "entropy",
    "grad_cam",
    "impulse_response",
    "input_gradient",
    "lesions",
    "map_names",
    "mean_in",
    "occlusion",
    "predicted_region",
    "radius",
    "reach",
    "reliability",
]
