"""What a path holds, as it is stored: a NIfTI file, a DICOM series, a picture or several, a NumPy array."""

from __future__ import annotations

import gzip
import logging
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from covidseg.errors import UserError
from covidseg.scans import dicom
from covidseg.scans.doubts import odd_header, slices_first
from covidseg.scans.pictures import PICTURES, natural, read_picture, stacked
from covidseg.scans.upright import Axes
from covidseg.text import one_line

NIFTI, ARRAYS = (".nii", ".nii.gz"), (".npy",)
AS_STORED = Axes((0, 1, 2), (False, False, False))
NO_RESCALE = "the DICOM files do not say how their numbers become HU (no rescale slope and intercept)"
UNITS = {1: ("metre", 1000.0), 3: ("micron", 0.001)}  # code of a NIfTI header -> mm; files that say nothing mean mm


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan, upright: row 0 anterior, column 0 the patient's right, slice 0 the feet.

    voxels : (H, W, D) in ``intensity`` units, a view in the file's own number type
    intensity : "HU" or "grey" (0..255); spacing : (row, column, slice) in mm, nan where the file does not say
    affine : 4x4, voxel indices OF THE FILE -> RAS mm; axes : how the file's axes were turned
    file_shape : shape in the file; header : nibabel header, or None; notes : what had to be assumed
    warnings : what may make every number wrong, to be told with them
    """

    path: Path
    voxels: np.ndarray
    intensity: str
    spacing: tuple[float, float, float]
    affine: np.ndarray
    axes: Axes
    file_shape: tuple[int, ...]
    header: object = None
    notes: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.voxels.shape

    @property
    def has_place(self) -> bool:
        """True where the file says where it lies in the body: NIfTI and DICOM; pictures and arrays do not."""
        return self.header is not None or bool(np.isfinite(self.spacing).all())

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel by the determinant, right for sheared axes too; nan where the file does not say."""
        if not np.isfinite(self.spacing).all():
            return float("nan")
        steps = np.array(self.affine[:3, :3], float)
        lengths = np.linalg.norm(steps, axis=0)
        return float(abs(np.linalg.det(steps / lengths)) * np.prod(self.spacing))

    def slice(self, z: int) -> np.ndarray:
        """Upright slice z as float32 (H, W)."""
        return np.ascontiguousarray(self.voxels[:, :, z], dtype=np.float32)

    def volume(self) -> np.ndarray:
        """All of it as float32 (H, W, D): four bytes a voxel, so for a big scan go slice by slice."""
        return np.ascontiguousarray(self.voxels, dtype=np.float32)


def read_stored(path: Path, series: str | None = None, labels: bool = False) -> Scan:
    """The voxels of ``path`` in the file's own axes; intensity is "" where the file does not tell its unit.

    series : part of the name of a DICOM series; labels : the pictures are masks, see read_picture
    Raises UserError, one line naming the file, for anything that cannot be read.
    """
    if not path.exists():
        raise UserError(f"{path} {'is a link that leads nowhere' if path.is_symlink() else 'does not exist'}.")
    if not (path.is_file() or path.is_dir()):
        raise UserError(f"{path} is neither a file nor a folder: save the scan to a file first.")
    try:
        if series is not None and not dicom.has_dicom(path):
            raise UserError(f"--series {one_line(series)} chooses among DICOM series; {path} is none: leave it out.")
        if path.is_dir():
            return _read_folder(path, series, labels)
        suffix = suffix_of(path)
        if suffix in NIFTI:
            return _read_nifti(path)
        if suffix in PICTURES:
            picture, doubts = read_picture(path, labels)
            return _upright_scan(path, picture[:, :, None], doubts)
        if suffix in ARRAYS:
            array = _read_array(path)
            return _upright_scan(path, array, slices_first(array.shape))
        if dicom.has_dicom(path):
            return _dicom_scan(path, series)
    except PermissionError as error:
        raise UserError(f"{path} may not be read: {error.strerror}.") from error
    raise UserError(
        f"{path} is none of .nii, .nii.gz, .png, .jpg, .npy, a DICOM file, or a folder of DICOM files or pictures."
    )


def _read_folder(path: Path, series: str | None, labels: bool) -> Scan:
    files = sorted(dicom.files_in(path), key=natural)
    if not files:
        inner = sorted(p.name for p in path.iterdir() if p.is_dir())
        hint = f" It has folders: {', '.join(inner[:5])}; name one of them." if inner else ""
        raise UserError(f"{path} is a folder without files.{hint}")
    if dicom.has_dicom(path):
        return _dicom_scan(path, series)
    pictures = [p for p in files if suffix_of(p) in PICTURES]
    scans = [p.name for p in files if suffix_of(p) in (*NIFTI, *ARRAYS)]
    if pictures and scans:
        raise UserError(f"{path} holds pictures ({pictures[0].name}, ...) and a scan ({scans[0]}): name one of them.")
    if pictures:
        return _upright_scan(path, *stacked(path, pictures, labels))
    if len(scans) == 1:
        return read_stored(path / scans[0], series, labels)
    if scans:
        raise UserError(f"{path} holds {len(scans)} scans ({', '.join(scans[:4])}, ...): name one of them.")
    raise UserError(f"{path} holds neither DICOM files nor pictures (first file: {files[0].name}).")


