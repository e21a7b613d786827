"""Hostile scans, masks and weights: each is one clear line and leaves nothing behind, or gives the right value."""

import gzip
import json
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import covidseg
from covidseg.cli import main
from covidseg.data.transforms import Preprocessing
from covidseg.nn.weights import load_weights, save_weights
from covidseg.scans.read import read_mask, read_scan

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")

HU = np.random.default_rng(0).integers(-1000, 300, (10, 12, 3)).astype(np.int16)
AFFINE = np.diag([-0.5, -0.5, 4.0, 1])
AFFINE[:3, 3] = (3, 4, -20)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    net = covidseg.create_model("unet", width=1)
    return save_weights(path, "unet", net, Preprocessing(size=32), options={"width": 1}, label="t", licence="MIT")


@pytest.fixture(scope="module")
def loaded(weights):
    return load_weights(weights)


@pytest.fixture
def answer(tmp_path, capfd, loaded, monkeypatch):
    """function (scan, ...) -> what `covidseg predict` says. A refusal is one line and leaves no file."""

    def run(scan, *args, given=None, out="mask.nii.gz", good=False):
        if given is None:
            monkeypatch.setattr("covidseg.papers.weights", lambda name: loaded)  # once for all tests
        before = sorted(tmp_path.rglob("*"))
        command = ["predict", scan, *args, "-o", tmp_path / out, "--weights", given or "t", "--json"]
        status = main([str(word) for word in command])
        told = capfd.readouterr()
        if good:
            assert status == 0, told.err
            return json.loads(told.out)
        assert status == 1 and told.out == "", told
        assert told.err.startswith("covidseg: ") and told.err.count("\n") == 1 and "Traceback" not in told.err
        assert told.err.strip().isprintable() and len(told.err) < 700
        assert sorted(tmp_path.rglob("*")) == before
        return told.err

    return run


def nifti(path, array=HU, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(array, affine, dtype=array.dtype), path)
    return path


def with_affine(path, affine):
    """Put an affine that nibabel would not write into a file's sform."""
    path.write_bytes(header(252, "hh", 0, 2)(header(280, "12f", *affine[:3].ravel())(bytearray(path.read_bytes()))))
    return path


# ------------------------------------------------------------------------------------------------ NIfTI


def header(at, kind, *values):
    """Spoil the header of a whole file: struct ``kind`` at byte ``at``."""

    def spoil(data):
        data[at : at + struct.calcsize(f"<{kind}")] = struct.pack(f"<{kind}", *values)
        return data

    return spoil


BAD_NIFTI = {
    "dims of 70 TB": header(40, "4h", 3, 32767, 32767, 32767),
    "dims beyond the file": header(40, "4h", 3, 300, 300, 300),
    "a dim of 0": header(40, "4h", 3, 10, 0, 3),
    "a negative dim": header(40, "4h", 3, 10, -12, 3),
    "0 dimensions": header(40, "h", 0),
    "9 dimensions": header(40, "h", 9),
    "-1 dimensions": header(40, "h", -1),
    "no number type": header(70, "h", 0),
    "bits": header(70, "h", 1),
    "colour": header(70, "hh", 128, 24),
    "complex": header(70, "hh", 32, 64),
    "an unknown number type": header(70, "h", 9999),
    "another magic": lambda data: data.replace(b"n+1", b"abc"),
    "an offset of NaN": header(108, "f", float("nan")),
    "an offset of -5": header(108, "f", -5),
    "an offset beyond the file": header(108, "f", 1e9),
    "a slope of 1e38": header(112, "ff", 1e38, 0),
    "an intercept of 1e30": header(112, "ff", 1, 1e30),
    "header alone": lambda data: data[:348],
    "half a header": lambda data: data[:100],
    "nothing": lambda data: data[:0],
    "half of the voxels": lambda data: data[:700],
    "a text": lambda data: bytearray(b"PatientName=\x1b[31mDoe\n" * 40),
    "zeros": lambda data: bytearray(len(data)),
    "a picture": lambda data: bytearray(b"\x89PNG\r\n\x1a\n" + bytes(600)),
    "a zip": lambda data: bytearray(b"PK\x03\x04" + bytes(600)),
}


