"""``covidseg predict``: segment the infection in one scan."""

from pathlib import Path
from typing import Annotated

import typer

from covidseg.text import say

Out = Annotated[Path, typer.Option("--out", "-o", help="mask to write: .nii.gz, or .png for a single image")]
Weights = Annotated[
    str | None, typer.Option(help="P9 (its folds averaged), P9-3 (one), phantom, ...; a checkpoint or run folder")
]
Lungs = Annotated[
    str,
    typer.Option(
        "--lungs",
        "--lung-mask",
        metavar="auto|FILE|none",
        help="findings stay inside: found, a mask on the scan's grid, or not",
    ),
]
Truth = Annotated[Path | None, typer.Option(help="an expert's mask on the scan's grid, shown and scored beside")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document instead of text")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Intensity = Annotated[str, typer.Option(help="what the values are: auto, HU, grey (0..255), HU+1024")]
Series = Annotated[str | None, typer.Option(help="of a DICOM folder with several: part of its number, name or UID")]
Fill = Annotated[float | None, typer.Option(help="value for voxels that are NaN or infinite, e.g. -1024")]
Resample = Annotated[bool, typer.Option("--resample-mask", help="nearest voxels of a mask on another grid")]
Force = Annotated[bool, typer.Option("--force", help="replace files that exist")]


def register(app: typer.Typer) -> None:
    app.command("predict")(predict)


def predict(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="NIfTI file, DICOM folder, image, or folder of images")],
    out: Out,
    weights: Weights = None,
    lungs: Lungs = "auto",
    truth: Truth = None,
    json: Json = False,
    device: Device = "auto",
    intensity: Intensity = "auto",
    series: Series = None,
    fill: Fill = None,
    resample_mask: Resample = False,
    force: Force = False,
) -> None:
    """Segment the infection in SCAN; write its mask, a report to read, a picture and a table.

    OUT.nii.gz, the mask, has the shape and affine of SCAN. Beside it go OUT_report.html (open it in a browser: result,
    pictures, how it was made), OUT_overlay.png (the most affected slices, plain beside painted) and OUT_slices.csv
    (infected area of each slice). Without --weights those of a paper's authors are used that fit the scan (whole
    slices, or cut to the lungs) if they are on this machine, else the bundled ones, trained on phantoms; the choice
    and its reason are printed. A small network of the kit finds the lungs, findings stay inside them, and the infected
    share of each lung is told; --lungs takes a mask of your own, or none. For teaching and research, not for diagnosis.

    \b
    Example: covidseg predict dicom_folder -o chest.nii.gz
             covidseg predict chest.nii.gz -o mask.nii.gz --weights runs/mine --truth drawn.nii.gz
             covidseg predict chest.nii.gz -o mask.nii.gz --weights P9-3 --lungs lungs.nii.gz --json
    """
    from covidseg.scans.segment import segment_scan

    settings = dict(weights=weights, lungs=lungs, truth=truth, device=device, intensity=intensity, force=force)
    settings |= dict(series=series, fill=fill, resample_mask=resample_mask)
    report = segment_scan(scan, out, **settings)
    say(report.json() if json else "\n".join(report.lines()))
