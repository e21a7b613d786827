"""From a scan on disk to its mask, CSV and picture: what `covidseg predict` and the notebooks call."""

from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from covidseg import __version__, papers
from covidseg.data.case import infection_of
from covidseg.device import choose_device
from covidseg.errors import UserError, unknown_name
from covidseg.inference import predict, predictor_of
from covidseg.lungs.find import Lungs, find_lungs, lungs_of
from covidseg.nn.weights import LoadedWeights
from covidseg.scans.findings import Agreement, Findings, agreement, document, measure, summary, write_csv
from covidseg.scans.outputs import Outputs, staged
from covidseg.scans.page import About, write_page
from covidseg.scans.panels import Result
from covidseg.scans.read import INTENSITIES, PICTURES, Scan, read_mask, read_scan, write_mask
from covidseg.scans.severity import Severity, severity
from covidseg.scans.sheet import write_sheet
from covidseg.scans.truth import Comparison, compare
from covidseg.scans.view import view_of
from covidseg.text import one_line

__all__ = ["NOTICE", "ScanReport", "choose_weights", "segment_scan"]

ALL_LUNG = 0.9  # of a scan's voxels; lungs fill half of a slice that is cut to them
NOTICE = "For teaching and research. Not a medical device: not for diagnosis or treatment."


@dataclass(frozen=True)
class ScanReport:
    """All that is known after a run. ``mask`` and ``truth`` are uint8 (H, W, D), upright like the scan."""

    scan: Scan
    mask: np.ndarray
    findings: Findings
    weights: LoadedWeights
    why_these: str
    files: Outputs
    seconds: dict[str, float]
    agreement: Agreement | None = None  # where several networks answered together
    warnings: tuple[str, ...] = ()  # what may make the numbers wrong
    lungs: Lungs | None = None  # what findings were kept inside; None where nobody asked for it
    truth: np.ndarray | None = None  # an expert's infection
    comparison: Comparison | None = None  # of the mask with it

    @property
    def lung(self) -> np.ndarray | None:
        """Where the lungs are, if that was told or found: 0, and 1 and 2 for right and left."""
        return None if self.lungs is None else self.lungs.mask

    @property
    def severity(self) -> Severity | None:
        return severity(self.findings.lung_share, self.findings.lungs)

    def lines(self) -> list[str]:
        """For people: no name from a disk breaks a line or speaks to the terminal."""
        return [one_line(line) for line in self._lines()]

    def _lines(self) -> list[str]:
        files = ", ".join(path.name for path in self.files)
        because = f" [{self.why_these}]" if self.why_these else ""
        return [
            f"scan     {describe_scan(self.scan)}",
            *(f"         {note}" for note in self.scan.notes),
            f"weights  {self.weights.label}{because}",
            f"licence  {self.weights.licence}",
            *(f"WARNING  {warning}" for warning in self.warnings),
            *([f"lungs    {_lung_line(self.lungs, self.findings)}"] if self.lungs else []),
            f"result   {summary(self.findings)}",
            *(f"         {part.line()}" for part in (self.agreement, self.severity, self.comparison) if part),
            f"written  {files} in {self.files.mask.parent} ({sum(self.seconds.values()):.1f} s)",
            NOTICE,
        ]

    def json(self) -> str:
        """For programs: one document with everything, in mm, ml and shares 0..1."""
        rows, columns, slices = self.scan.shape
        return document(
            covidseg=__version__,
            notice=NOTICE,
            warnings=list(self.warnings),
            scan={
                "path": str(self.scan.path),
                "rows": rows,
                "columns": columns,
                "slices": slices,
                "spacing_mm": list(self.scan.spacing),
                "intensity": self.scan.intensity,
                "notes": list(self.scan.notes),
            },
            weights={
                "label": self.weights.label,
                "licence": self.weights.licence,
                "chosen_because": self.why_these or None,
                "preprocessing": self.weights.preprocessing.to_dict(),
            },
            result={
                "infected_slices": len(self.findings.infected),
                "infected_pixels": sum(s.pixels for s in self.findings.slices),
                "infected_volume_ml": self.findings.volume_ml,
                "infected_share_of_lung": self.findings.lung_share,
                "lungs": _lung_facts(self.lungs, self.findings),
                "agreement": None if self.agreement is None else asdict(self.agreement),
                "grade": None if self.severity is None else self.severity.grade,
                "dice": None if self.comparison is None else self.comparison.dice,
            },
            slices=[asdict(s) | self._dice(s.index) for s in self.findings.slices],
            files={name: str(path) for name, path in asdict(self.files).items()},
            seconds={name: round(value, 3) for name, value in self.seconds.items()},
        )

    def _dice(self, index: int) -> dict:
        return {} if self.comparison is None else {"dice": self.comparison.slices[index]}


