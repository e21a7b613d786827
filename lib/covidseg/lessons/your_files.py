"""Phantoms on disk as a reader's own scans lie there: NIfTI in any orientation, DICOM folders, masks, mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from covidseg.phantom.chest import Phantom, phantom_volume

__all__ = ["lay_out", "mend", "write_dicom", "write_nifti"]

INTERCEPT = -1024


def write_nifti(path: Path, upright: np.ndarray, spacing, axes: str = "LPS", shift=(0.0, 0.0, 0.0)) -> None:
    """(H, W, D) upright -> NIfTI whose array axes point where `axes` says, with the affine that tells so.

    Upright rows run to the back (P), columns to the left (L), slices to the head (S). shift : mm, R, A, S
    """
    import nibabel

    voxels = np.swapaxes(upright, 0, 1)  # column, row, slice = L, P, S
    steps = np.array([spacing[1], spacing[0], spacing[2]], float)
    affine = np.diag([-steps[0], -steps[1], steps[2], 1.0])  # NIfTI's world is R, A, S
    affine[:3, 3] = -affine[:3, :3] @ (np.array(voxels.shape) - 1) / 2
    for axis, (have, want) in enumerate(zip("LPS", axes, strict=True)):
        if have != want:
            voxels = np.flip(voxels, axis)
            affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
            affine[:3, axis] *= -1
    affine[:3, 3] += shift
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.ascontiguousarray(voxels), affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def write_dicom(folder: Path, upright: np.ndarray, spacing, name: str = "Doe^Jane") -> None:
    """(H, W, D) upright HU -> a folder with one DICOM file a slice, as scanners export them: no suffix, head first.

    It lies where `write_nifti` puts it. name : of an invented patient, to see that it goes nowhere
    """
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    rows, columns, depth = upright.shape
    first = -np.array([spacing[1] * (columns - 1), spacing[0] * (rows - 1), spacing[2] * (depth - 1)]) / 2  # L, P, S
    for z in range(depth):
        uid = f"1.2.826.0.1.3680043.10.43.{z + 1}"
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = uid
        d = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        d.SOPClassUID, d.SOPInstanceUID, d.SeriesInstanceUID = CTImageStorage, uid, "1.2.826.0.1.3680043.10.43"
        d.PatientName, d.Modality, d.SeriesNumber, d.InstanceNumber = name, "CT", 2, depth - z
        d.Rows, d.Columns, d.BitsAllocated, d.BitsStored, d.HighBit = rows, columns, 16, 16, 15
        d.PixelRepresentation, d.SamplesPerPixel, d.PhotometricInterpretation = 0, 1, "MONOCHROME2"
        d.RescaleSlope, d.RescaleIntercept = 1, INTERCEPT
        d.PixelSpacing, d.SliceThickness = [f"{spacing[0]:.6f}", f"{spacing[1]:.6f}"], f"{spacing[2]:.6f}"
        d.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        d.ImagePositionPatient = [f"{v:.6f}" for v in (*first[:2], first[2] + z * spacing[2])]
        d.PixelData = (upright[:, :, z] - INTERCEPT).clip(0).astype("<u2").tobytes()
        pydicom.dcmwrite(folder / f"IM{depth - z:04d}", d, enforce_file_format=True)


# ------------------------------------------------------------------------------------------------ a folder of yours

SCANS = ("ada", "bo", "cleo-march", "cleo-may", "dan", "eve", "finn")  # cleo was scanned twice


def lay_out(folder: Path, *, size: int, slices: int, seed: int) -> None:
    """images/, masks/ and patients.csv of seven scans of six patients, with the four mistakes that people make most.

    ada's mask holds a 4, bo's lies half a slice off, dan's has another name, and the table forgets finn.
    """
    for number, name in enumerate(SCANS):
        phantom = _scan_of(number, size, slices, seed)
        if name == "eve":
            write_dicom(folder / "images" / name, phantom.hu, phantom.spacing)
        else:
            write_nifti(
                folder / "images" / f"{name}.nii.gz", phantom.hu, phantom.spacing, "RAS" if number % 2 else "LPS"
            )
        _mask(folder, name, phantom, spoiled=True)
    _table(folder, [name for name in SCANS if name != "finn"])


def mend(folder: Path, *, size: int, slices: int, seed: int) -> None:
    """What you would do by hand: draw ada's and bo's masks again, rename dan's, complete the table."""
    for number, name in enumerate(SCANS):
        if name in ("ada", "bo"):
            _mask(folder, name, _scan_of(number, size, slices, seed), spoiled=False)
    (folder / "masks" / "daniel.nii.gz").rename(folder / "masks" / "dan.nii.gz")
    _table(folder, SCANS)


def _scan_of(number: int, size: int, slices: int, seed: int) -> Phantom:
    same = number - 1 if SCANS[number] == "cleo-may" else number
    return phantom_volume(1000 * (seed + 1) + same, (size, size, slices + (number != same)))  # another height of slices


def _mask(folder: Path, name: str, phantom: Phantom, spoiled: bool) -> None:
    labels = np.isin(phantom.labels, (1, 2)).astype(np.uint8)
    if spoiled and name == "ada":
        labels[labels == 1] = 4
    half = phantom.spacing[2] / 2 if spoiled and name == "bo" else 0.0
    name = "daniel" if spoiled and name == "dan" else name
    write_nifti(folder / "masks" / f"{name}.nii.gz", labels, phantom.spacing, shift=(0, 0, half))


def _table(folder: Path, names) -> None:
    lines = ["scan,patient", *(f"{name},{name.split('-')[0]}" for name in names)]
    (folder / "patients.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