def suffix_of(path: Path) -> str:
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def _read_nifti(path: Path) -> Scan:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        with quiet_nibabel():
            image = nibabel.load(path)
            raw = _header_as_it_stands(path, type(image))
            if suffix_of(path) == ".nii.gz":
                image, stored = _read_gzip(path, type(image))
            else:
                stored = np.asanyarray(image.dataobj.get_unscaled())  # in its own type
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is cut off or damaged ({error}): copy or download it again.") from error
    except (ImageFileError, HeaderDataError, ValueError, OverflowError, OSError) as error:
        reason = " ".join(str(error).replace(str(path), "it").split()) or type(error).__name__
        raise UserError(f"{path} cannot be read as NIfTI ({reason}). Is it whole, and a NIfTI file?") from error
    except MemoryError as error:
        raise UserError(f"{path} claims {image.shape} voxels, more than fits in memory.") from error
    shape = stored.shape
    if stored.dtype.names or stored.dtype.kind not in "iufb":
        raise UserError(f"{path} holds {stored.dtype} voxels (colour or complex), not one number each.")
    while stored.ndim > 3 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    if stored.ndim > 3:
        raise UserError(
            f"{path} is {stored.ndim}-D, {shape}: covidseg reads one volume. Save one, e.g. with nibabel's "
            "image.slicer[..., 0]."
        )
    stored = stored.reshape(stored.shape + (1,) * (3 - stored.ndim))
    unit, mm = UNITS.get(int(image.header["xyzt_units"]) % 8, ("mm", 1.0))
    return Scan(
        path=path,
        voxels=_scaled(stored, image.dataobj.slope, image.dataobj.inter),
        intensity="",
        spacing=tuple(mm * step for step in _stated(raw, _spacing(image.affine), stored.shape)),
        affine=image.affine,
        axes=AS_STORED,
        file_shape=shape,
        header=image.header.copy(),
        notes=(f"its steps are in {unit}s",) if mm != 1 else (),
        warnings=tuple(odd_header(raw, image.affine)),
    )


@contextmanager
def quiet_nibabel() -> Iterator[None]:
    """Nibabel mends headers and says so on the terminal; `odd_header` says it with the result, and which file."""
    from nibabel.imageglobals import logger

    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _header_as_it_stands(path: Path, kind: type):
    """What nibabel mends while it reads: a step of 0 becomes one of 1 mm, a negative one positive."""
    with gzip.open(path) if suffix_of(path) == ".nii.gz" else open(path, "rb") as stream:
        return kind.header_class.from_fileobj(stream, check=False)


def _stated(raw, spacing: tuple[float, ...], shape: tuple[int, ...]) -> tuple[float, ...]:
    """The steps, nan where the header has none and nibabel made one up."""
    if int(raw["sform_code"]) > 0:  # the affine says it
        return spacing
    known = [n == 1 or (np.isfinite(step) and step != 0) for step, n in zip(raw["pixdim"][1:4], shape, strict=True)]
    return tuple(step if given else float("nan") for step, given in zip(spacing, known, strict=True))


def _read_gzip(path: Path, kind: type) -> tuple[object, np.ndarray]:
    """Image and stored numbers, read to the end of the file, where the checksum stands: nibabel stops before it."""
    with gzip.open(path) as stream:
        image = kind.from_stream(stream)
        stored = np.asanyarray(image.dataobj.get_unscaled())
        while stream.read(1 << 20):
            pass
    return image, stored


def _scaled(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Stored numbers to their units; whole numbers that fit stay 16-bit, because a CT in float32 is twice as big."""
    if slope == 1 and intercept == 0:
        return _narrow(stored)
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2 and slope == 1 and intercept == int(intercept):
        ends = [int(stored.min()) + intercept, int(stored.max()) + intercept]
        if min(ends) >= -(2**15) and max(ends) < 2**15:
            return (stored.astype(np.int32) + int(intercept)).astype(np.int16)
    with np.errstate(over="ignore"):  # what becomes infinite is refused as such
        return _narrow(stored.astype(np.float64) * slope + intercept)


def _narrow(array: np.ndarray) -> np.ndarray:
    """Floats of 8 or 16 bytes as 4: a CT has three digits."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32) if array.dtype.kind == "f" and array.dtype.itemsize > 4 else array


def _spacing(affine: np.ndarray) -> tuple[float, float, float]:
    """Length of a step along each file axis, mm; nan for a step of no length."""
    steps = np.sqrt((np.asarray(affine)[:3, :3] ** 2).sum(axis=0))
    return tuple(float(s) if np.isfinite(s) and s > 0 else float("nan") for s in steps)


def _dicom_scan(path: Path, series: str | None) -> Scan:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd values, which are refused or do not matter
            found = dicom.read_series(path, series)
    except (UserError, PermissionError):
        raise
    except Exception as error:  # a damaged header raises whatever pydicom meets first: six kinds in 400 trials
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: a DICOM header is damaged ({reason}): copy the series again.") from error
    intensity, warned = ("HU", ()) if found.is_hu else ("", (NO_RESCALE,))
    place = dict(spacing=_spacing(found.affine), affine=found.affine, axes=AS_STORED, file_shape=found.voxels.shape)
    return Scan(path, found.voxels, intensity, **place, notes=found.notes, warnings=(*warned, *found.doubts))


def _read_array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"{path} cannot be read as a NumPy array ({error}).") from error
    if array.ndim not in (2, 3) or array.dtype.kind not in "iufb":
        raise UserError(f"{path} is {array.shape} {array.dtype}: wanted are numbers (rows, columns[, slices]).")
    return _narrow(array)


def _upright_scan(path: Path, array: np.ndarray, doubts: Iterable[str] = ()) -> Scan:
    volume = array.reshape(array.shape + (1,) * (3 - array.ndim))
    # the affine of an upright array without known spacing: index (row, column, slice) -> RAS
    affine = np.array([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return Scan(path, volume, "", (float("nan"),) * 3, affine, AS_STORED, array.shape, warnings=tuple(doubts))
