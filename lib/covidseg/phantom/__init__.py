"""The synthetic chest: CT slices and volumes computed from a seed, in Hounsfield units, with the truth beside them."""

from covidseg.phantom.chest import Phantom, phantom_slice, phantom_volume

__all__ = ["Phantom", "phantom_slice", "phantom_volume"]