def segment_scan(
    path: str | Path,
    out: str | Path,
    *,
    weights: str | LoadedWeights | None = None,
    lungs: str | Path = "auto",
    truth: str | Path | None = None,
    device: str = "auto",
    intensity: str = "auto",
    series: str | None = None,
    fill: float | None = None,
    resample_mask: bool = False,
    force: bool = False,
) -> ScanReport:
    """Read a scan, segment it, and write OUT with its CSV, picture and report; all of them or none.

    path : NIfTI file, DICOM folder, image, or folder of images; out : .nii.gz or .nii, for one image .png
    weights : a name or file as `covidseg.papers.weights` takes it; None: by what the scan is, see `choose_weights`
    lungs : "auto", the kit's own network finds them; a file with a mask on the scan's grid; or "none". Nothing is
        predicted outside them, and shares of each lung are reported. Where "auto" finds no plausible lungs, the report
        says so and the prediction is as with "none".
    truth : an expert's mask on the scan's grid, to be shown and scored beside the prediction
    resample_mask : take the nearest voxels of lung mask and truth where they lie on another grid
    intensity : "auto", "HU", "grey" or "HU+1024"; series, fill : see `covidseg.scans.read.read_scan`
    Raises UserError, one line, for anything the user can mend; nothing on disk has changed then.
    """
    if intensity not in ("auto", *INTENSITIES):
        raise unknown_name("intensity", intensity, ["auto", *INTENSITIES])
    if str(lungs) == "":
        raise UserError("--lungs is empty: give auto, none, or a file with a mask of the lungs.")
    clock = _Clock()
    where, given = choose_device(device), None if weights is None else choose_weights(weights)
    clock.lap("load weights")
    scan = read_scan(path, intensity=None if intensity == "auto" else intensity, series=series, fill=fill)
    found, true, warnings = None, None, list(scan.warnings)
    lung_mask = None if str(lungs) in ("auto", "none") else lungs
    if lung_mask is not None:
        lung = read_mask(lung_mask, like=scan, lung=True, resample=resample_mask, notes=warnings)
        if lung.mean(dtype=float) > ALL_LUNG:
            warnings.append(f"the lung mask covers {lung.mean(dtype=float):.0%} of the scan: is it one of the lungs?")
        found = lungs_of(lung, Path(lung_mask).name)
    if truth is not None:
        true = infection_of(read_mask(truth, like=scan, resample=resample_mask, notes=warnings)).astype(np.uint8)
    clock.lap("read")
    loaded, why = given or choose_weights(None, scan)
    clock.lap("load weights")
    files = Outputs.beside(Path(out), picture=is_picture(scan))
    _protect_inputs(files, path, lung_mask, truth)
    with staged(files, force=force) as stage:
        if str(lungs) == "auto":
            found = find_lungs(scan.voxels, scan.intensity, scan.spacing, device=where)
            clock.lap("find lungs")
        lung, room = (None, None) if found is None else (found.mask, found.room)
        settings = dict(lung=room, spacing=scan.spacing, device=where)
        mask = predict(loaded.model, scan.voxels, loaded.preprocessing, scan.intensity, **settings)
        if found is not None:
            found.settle(mask)
        agreed = _agreement(loaded.model, scan, lung)
        clock.lap("predict")
        findings = measure(mask, scan.spacing, lung, indices=_file_slices(scan), voxel_mm3=scan.voxel_mm3)
        compared = None if true is None else compare(mask, true, _file_slices(scan), scan.voxel_mm3)
        more = dict(lungs=found, truth=true, comparison=compared)
        report = ScanReport(scan, mask, findings, loaded, why, files, clock.laps, agreed, tuple(warnings), **more)
        write_mask(stage.mask, mask, scan)
        write_csv(stage.slices, findings, None if compared is None else compared.slices)
        _pictures(stage, report)
        clock.lap("write")
    return report


def choose_weights(wanted: str | LoadedWeights | None, scan: Scan | None = None) -> tuple[LoadedWeights, str]:
    """The weights asked for; with None those that a paper proposes for ``scan``, of the ones on this machine.

    Returns them with the reason for the choice, "" if it was the caller's. Nothing is downloaded unasked.
    """
    if isinstance(wanted, LoadedWeights):
        return wanted, ""
    if wanted is not None:
        if not str(wanted).strip():
            raise UserError("--weights is empty: give a name such as P9, a checkpoint, or the folder of a run.")
        return papers.weights(wanted), ""
    if scan is None:
        raise ValueError("without a name of weights, a scan must say which ones fit")
    name, why = papers.default_weights(view_of(scan.voxels, scan.intensity), scan.intensity)
    return papers.weights(name), why