@pytest.mark.parametrize("spoil", BAD_NIFTI.values(), ids=BAD_NIFTI)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["nii", "gz"])
def test_a_spoilt_nifti_is_one_line_that_names_it(answer, tmp_path, spoil, pack):
    name = "scan.nii" if pack is bytes else "scan.nii.gz"
    data = spoil(bytearray(nifti(tmp_path / "whole.nii").read_bytes()))
    (tmp_path / name).write_bytes(pack(bytes(data)))
    assert name in answer(tmp_path / name)


BAD_GZIP = {
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut at the end": lambda data: data[:-4],
    "a wrong checksum": lambda data: data[:-8] + bytes(4) + data[-4:],
    "packed twice": gzip.compress,
    "a byte changed": lambda data: data[:200] + bytes([data[200] ^ 255]) + data[201:],
    "packed nothing": lambda data: gzip.compress(b""),
}


@pytest.mark.parametrize("spoil", BAD_GZIP.values(), ids=BAD_GZIP)
def test_a_spoilt_gzip_is_one_line(answer, tmp_path, spoil):
    scan = nifti(tmp_path / "scan.nii.gz")
    scan.write_bytes(spoil(scan.read_bytes()))
    assert "scan.nii.gz" in answer(scan)


VALUES = {
    "NaN": np.full((10, 12, 3), np.nan, "f4"),
    "one infinite": np.where(np.arange(360).reshape(10, 12, 3) == 7, np.inf, -500).astype("f4"),
    "1e300": np.full((10, 12, 3), 1e300),
    "zeros": np.zeros((10, 12, 10), "i2"),
    "one grey": np.full((10, 12, 10), 77, "u1"),
    "a mask": (np.arange(1200).reshape(10, 12, 10) % 2).astype("u1"),
    "lobes": (np.arange(1200).reshape(10, 12, 10) % 4).astype("u1"),
    "SUV": np.random.default_rng(1).gamma(1, 1.5, (10, 12, 10)).astype("f4").clip(0, 30),
    "MR": np.random.default_rng(1).integers(0, 1800, (10, 12, 10)).astype("i2"),
    "a phase": np.random.default_rng(1).uniform(-3.1, 3.1, (10, 12, 10)).astype("f4"),
    "the largest int64": np.full((10, 12, 3), 2**62),
    "the largest uint32": np.full((10, 12, 3), 2**32 - 1, "u4"),
    "below what CT can be": np.full((10, 12, 3), -40000, "i4"),
    "four dimensions": np.zeros((10, 12, 3, 2), "i2"),
    "five dimensions": np.zeros((10, 12, 3, 1, 3), "i2"),
}


@pytest.mark.parametrize("array", VALUES.values(), ids=VALUES)
def test_values_that_no_ct_has_are_refused(answer, tmp_path, array):
    answer(nifti(tmp_path / "odd.nii.gz", array))


def test_less_than_air_is_told(answer, tmp_path):
    assert answer(nifti(tmp_path / "s.nii"), "--intensity", "HU", good=True)["warnings"] == []
    found = answer(nifti(tmp_path / "s.nii"), "--intensity", "HU+1024", "--force", good=True)["warnings"]
    assert len(found) == 1 and "Is the scan HU+1024?" in found[0]


@pytest.mark.parametrize("array, wrong", [(HU, "grey"), (HU + 1600, "grey"), (HU.astype("i4") * 40, "HU")])
def test_values_outside_of_what_was_declared_are_refused(answer, tmp_path, array, wrong):
    assert wrong in answer(nifti(tmp_path / "odd.nii.gz", array.astype("i4")), "--intensity", wrong)


def infected(found):
    return found["result"]["infected_pixels"]


SAME_BODY = {
    "of 2 dimensions more": lambda path: nifti(path, HU[..., None, None]),
    "as int64": lambda path: nifti(path, HU.astype("i8")),
    "as float64": lambda path: nifti(path, HU.astype("f8")),
    "plus 1024 with its intercept": lambda path: scaled(path, HU + 1024, 1, -1024),
    "halved with its slope": lambda path: scaled(path, HU * 2, 0.5, 0),
    "big-endian": lambda path: big_endian(path),
    "with a wrong size of its header": lambda path: path.write_bytes(
        header(0, "i", 540)(bytearray(nifti(path).read_bytes()))) and path,
    "with free text": lambda path: with_text(path),
}  # fmt: skip


