"""Look inside a network: its named maps (`maps`), and where a map speaks for a class (`cam`). Arrays in and out.

>>> from covidseg.attention import capture, grad_cam, map_names
"""

from covidseg.attention.cam import NoGradient, grad_cam, predicted_region
from covidseg.attention.maps import capture, impulse_response, input_gradient, map_names

__all__ = ["NoGradient", "capture", "grad_cam", "impulse_response", "input_gradient", "map_names", "predicted_region"]
