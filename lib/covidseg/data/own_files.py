"""Your own scans in two folders: which files belong together, who they show, and everything that is wrong with that."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from covidseg.data.layouts import AS_DRAWN, Volume
from covidseg.errors import UserError
from covidseg.scans.pictures import PICTURES
from covidseg.scans.stored import ARRAYS, NIFTI, suffix_of

__all__ = ["Found", "OwnData", "Trouble", "find_pairs", "in_folder"]

MASK_ENDINGS = ("_mask", "-mask", "_seg", "-seg", "_label", "_labels")  # chest_mask.nii.gz belongs to chest.nii.gz
DICOM = (".dcm", ".ima")


@dataclass(frozen=True)
class OwnData:
    """Where the scans and their masks lie, and how to read them (as `covidseg.scans.read.read_scan` is told)."""

    images: Path
    masks: Path
    patients: Path | None = None
    intensity: str | None = None
    series: str | None = None
    fill: float | None = None
    resample_mask: bool = False

    def options(self) -> str:
        """As the command line is given it."""
        more = "" if self.patients is None else f" --patients {self.patients}"
        return f"--images {self.images} --masks {self.masks}{more}"


@dataclass(frozen=True)
class Trouble:
    """One sentence about one file. fatal : the file cannot be used as it is; else something to know."""

    file: str
    says: str
    fatal: bool = True


@dataclass
class Found:
    """The pairs of image and mask, and what kept others from becoming one."""

    volumes: list[Volume] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def trouble(self, path: Path | str, says: str, fatal: bool = True) -> None:
        self.troubles.append(Trouble(str(path), says, fatal))


def in_folder(
    folder: str | Path, images: Path | None = None, masks: Path | None = None, patients: Path | None = None, **how
) -> OwnData:
    """The own data of a folder with ``images``, ``masks`` and perhaps ``patients.csv``; each may lie elsewhere."""
    folder = Path(folder)
    table = folder / "patients.csv"
    if patients is None and table.is_file():
        patients = table
    return OwnData(images or folder / "images", masks or folder / "masks", patients, **how)


def find_pairs(own: OwnData) -> Found:
    """Pairs by name: images/NAME.nii.gz, or a folder images/NAME, with masks/NAME.nii.gz or masks/NAME_mask.nii.gz.

    Reads no picture. Raises UserError where a folder is missing or holds no scan at all; everything else is listed.
    """
    found = Found()
    images = _by_name(own.images, "--images", found)
    masks = _by_name(own.masks, "--masks", found)
    mask_of: dict[str, list[Path]] = {}
    for name, paths in masks.items():
        mask_of.setdefault(_image_of(name, images), []).extend(paths)
    patient_of = _patients(own, images, found)
    for name, paths in images.items():
        theirs = mask_of.pop(name, [])
        for kind, several in (("image", paths), ("mask", theirs)):
            for path in several[1:]:
                found.trouble(
                    path, f"is a second {kind} called {name}, beside {several[0].name}: rename or remove one."
                )
        if not theirs:
            endings = f"{name}.nii.gz or {name}{MASK_ENDINGS[0]}.nii.gz"
            found.trouble(paths[0], f"has no mask in {own.masks}: add {endings}, or take the image out.")
        elif len(paths) == len(theirs) == 1:
            found.volumes.append(Volume(name, patient_of.get(name, name), paths[0], theirs[0], classes=AS_DRAWN))
    for name, paths in mask_of.items():
        found.trouble(paths[0], f"has no image called {name} in {own.images}.")
    return found


def _by_name(folder: Path, option: str, found: Found) -> dict[str, list[Path]]:
    """Name -> files or folders of that name, in order."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; {option} names one that holds a file or a folder for each scan.")
    entries: dict[str, list[Path]] = {}
    try:
        paths = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder} may not be read: {error.strerror}.") from error
    loose = [p for p in paths if p.is_file() and suffix_of(p) in DICOM]
    if len(loose) > 1:
        found.trouble(
            loose[0], f"and {len(loose) - 1} more DICOM files lie loose: put each series in a folder by itself."
        )
        paths = [p for p in paths if p not in loose]
    for path in paths:
        suffix = suffix_of(path)
        if path.is_dir():
            entries.setdefault(path.name, []).append(path)
        elif suffix in (*NIFTI, *PICTURES, *ARRAYS, *DICOM):
            entries.setdefault(path.name[: -len(suffix)], []).append(path)
        else:
            found.trouble(path, "is no scan by its name (.nii.gz, .nii, .png, .jpg, .npy, a folder): left out.", False)
    if not entries and not loose:
        raise UserError(f"{folder} holds no scan: {option} takes .nii.gz, .nii, .png, .jpg, .npy or a folder for each.")
    return entries


def _image_of(mask: str, images: dict[str, list[Path]]) -> str:
    """The name of the image that a mask is named after."""
    if mask in images:
        return mask
    shorter = [mask.removesuffix(ending) for ending in MASK_ENDINGS if mask.endswith(ending)]
    return next((name for name in shorter if name in images), mask)


# ------------------------------------------------------------------------------------------------ who is who


def _patients(own: OwnData, images: dict[str, list[Path]], found: Found) -> dict[str, str]:
    """Name of the image -> patient; {} where no table is given: then each scan counts as a person of its own."""
    if own.patients is None:
        says = "no --patients: each scan counts as a person of its own; if two show one, give a table (scan,patient)."
        found.trouble(own.images, says, False)
        return {}
    known: dict[str, str] = {}
    for line, scan, patient in _rows(own.patients):
        where = f"{own.patients} line {line}"
        name = scan[: -len(suffix_of(Path(scan)))] if suffix_of(Path(scan)) in (*NIFTI, *PICTURES, *ARRAYS) else scan
        if name not in images:
            found.trouble(where, f"names {scan!r}, which {own.images} does not have.")
        elif not patient:
            found.trouble(where, f"says no patient for {scan!r}.")
        elif known.setdefault(name, patient) != patient:
            found.trouble(where, f"gives {scan!r} to {patient!r}, an earlier line to {known[name]!r}.")
    for name, paths in images.items():
        if name not in known:
            found.trouble(paths[0], f"is in no line of {own.patients}: add who it shows.")
    return known


def _rows(table: Path) -> Iterator[tuple[int, str, str]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UserError(
            f"{table} cannot be read ({reason}); --patients takes a CSV with columns scan, patient."
        ) from error
    delimiter = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    columns = [name.strip().lower() for name in reader.fieldnames or []]
    if not {"scan", "patient"} <= set(columns):
        raise UserError(f"{table} has columns {', '.join(columns) or 'none'}; wanted are scan and patient.")
    reader.fieldnames = columns
    try:
        for row in reader:
            yield reader.line_num, (row["scan"] or "").strip(), (row["patient"] or "").strip()
    except csv.Error as error:
        raise UserError(f"{table} line {reader.line_num} is no CSV ({error}): save it again as text.") from error