def scaled(path, array, slope, intercept):
    image = nibabel.Nifti1Image(array.astype("i2"), AFFINE)
    image.header.set_slope_inter(slope, intercept)
    image.to_filename(path)
    data = bytearray(path.read_bytes())
    data[352:] = array.astype("<i2").tobytes(order="F")  # nibabel would scale what it is given
    path.write_bytes(header(112, "ff", slope, intercept)(data))
    return path


def big_endian(path):
    swapped = nibabel.load(nifti(path)).header.as_byteswapped(">")
    swapped["vox_offset"] = 352
    path.write_bytes(swapped.binaryblock + bytes(4) + HU.astype(">i2").tobytes(order="F"))
    return path


def with_text(path):
    image = nibabel.Nifti1Image(HU, AFFINE)
    image.header["descrip"] = b"\x1b[31mDoe^Jane\n"
    image.to_filename(path)
    return path


@pytest.mark.parametrize("store", SAME_BODY.values(), ids=SAME_BODY)
def test_the_same_body_stored_otherwise_has_the_same_voxels(tmp_path, store):
    plain, other = read_scan(nifti(tmp_path / "plain.nii")), read_scan(store(tmp_path / "other.nii"))
    assert np.array_equal(plain.voxels, other.voxels)


UNKNOWN = {
    "an affine of zeros": np.zeros((4, 4)),
    "an affine of NaN": np.full((4, 4), np.nan),
    "an infinite step": np.diag([-0.5, np.inf, 4.0, 1]),
    "a step of 0": np.diag([-0.5, 0.0, 4.0, 1]),
    "two axes on one": np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1]]),
}


@pytest.mark.parametrize("affine", UNKNOWN.values(), ids=UNKNOWN)
def test_steps_that_are_not_known_give_pixels_and_no_millilitres(answer, tmp_path, affine):
    found = answer(with_affine(nifti(tmp_path / "scan.nii"), affine), good=True)
    assert not found["result"]["infected_volume_ml"]  # None, or 0.0 where the determinant is 0
    assert infected(found) >= 0


def test_a_mask_beyond_a_byte_is_not_written(tmp_path):
    from covidseg.errors import UserError
    from covidseg.scans.read import write_mask

    scan = read_scan(nifti(tmp_path / "s.nii"))
    for value in (256, -1):
        with pytest.raises(UserError, match=r"not 0\.\.255"):
            write_mask(tmp_path / "m.nii", np.full(scan.shape, value), scan)


# ------------------------------------------------------------------------------------------------ arrays, pictures


def npy(array):
    import io

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


BAD_ARRAYS = {
    "objects": npy(np.array([{"a": 1}], object)),
    "texts": npy(np.array([["a", "b"]])),
    "fields": npy(np.zeros((3, 3), [("x", "i2")])),
    "complex": npy(np.zeros((3, 3), complex)),
    "one dimension": npy(np.zeros(9)),
    "four dimensions": npy(np.zeros((2, 2, 2, 2))),
    "nothing in it": npy(np.zeros((0, 5))),
    "NaN": npy(np.full((4, 4), np.nan)),
    "half": npy(HU)[:200],
    "version 9": b"\x93NUMPY\x09\x00" + npy(HU)[8:],
    "a shape of terabytes": npy(HU).replace(b"(10, 12, 3)", b"(99999999,)"),
    "code as header": npy(HU).replace(b"(10, 12, 3)", b"exit(1),   "),
    "a text": b"1,2,3\n",
    "empty": b"",
}