def _lung_line(lungs: Lungs, findings) -> str:
    """Who says where the lungs are, and how much of each is infected; or why they are not used."""
    if lungs.mask is None:
        return f"not used: {lungs.problem}; whatever was predicted counts, wherever it lies"
    each = ", ".join(lung.line() for lung in findings.lungs) or "right and left could not be told apart"
    touch = "; they touch, and were parted where they are thinnest" if lungs.touching else ""
    return f"by {lungs.source}: {each}{touch}"


def _lung_facts(lungs: Lungs | None, findings) -> dict | None:
    if lungs is None:
        return None
    facts = {"source": lungs.source, "problem": lungs.problem or None, "touching": lungs.touching}
    return facts | {"each": [asdict(lung) for lung in findings.lungs]}


def _agreement(model, scan, lung) -> Agreement | None:
    """How far networks that answered together agree; None for a single one."""
    votes = getattr(predictor_of(model), "marked", None)  # D, H, W
    if votes is None:
        return None
    return agreement(np.moveaxis(votes, 0, -1), len(model.members), scan.voxel_mm3, lung)


def describe_scan(scan: Scan) -> str:
    """'chest.nii.gz: 42 slices of 630 x 630, 0.68 x 0.68 x 6.00 mm, grey levels'."""
    rows, columns, slices = scan.shape
    size = f"{rows} x {columns} pixels" if slices == 1 else f"{slices} slices of {rows} x {columns}"
    known = all(np.isfinite(scan.spacing)) and len(scan.spacing)
    spacing = " x ".join(f"{mm:.2f}" for mm in scan.spacing) + " mm" if known else "pixel size unknown"
    return f"{Path(scan.path).name}: {size}, {spacing}, {'HU' if scan.intensity == 'HU' else 'grey levels'}"


def is_picture(scan: Scan) -> bool:
    """One PNG or JPG: its mask is a PNG. Everything else may have slices and millimetres: its mask is NIfTI."""
    return scan.path.suffix.lower() in PICTURES


def _file_slices(scan):
    """Number of each upright slice in the file, as a viewer counts it, from 0."""
    depth = scan.shape[2]
    return [scan.axes.file_slice(z, depth) for z in range(depth)]


def _pictures(files: Outputs, report: ScanReport) -> None:
    """The overlay and the report. Of the scan they name the file, sizes and units: no text of its header."""
    scan, weights = report.scan, report.weights
    look = dict(spacing=scan.spacing, intensity=scan.intensity, window=weights.preprocessing.window)
    look["places"] = {number: z for z, number in enumerate(_file_slices(scan))}
    shown = dict(truth=report.truth, lung=report.lung, compared=report.comparison)
    result = Result(scan.voxels, report.mask, report.findings, **look, **shown)
    title = f"{Path(scan.path).name}: {summary(report.findings)}"
    if report.comparison and report.comparison.dice is not None:
        title += f", Dice {report.comparison.dice:.3f}"
    write_sheet(files.overlay, result, title=title, footer=f"{weights.label}.  {NOTICE}")
    made = {
        "scan": describe_scan(scan),
        "read": "; ".join(scan.notes) or "as it is stored",
        "network": f"{weights.label}{f' ({report.why_these})' if report.why_these else ''}",
        "licence of its weights": weights.licence,
        "lungs": _lung_line(report.lungs, report.findings) if report.lungs else "not asked for",
        "program": f"covidseg {__version__}",
    }
    about = dict(warnings=report.warnings, severity=report.severity)
    about["agreement"] = report.agreement.line() if report.agreement else ""
    name = f"Predicted infection in {Path(scan.path).name}"
    write_page(files.report, result, About(name, summary(report.findings), NOTICE, made, **about))


def _protect_inputs(files, *inputs):
    for given in inputs:
        if given is not None and Path(given).resolve() in [path.resolve() for path in files]:
            raise UserError(f"OUT would replace {given}, which is read; choose another name.")


class _Clock:
    """Seconds since the last lap, by name."""

    def __init__(self):
        self.laps, self._last = {}, perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.laps[name], self._last = self.laps.get(name, 0.0) + now - self._last, now
