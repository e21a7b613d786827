"""Trained networks rearranged for answers alone: the same masks, sooner. `optimize` is the way in."""

from covidseg.fast.backends import BACKENDS
from covidseg.fast.checked import Checked, watched
from covidseg.fast.difference import Difference, difference
from covidseg.fast.optimized import Optimized, laid_out, optimize

__all__ = ["BACKENDS", "Checked", "Difference", "Optimized", "difference", "laid_out", "optimize", "watched"]