@pytest.mark.parametrize("data", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_a_spoilt_array_is_one_line(answer, tmp_path, data):
    (tmp_path / "scan.npy").write_bytes(data)
    assert "scan.npy" in answer(tmp_path / "scan.npy")


def png(array=None, **more):
    import io

    from PIL import Image

    file = io.BytesIO()
    array = np.random.default_rng(3).integers(0, 256, (20, 20), np.uint8) if array is None else array
    Image.fromarray(array).save(file, "PNG", **more)
    return file.getvalue()


def text_bomb():
    """A picture with a comment of 200 MB, packed."""
    import zlib

    packed = zlib.compress(bytes(3 << 20))
    chunk = b"zTXta\0\0" + packed
    whole = png()
    return whole[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[33:]


BAD_PICTURES = {
    "half": lambda: png()[:100],
    "empty": lambda: b"",
    "a text": lambda: b"<svg/>",
    "a header alone": lambda: png()[:33],
    "a comment that explodes": text_bomb,
    "a byte changed": lambda: png()[:45] + b"\0" + png()[46:],
    "a side of 0": lambda: png()[:16] + bytes(4) + png()[20:],
    "a mask": lambda: png(np.where(np.arange(1600).reshape(40, 40) % 3, 0, 1).astype(np.uint8)),
}


@pytest.mark.parametrize("make", BAD_PICTURES.values(), ids=BAD_PICTURES)
def test_a_spoilt_picture_is_one_line(answer, tmp_path, make):
    (tmp_path / "slice.png").write_bytes(make())
    assert "slice.png" in answer(tmp_path / "slice.png", out="mask.png")


def test_one_spoilt_picture_of_a_folder_is_named(answer, tmp_path):
    (tmp_path / "scan").mkdir()
    for n in range(3):
        (tmp_path / "scan" / f"{n}.png").write_bytes(png() if n < 2 else png()[:60])
    assert "2.png" in answer(tmp_path / "scan")


# ------------------------------------------------------------------------------------------------ DICOM


def series(folder, edit=lambda d, k: None, count=3, uid="1.2.3"):
    from pydicom.dataset import FileDataset, FileMetaDataset

    folder.mkdir(exist_ok=True)
    for k in range(count):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"{uid}.{k + 1}"
        d = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        d.SOPClassUID, d.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        d.SeriesInstanceUID, d.Modality, d.SeriesNumber, d.SeriesDescription = uid, "CT", 1, "lung"
        d.ImagePositionPatient, d.ImageOrientationPatient = [0, 0, 5 * k], [1, 0, 0, 0, 1, 0]
        d.PixelSpacing, d.SliceThickness = [0.7, 0.7], 5
        d.Rows = d.Columns = 16
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 1
        d.RescaleSlope, d.RescaleIntercept = 1, -1024
        d.PixelData = np.full((16, 16), 24 + 300 * k, np.int16).tobytes()
        edit(d, k)
        d.save_as(folder / f"{uid}_{k}.dcm", enforce_file_format=True)
    return folder


def tag(name, value, only=None):
    """An edit of a series: the tag in every slice, or in slice ``only``. A text that is no number is kept as such."""

    def edit(d, k):
        if only is None or k == only:
            if value is ...:
                del d[name]
            elif name in d and d[name].VR in ("DS", "IS", "US") and isinstance(np.ravel(value)[0], str):
                d[name] = pydicom.dataelem.DataElement(d[name].tag, "LO", value)
            else:
                setattr(d, name, value)

    return edit


BAD_DICOM = {
    "no rows": tag("Rows", 0),
    "rows that are a text": tag("Rows", "many"),
    "more rows than pixels": tag("Rows", 60000),
    "another size": tag("Columns", 8, only=2),
    "no pixel data": tag("PixelData", ...),
    "empty pixel data": tag("PixelData", b""),
    "odd pixel data": tag("PixelData", bytes(17)),
    "24 bits": tag("BitsAllocated", 24),
    "a bit more than allocated": tag("BitsStored", 40),
    "three samples": tag("SamplesPerPixel", 3),
    "signs of a fifth kind": tag("PixelRepresentation", 5),
    "a spacing of 0": tag("PixelSpacing", [0, 0.7]),
    "a negative spacing": tag("PixelSpacing", [-0.7, 0.7]),
    "one spacing": tag("PixelSpacing", [0.7]),
    "a spacing that is a text": tag("PixelSpacing", ["fine", "fine"]),
    "no spacing": tag("PixelSpacing", ...),
    "axes of 0": tag("ImageOrientationPatient", [0, 0, 0, 0, 0, 0]),
    "axes that are one": tag("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
    "axes twice as long": tag("ImageOrientationPatient", [2, 0, 0, 0, 2, 0]),
    "five numbers of axes": tag("ImageOrientationPatient", [1, 0, 0, 0, 1]),
    "a place of two numbers": tag("ImagePositionPatient", [0, 0]),
    "a place that is a text": tag("ImagePositionPatient", ["a", "b", "c"]),
    "no place in one slice": tag("ImagePositionPatient", ..., only=1),
    "the same place twice": tag("ImagePositionPatient", [0, 0, 0]),
    "a jump": tag("ImagePositionPatient", [0, 0, 95], only=2),
    "a jump sideways": tag("ImagePositionPatient", [40, 0, 10], only=2),
    "another direction": tag("ImageOrientationPatient", [0, 1, 0, 1, 0, 0], only=1),
    "another spacing": tag("PixelSpacing", [0.9, 0.9], only=1),
    "a slope of 0": tag("RescaleSlope", 0),
    "a slope that is a text": tag("RescaleSlope", "steep"),
    "a slope of 10000": tag("RescaleSlope", 10000),
    "a slope in two slices": tag("RescaleSlope", ..., only=0),
    "no slope at all": lambda d, k: (tag("RescaleSlope", ...)(d, k), tag("RescaleIntercept", ...)(d, k)),
    "MR": tag("Modality", "MR"),
    "PET": tag("Modality", "PT"),
    "many frames": tag("NumberOfFrames", 3),
}


@pytest.mark.parametrize("edit", BAD_DICOM.values(), ids=BAD_DICOM)
@pytest.mark.filterwarnings("ignore")  # of pydicom, while the files are made
def test_a_dicom_series_that_cannot_be_is_one_line(answer, tmp_path, edit):
    try:
        series(tmp_path / "s", edit)
    except (TypeError, ValueError, AttributeError) as error:  # pydicom does not even write it
        pytest.fail(f"the test could not write its input: {error}")
    answer(tmp_path / "s")


def test_what_archives_write_and_is_right_is_read(tmp_path):
    from covidseg.scans.view import view_of  # the module that decides the weights reads what it is given

    plain = read_scan(series(tmp_path / "plain"))
    right = {
        "a thickness of 0": tag("SliceThickness", 0),
        "a negative slope": lambda d, k: (
            setattr(d, "RescaleSlope", -1),
            setattr(d, "RescaleIntercept", 1024),
            setattr(d, "PixelData", np.full((16, 16), 2024 - 300 * k, np.int16).tobytes()),
        ),
        "no description": tag("SeriesDescription", ...),
        "white is small": tag("PhotometricInterpretation", "MONOCHROME1"),
    }
    for name, edit in right.items():
        scan = read_scan(series(tmp_path / name, edit))
        assert np.array_equal(scan.voxels, plain.voxels) and scan.spacing == plain.spacing, name
        assert view_of(scan.voxels, scan.intensity)


def test_a_single_slice_without_a_thickness_says_so(tmp_path):
    scan = read_scan(series(tmp_path / "s", tag("SliceThickness", ...), count=1))
    assert scan.notes == ("one slice that does not say how thick it is: volumes are of 1 mm",)


def test_codes_in_the_names_of_series_do_not_reach_the_terminal(answer, tmp_path):
    series(tmp_path / "s")
    series(tmp_path / "s", tag("SeriesDescription", "\x1b[2Jnone"), uid="1.2.4")
    assert "2 series" in answer(tmp_path / "s")


# ------------------------------------------------------------------------------------------------ masks


BAD_MASKS = {
    "empty": np.zeros_like(HU, "u1"),
    "NaN": np.full(HU.shape, np.nan, "f4"),
    "fractions": np.full(HU.shape, 0.5, "f4"),
    "negative": np.full(HU.shape, -1, "i2"),
    "the scan": HU,
    "20 lobes": (np.arange(HU.size).reshape(HU.shape) % 20).astype("u1"),
    "another shape": np.ones((10, 12, 4), "u1"),
    "turned": np.ones((12, 10, 3), "u1"),
    "in time": np.ones((10, 12, 3, 2), "u1"),
    "almost nothing outside": np.where(HU > 0, 1, 1e-7).astype("f4"),
}


@pytest.mark.parametrize("array", BAD_MASKS.values(), ids=BAD_MASKS)
def test_a_lung_mask_that_is_none_is_one_line(answer, tmp_path, array):
    scan = nifti(tmp_path / "scan.nii.gz")
    assert "lung.nii.gz" in answer(scan, "--lung-mask", nifti(tmp_path / "lung.nii.gz", array))


def test_a_lung_mask_whose_place_is_unknown_is_not_resampled_in_silence(answer, tmp_path):
    scan = nifti(tmp_path / "scan.nii.gz")
    lung = with_affine(nifti(tmp_path / "lung.nii", np.ones((5, 6, 3), "u1")), np.zeros((4, 4)))
    assert "lung.nii" in answer(scan, "--lung-mask", lung, "--resample-mask")


def test_a_mask_far_away_is_resampled_to_nothing_and_refused(answer, tmp_path):
    far = AFFINE.copy()
    far[2, 3] += 500
    scan, lung = nifti(tmp_path / "scan.nii.gz"), nifti(tmp_path / "lung.nii.gz", np.ones_like(HU, "u1"), far)
    assert "marks nothing where the scan lies" in answer(scan, "--lung-mask", lung, "--resample-mask")


# ------------------------------------------------------------------------------------------------ weights


def spoilt(weights, **parts):
    record = torch.load(weights, weights_only=True)
    for name, value in parts.items():
        record[name] = value(record[name]) if callable(value) else value
    path = weights.with_name("spoilt.pt")
    torch.save(record, path)
    return path


def one_other(change):
    """A state in which the first tensor is another."""

    def new(state):
        first = next(iter(state))
        return state | {first: change(state[first])}

    return new


BAD_WEIGHTS = {
    "a tensor of another shape": dict(state=one_other(lambda t: torch.cat([t, t]))),
    "a tensor of NaN": dict(state=one_other(lambda t: t * float("nan"))),
    "a list for a tensor": dict(state=one_other(lambda t: t.tolist())),
    "a tensor too many": dict(state=lambda s: s | {"more": torch.zeros(1)}),
    "a tensor too few": dict(state=lambda s: dict(list(s.items())[1:])),
    "a state of numbers": dict(state={1: 2}),
    "a million channels": dict(options={"channels": [10**6] * 4}),
    "a billion layers": dict(options={"depth": 10**9}),
    "a mean of NaN": dict(preprocessing=lambda p: p | {"mean": [float("nan")] * 3}),
    "a mean of two": dict(preprocessing=lambda p: p | {"mean": [0.5, 0.5]}),
    "a std of 0": dict(preprocessing=lambda p: p | {"std": [0.0] * 3}),
    "a std of text": dict(preprocessing=lambda p: p | {"std": "wide"}),
    "a window of no width": dict(preprocessing=lambda p: p | {"window": [0.0, 0.0]}),
    "a window of NaN": dict(preprocessing=lambda p: p | {"window": [float("nan"), 100.0]}),
    "a window of one number": dict(preprocessing=lambda p: p | {"window": [3.0]}),
    "a size of -5": dict(preprocessing=lambda p: p | {"size": -5}),
    "a size of NaN": dict(preprocessing=lambda p: p | {"size": float("nan")}),
    "a size of infinity": dict(preprocessing=lambda p: p | {"size": float("inf")}),
    "an unknown setting": dict(preprocessing=lambda p: p | {"colour": "red"}),
    "a name with codes": dict(model="\x1b[31mminiseg\n"),
    "a network in 3-D": dict(model="covidsegnet"),
}


@pytest.mark.parametrize("parts", BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_spoilt_weights_are_one_line(answer, tmp_path, weights, parts):
    answer(nifti(tmp_path / "scan.nii.gz"), given=spoilt(weights, **parts))


# ------------------------------------------------------------------------------------------------ one body, many files

ORDERS = [
    (order, flips) for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    for flips in np.ndindex(2, 2, 2)
]  # fmt: skip


def turned(array, affine, order, flips):
    """The same body with its axes in another order and direction, by index arithmetic alone."""
    to_old = np.zeros((4, 4))
    to_old[3, 3] = 1
    for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
        to_old[old, new], to_old[old, 3] = (-1, array.shape[old] - 1) if flip else (1, 0)
    moved = array.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return np.ascontiguousarray(moved), affine @ to_old


def oblique(affine, degrees=11):
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:3, :3] = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    return turn @ affine


@pytest.mark.parametrize("tilt", [0, 11], ids=["straight", "oblique"])
def test_the_same_body_in_48_orders_has_the_same_voxels_and_the_same_mask(tmp_path, tilt):
    lung = (HU < -300).astype(np.uint8)
    affine = oblique(AFFINE, tilt)
    first = read_scan(nifti(tmp_path / "first.nii", HU, affine))
    inside = read_mask(nifti(tmp_path / "lung.nii", lung, affine), first, lung=True)
    for order, flips in ORDERS:
        scan = read_scan(nifti(tmp_path / "scan.nii", *turned(HU, affine, order, flips)))
        assert np.array_equal(scan.voxels, first.voxels) and scan.spacing == pytest.approx(first.spacing)
        assert np.array_equal(read_mask(tmp_path / "lung.nii", scan, lung=True), inside)
        nifti(tmp_path / "other.nii", *turned(lung, affine, order, flips))
        assert np.array_equal(read_mask(tmp_path / "other.nii", first, lung=True), inside)


RESAVED = Path(__file__).parent / "golden" / "resaved"  # by SimpleITK 2.5.7; `resave` below made them


def resave(files, folder, into):
    """What SimpleITK reads and writes again: ``files`` by their names, in three orders, and a DICOM ``folder``."""
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed; its files in golden/resaved are tested")
    for path in files:
        for axes in ("LPS", "RAI", "SAR"):
            image = sitk.DICOMOrient(sitk.ReadImage(str(path)), axes)
            sitk.WriteImage(image, str(into / f"{path.name.split('.')[0]}_{axes}.nii.gz"))
    slices = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    sitk.WriteImage(sitk.ReadImage(slices), str(into / "dicom.nii.gz"))
    return into


@pytest.mark.parametrize("by", ["as committed", "as it is installed"])
def test_a_re_save_by_simpleitk_has_the_same_voxels_and_mask(tmp_path, by):
    lung, affine = (HU < -300).astype(np.uint8), oblique(AFFINE)
    files = [nifti(tmp_path / "first.nii.gz", HU, affine), nifti(tmp_path / "lung.nii.gz", lung, affine)]
    first, folder = read_scan(files[0]), random_series(tmp_path / "s")
    inside = read_mask(files[1], first, lung=True)
    saved = RESAVED if by == "as committed" else resave(files, folder, tmp_path)
    for axes in ("LPS", "RAI", "SAR"):
        again = read_scan(saved / f"first_{axes}.nii.gz")
        assert int((again.voxels != first.voxels).sum()) == 0 and not again.warnings
        assert int((read_mask(saved / f"lung_{axes}.nii.gz", first, lung=True) != inside).sum()) == 0
        assert int((read_mask(files[1], again, lung=True) != inside).sum()) == 0
    dicom, again = read_scan(folder), read_scan(saved / "dicom.nii.gz")
    assert int((again.voxels != dicom.voxels).sum()) == 0 and again.spacing == pytest.approx(dicom.spacing)


def random_series(folder):
    stored = np.random.default_rng(2).integers(0, 1300, (16, 16, 3)).astype(np.int16)
    return series(folder, lambda d, k: setattr(d, "PixelData", stored[:, :, k].tobytes()))


def test_a_dicom_series_and_its_nifti_have_the_same_voxels_and_mask(tmp_path):
    stored = np.random.default_rng(2).integers(0, 1300, (16, 16, 3)).astype(np.int16)
    dicom = read_scan(random_series(tmp_path / "s"))
    affine = np.diag([-0.7, -0.7, 5.0, 1.0])
    scan = read_scan(nifti(tmp_path / "scan.nii", stored.transpose(1, 0, 2) - np.int16(1024), affine))
    assert np.array_equal(dicom.voxels, scan.voxels)
    lung = (stored < 600).astype(np.uint8)
    path = nifti(tmp_path / "lung.nii", *turned(lung.transpose(1, 0, 2), affine, (0, 1, 2), (0, 1, 0)))  # as dcm2niix
    assert np.array_equal(read_mask(path, dicom, lung=True), lung)
    assert np.array_equal(read_mask(path, replace(scan), lung=True), lung)
    assert sys.modules["pydicom"] is pydicom
