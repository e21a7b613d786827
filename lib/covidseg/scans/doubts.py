"""What a scan's numbers let one doubt: told as warnings beside every result, never mended in silence."""

from __future__ import annotations

import numpy as np

__all__ = ["odd_air"]

BELOW_AIR = (-1100, 0.4)  # HU, and the share of voxels from which it is told; what lies outside a round picture is 0.2
NO_AIR = -300  # HU; lung is below -600, fat above -150


def odd_air(voxels: np.ndarray, asked: str | None) -> list[str]:
    """What HU without air, or with too much of it, let one doubt."""
    doubts = []
    if not (voxels < NO_AIR).any():
        doubts.append(f"no voxel lies below {NO_AIR} HU: there is no air, so no lung. Is this CT of a chest, in HU?")
    if (voxels < BELOW_AIR[0]).mean() > BELOW_AIR[1]:
        doubts.append(f"most voxels lie below {BELOW_AIR[0]} HU, less than air. Is the scan {asked or 'CT'}?")
    return doubts
