"""Where the arithmetic happens: one rule for notebooks, commands and functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covidseg.errors import UserError

if TYPE_CHECKING:
    import torch

__all__ = ["choose_device"]


def choose_device(name: str | torch.device) -> torch.device:
    """ "auto" takes a CUDA GPU if there is one, else the CPU; an Apple GPU ("mps") is taken only where it is named.

    No number of this kit was ever checked on an Apple GPU. Raises UserError for a device that this machine or this
    torch lacks.
    """
    import torch

    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError):  # unknown name; no GPU; torch built without it
        raise UserError(f"Device {str(name)!r} is not available here; use cpu, or auto.") from None
    return device
