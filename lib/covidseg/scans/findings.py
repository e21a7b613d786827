"""What a predicted mask says in numbers: pixels, area and share of the lung per slice, and their sums."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from covidseg.text import csv_text, plain


@dataclass(frozen=True)
class SliceFinding:
    """What the mask holds in one slice; None where pixel size or lung are not known."""

    index: int  # as in the scan's own file, from 0
    pixels: int
    area_mm2: float | None
    lung_share: float | None  # infected part of the lung's pixels, 0..1; None also where the slice shows no lung


@dataclass(frozen=True)
class LungFinding:
    """One lung, "right" or "left" of the patient: its volume, and the infection in it."""

    side: str
    volume_ml: float | None
    infected_ml: float | None
    infected_share: float  # 0..1 of the lung's voxels

    def line(self) -> str:
        """'right 12.3% of 2,041 ml'."""
        return f"{self.side} {self.infected_share:.1%}" + (
            "" if self.volume_ml is None else f" of {self.volume_ml:,.0f} ml"
        )


@dataclass(frozen=True)
class Findings:
    """The slices and their sums."""

    slices: tuple[SliceFinding, ...]
    volume_ml: float | None
    lung_share: float | None
    lungs: tuple[LungFinding, ...] = ()  # right and left, where they are told apart

    @property
    def infected(self) -> tuple[SliceFinding, ...]:
        return tuple(s for s in self.slices if s.pixels)

    @property
    def worst(self) -> tuple[SliceFinding, ...]:
        """Infected slices, most pixels first."""
        return tuple(sorted(self.infected, key=lambda s: (-s.pixels, s.index)))


def measure(
    mask: np.ndarray, spacing: Sequence[float], lung: np.ndarray | None = None, indices=None, voxel_mm3=None
) -> Findings:
    """Count a mask (H, W, D) slice by slice.

    spacing : (row, column[, slice]) in mm, nan where unknown; lung : same shape as mask, 0 outside; where it
        holds 1 and 2, these are the right and the left lung
    indices : number of each slice in the scan's file, by default 0, 1, 2, ...
    voxel_mm3 : volume of a voxel; by default the product of the spacing, which is right where the axes are square

    >>> measure(np.ones((2, 3, 1)), (0.5, 2.0, 10.0)).slices[0].area_mm2  # 6 pixels of 1 mm2
    6.0
    """
    pixels = _count(mask)
    pixel_mm2 = _known(np.prod(spacing[:2]))
    if voxel_mm3 is None:
        voxel_mm3 = np.prod(spacing[:3]) if len(spacing) > 2 else np.nan
    voxel_mm3 = _known(voxel_mm3)
    inside = of_lung = None
    if lung is not None:
        inside, of_lung = _count(mask, lung), _count(lung)
    rows = tuple(
        SliceFinding(
            index=k if indices is None else int(indices[k]),
            pixels=int(n),
            area_mm2=None if pixel_mm2 is None else round(float(n * pixel_mm2), 2),
            lung_share=float(inside[k] / of_lung[k]) if lung is not None and of_lung[k] else None,
        )
        for k, n in enumerate(pixels)
    )
    return Findings(
        slices=tuple(sorted(rows, key=lambda row: row.index)),
        volume_ml=None if voxel_mm3 is None else float(pixels.sum() * voxel_mm3 / 1000),
        lung_share=float(inside.sum() / of_lung.sum()) if lung is not None and of_lung.sum() else None,
        lungs=() if lung is None else _each_lung(mask, lung, voxel_mm3),
    )


def _each_lung(mask, lung, voxel_mm3) -> tuple[LungFinding, ...]:
    """Right and left; nothing where the sides are not told apart."""
    found = []
    for number, side in ((1, "right"), (2, "left")):
        own = sick = 0
        for z in range(mask.shape[2]):
            here = lung[:, :, z] == number
            own, sick = own + np.count_nonzero(here), sick + np.count_nonzero(mask[:, :, z][here])
        ml = (None, None) if voxel_mm3 is None else (own * voxel_mm3 / 1000, sick * voxel_mm3 / 1000)
        if own:
            found.append(LungFinding(side, *ml, sick / own))
    return tuple(found) if len(found) == 2 else ()


@dataclass(frozen=True)
class Agreement:
    """What several networks say of the same scan: voxels that all of them mark, and that any of them marks."""

    networks: int
    voxels_of_all: int
    voxels_of_any: int
    volume_ml_of_all: float | None
    volume_ml_of_any: float | None

    @property
    def share(self) -> float | None:
        """Of the voxels that any network marks, the part that all mark, 0..1; None where none marks any."""
        return self.voxels_of_all / self.voxels_of_any if self.voxels_of_any else None

    def line(self) -> str:
        """For people."""
        if self.share is None:
            return f"all {self.networks} networks mark nothing"
        known = self.volume_ml_of_all is not None
        ends = (self.volume_ml_of_all, self.volume_ml_of_any) if known else (self.voxels_of_all, self.voxels_of_any)
        low, high = (f"{end:.1f}" if known else f"{end:,}" for end in ends)
        unit = "ml" if known else "pixels"
        return (
            f"the {self.networks} networks agree on {self.share:.0%} of what any of them marks "
            f"({low} {unit} by all, {high} {unit} by any)"
        )


def agreement(votes: np.ndarray, networks: int, voxel_mm3: float, lung: np.ndarray | None = None) -> Agreement:
    """votes : (H, W, D), how many of the networks mark a voxel; voxel_mm3 : nan where unknown; lung : what counts

    >>> agreement(np.array([[[0, 1, 2]]]), 2, 1000.0).line()
    'the 2 networks agree on 50% of what any of them marks (1.0 ml by all, 2.0 ml by any)'
    """
    by_all, by_any = (int(_count(votes >= least, lung).sum()) for least in (networks, 1))
    ml = _known(voxel_mm3)
    volumes = (None, None) if ml is None else (by_all * ml / 1000, by_any * ml / 1000)
    return Agreement(networks, by_all, by_any, *volumes)


def _count(mask, inside=None):
    """Marked pixels of every slice; slice by slice, so that no second volume is made."""
    slices = range(mask.shape[2])
    if inside is None:
        return np.array([np.count_nonzero(mask[:, :, z]) for z in slices])
    return np.array([np.count_nonzero((mask[:, :, z] != 0) & (inside[:, :, z] != 0)) for z in slices])


def _known(value):
    return float(value) if np.isfinite(value) and value > 0 else None


def write_csv(path: Path, findings: Findings, dice: Mapping[int, float | None] | None = None) -> None:
    """One row per slice. What is not known is left blank, and the column's name says why.

    dice : number of a slice -> its Dice against a truth, a column more
    """
    no_area = all(s.area_mm2 is None for s in findings.slices)
    no_lung = all(s.lung_share is None for s in findings.slices)
    area_column = "infected_area_mm2" + " (pixel size unknown)" * no_area
    share_column = "infected_share_of_lung" + " (no lung mask)" * no_lung
    rows = [
        {
            "slice": s.index,
            area_column: "" if s.area_mm2 is None else f"{s.area_mm2:.2f}",
            "infected_pixels": s.pixels,
            share_column: "" if s.lung_share is None else f"{s.lung_share:.4f}",
        }
        | ({} if dice is None else {"dice": "" if dice[s.index] is None else f"{dice[s.index]:.4f}"})
        for s in findings.slices
    ]
    path.write_text(csv_text(rows), encoding="utf-8", newline="")


def summary(findings: Findings) -> str:
    """The result in one line, for people."""
    many, total = len(findings.infected), len(findings.slices)
    if not many:
        return f"no infection predicted in {'the image' if total == 1 else f'any of {total} slices'}"
    worst = findings.worst[0]
    parts = [f"infection in {many} of {total} slices, most in slice {worst.index}"] if total > 1 else []
    if total > 1 and findings.volume_ml is not None:
        parts.append(f"{findings.volume_ml:.1f} ml")
    if total == 1:
        parts.append(f"infection on {describe(worst)}")
    elif findings.lung_share is not None:
        parts.append(f"{findings.lung_share:.1%} of the lungs")
    return ", ".join(parts)


def describe(finding: SliceFinding) -> str:
    """'1,234 mm2, 3.1 % of lung', with pixels where millimetres are unknown."""
    area = f"{finding.pixels:,} pixels" if finding.area_mm2 is None else f"{finding.area_mm2:,.0f} mm2"
    return area if finding.lung_share is None else f"{area}, {finding.lung_share:.1%} of lung"


def document(**parts) -> str:
    """Everything a program wants to know, as one JSON document; NaN, which JSON lacks, becomes null."""
    return json.dumps(plain(parts), indent=2, allow_nan=False)
