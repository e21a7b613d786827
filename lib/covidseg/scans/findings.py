"""What a predicted mask says in numbers: pixels, area and share of the lung per slice, and their sums."""

import json
from collections.abc import Sequence
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
class Findings:
    """The slices and their sums."""

    slices: tuple[SliceFinding, ...]
    volume_ml: float | None
    lung_share: float | None

    @property
    def infected(self) -> tuple[SliceFinding, ...]:
        return tuple(s for s in self.slices if s.pixels)

    @property
    def worst(self) -> tuple[SliceFinding, ...]:
        """Infected slices, most pixels first."""
        return tuple(sorted(self.infected, key=lambda s: (-s.pixels, s.index)))


def measure(mask: np.ndarray, spacing: Sequence[float], lung: np.ndarray | None = None, indices=None) -> Findings:
    """Count a mask (H, W, D) slice by slice.

    spacing : (row, column[, slice]) in mm, nan where unknown; lung : same shape as mask
    indices : number of each slice in the scan's file, by default 0, 1, 2, ...

    >>> measure(np.ones((2, 3, 1)), (0.5, 2.0, 10.0)).slices[0].area_mm2  # 6 pixels of 1 mm2
    6.0
    """
    pixels = _count(mask)
    pixel_mm2 = _known(np.prod(spacing[:2]))
    voxel_mm3 = _known(np.prod(spacing[:3])) if len(spacing) > 2 else None
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
    )


def _count(mask, inside=None):
    """Marked pixels of every slice; slice by slice, so that no second volume is made."""
    slices = range(mask.shape[2])
    if inside is None:
        return np.array([np.count_nonzero(mask[:, :, z]) for z in slices])
    return np.array([np.count_nonzero((mask[:, :, z] != 0) & (inside[:, :, z] != 0)) for z in slices])


def _known(value):
    return float(value) if np.isfinite(value) and value > 0 else None


def write_csv(path: Path, findings: Findings) -> None:
    """One row per slice. What is not known is left blank, and the column's name says why."""
    no_area = all(s.area_mm2 is None for s in findings.slices)
    no_lung = all(s.lung_share is None for s in findings.slices)
    area_column = "infected_area_mm2" + " (pixel size unknown)" * no_area
    share_column = "infected_share_of_lung" + " (no lung mask given)" * no_lung
    rows = [
        {
            "slice": s.index,
            area_column: "" if s.area_mm2 is None else f"{s.area_mm2:.2f}",
            "infected_pixels": s.pixels,
            share_column: "" if s.lung_share is None else f"{s.lung_share:.4f}",
        }
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
