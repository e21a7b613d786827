"""Scans that say a thing twice, half, or of something else: each is refused, or warned of with the result."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_hostile import AFFINE, HU, header, nibabel, nifti, one_other, pydicom, series, spoilt, tag

import covidseg
from covidseg.data.transforms import Preprocessing
from covidseg.errors import UserError
from covidseg.nn.weights import load_weights, save_weights
from covidseg.scans.read import read_mask, read_scan, write_mask

RANDOM = np.random.default_rng(3)
CT = RANDOM.integers(0, 256, (40, 40), np.uint8)


def spoilt_header(path, *edits):
    data = bytearray(nifti(path).read_bytes())
    for edit in edits:
        data = edit(data)
    path.write_bytes(data)
    return path


def placed(path, qform, sform):
    image = nibabel.Nifti1Image(HU, AFFINE)
    image.set_qform(qform, 1)
    image.set_sform(sform, 1)
    nibabel.save(image, path)
    return path


def picture(path, array=CT, mode=None, **more):
    Image.fromarray(array, mode).save(path, **more)
    return path


def folder(path, **pictures):
    """A folder of pictures: the array of each by its name."""
    path.mkdir()
    for name, array in pictures.items():
        picture(path / f"{name}.png", array)
    return path


def painted():
    colours = np.dstack([CT] * 3)
    colours[5:15, 5:15] = (255, 0, 0)
    return colours


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def numbered(ds, k):
    ds.InstanceNumber = k + 1


def without(path, *numbers):
    for k in numbers:
        os.remove(path / f"1.2.3_{k}.dcm")
    return path


def each(name, *values):
    """An edit of a series: slice k has the k-th value."""
    return lambda ds, k: setattr(ds, name, values[k])


def with_inner(path):
    series(path)
    series(path / "rest", uid="1.2.4")
    return path


CODES = 252  # of qform and sform, in a NIfTI header
WARNED = {
    "mirrored in its qform": (lambda d: placed(d / "s.nii", np.diag([0.5, -0.5, 4, 1]), AFFINE), "right and left"),
    "of two sizes": (lambda d: placed(d / "s.nii", np.diag([-1.0, -1, 1, 1]), AFFINE), "two sizes of a voxel"),
    "of another size in its pixdim alone": (
        lambda d: spoilt_header(d / "s.nii", header(CODES, "hh", 0, 2), header(80, "f", 0.9)), "two sizes of a voxel"),
    "of negative steps": (
        lambda d: spoilt_header(d / "s.nii", header(CODES, "hh", 0, 0), header(80, "2f", -0.5, -0.5)), "negative"),
    "in metres, unsaid": (lambda d: nifti(d / "s.nii", HU, np.diag([-5e-4, -5e-4, 4e-3, 1])), "another unit"),
    "of kilometres": (lambda d: nifti(d / "s.nii", HU, np.diag([-1e6, -1e6, 1e6, 1])), "another unit"),
    "of slices 100 mm apart": (lambda d: nifti(d / "s.nii", HU, np.diag([-0.7, -0.7, 100, 1])), "another unit"),
    "of oblong pixels": (lambda d: nifti(d / "s.nii", HU, np.diag([-0.7, -7, 5, 1])), "oblong"),
    "with slices first": (lambda d: np.save(d / "s.npy", RANDOM.integers(-999, 300, (5, 64, 64))) or d / "s.npy",
        "slices first"),
    "painted red": (lambda d: picture(d / "s.png", painted()), "colours"),
    "half transparent": (lambda d: picture(d / "s.png", np.dstack([CT] * 4)), "transparent"),
    "turned by a camera": (lambda d: picture(d / "s.jpg", exif=turned()), "EXIF"),
    "one of three pictures painted": (lambda d: folder(d / "s", a=CT, b=painted(), c=CT), "of 1 of its 3 pictures"),
    "without every second slice": (lambda d: without(series(d / "s", numbered, 5), 1, 3), "2 are not .*number 2, 4"),
    "of thin slices far apart": (lambda d: series(d / "s", tag("SliceThickness", 1)), "nobody has seen"),
    "of two intercepts": (lambda d: series(d / "s", each("RescaleIntercept", -1024, -1024, 0)), "several ways"),
    "of MIPs": (lambda d: series(d / "s", tag("ImageType", ["DERIVED", "PRIMARY", "MIP"])), "projections"),
    "with folders in it": (lambda d: with_inner(d / "s"), "rest hold DICOM files, too"),
    "of DICOM pixels of 70 mm": (lambda d: series(d / "s", tag("PixelSpacing", [70, 70])), "another unit"),
}  # fmt: skip


@pytest.mark.parametrize("make, told", WARNED.values(), ids=WARNED)
def test_a_doubtful_scan_is_read_with_a_warning_that_says_why(tmp_path, capfd, make, told):
    scan = read_scan(make(tmp_path))
    assert len(scan.warnings) < 3 and re.search(told, " ".join(scan.warnings))
    assert capfd.readouterr().err == ""  # a library's own warnings name no file


def test_a_scan_without_doubts_has_no_warning(tmp_path):
    nibabel.save(nibabel.Nifti1Image(HU, AFFINE), tmp_path / "s.nii.gz")
    grey = Image.fromarray(np.dstack([CT] * 3))
    grey.save(tmp_path / "grey.jpg", quality=40)
    plain = [
        tmp_path / "s.nii.gz",
        tmp_path / "grey.jpg",
        series(tmp_path / "d", numbered),
        folder(tmp_path / "f", a=CT, b=CT * 0),
    ]
    assert [read_scan(path).warnings for path in plain] == [()] * 4


def link(path, to):
    path.symlink_to(to)
    return path


def two_frames(path, kind):
    Image.fromarray(CT).save(path.with_suffix(kind), save_all=True, append_images=[Image.fromarray(255 - CT)] * 2)
    return path.with_suffix(kind).rename(path)


def with_scan(path):
    folder(path, a=CT, b=CT)
    nifti(path / "other.nii.gz")
    return path


def doubled(path):
    folder(path, a=CT, b=CT)
    picture(path / "a.jpg")
    return path


def with_dead_link(path):
    link(path / "zz.dcm" if path.name == "dicom" else path / "zz.png", "/nowhere/at/all")
    return path


def fifo(path):
    os.mkfifo(path)
    return path


def two_of_a_name(path):
    series(path)
    return series(path, uid="1.2.4")


def disc(path):
    """A folder with a DICOMDIR, as on a disc: its slices lie deeper."""
    (path / "PT0").mkdir(parents=True)
    inner = series(path / "PT0" / "SE0")
    contents = pydicom.dcmread(inner / "1.2.3_0.dcm")
    contents.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    del contents.Rows, contents.PixelData
    contents.save_as(path / "DICOMDIR")
    return path


REFUSED = {
    "an animated PNG": (lambda d: two_frames(d / "s.png", ".png"), "pictures: save each slice"),
    "a GIF of three, named PNG": (lambda d: two_frames(d / "s.png", ".gif"), "pictures: save each slice"),
    "a TIFF stack, named JPG": (lambda d: two_frames(d / "s.jpg", ".tif"), "holds 3 pictures"),
    "a mask among slices": (lambda d: folder(d / "s", a=CT, a_mask=(CT > 99).astype("u1"), b=CT), "a_mask.png holds 0"),
    "a slice as PNG and JPEG": (lambda d: doubled(d / "s"), "of one name"),
    "pictures beside a scan": (lambda d: with_scan(d / "s"), "name one of them"),
    "a dead link among pictures": (lambda d: with_dead_link(folder(d / "s", a=CT, b=CT)), "leads nowhere"),
    "a dead link among slices": (lambda d: with_dead_link(series(d / "dicom")), "leads nowhere"),
    "a dead link": (lambda d: link(d / "s.nii.gz", d / "none"), "leads nowhere"),
    "a link to itself": (lambda d: link(d / "s.nii.gz", d / "s.nii.gz"), "leads nowhere"),
    "a pipe": (lambda d: fifo(d / "s.nii.gz"), "neither a file nor a folder"),
    "a device": (lambda d: Path("/dev/null"), "neither a file nor a folder"),
    "one PET slice": (lambda d: series(d / "s", tag("Modality", "PT", only=2)), "is PT, not CT"),
    "no modality and no CT class": (
        lambda d: series(d / "s", lambda s, k: (tag("Modality", "")(s, k), tag("SOPClassUID", "1.2.3")(s, k))),
        "does not say that it is CT"),
    "many frames in one slice": (lambda d: series(d / "s", tag("NumberOfFrames", 3, only=1)), "multi-frame"),
    "a palette of colours": (lambda d: series(d / "s", tag("PhotometricInterpretation", "PALETTE COLOR")), "colours"),
    "electron density": (lambda d: series(d / "s", tag("RescaleType", "ED")), "ED, not HU"),
    "two patients": (lambda d: series(d / "s", each("PatientID", "Doe", "Doe", "Roe")), "several patients"),
    "two frames of reference": (lambda d: series(d / "s", each("FrameOfReferenceUID", "1", "1", "2")), "frames of ref"),
    "two phases": (
        lambda d: series(d / "s", lambda s, k: setattr(s, "ImagePositionPatient", [0, 0, 5 * (k % 3)]), 6), "phases"),
    "localizers alone": (lambda d: series(d / "s", tag("ImageType", ["A", "B", "LOCALIZER"])), "localizers alone"),
    "two series of one name": (lambda d: two_of_a_name(d / "s"), r"1\.2\.3; .*1\.2\.4\."),
    "a disc": (lambda d: disc(d / "s"), r"Name the folder of the slices, such as .*SE0\.$"),
}  # fmt: skip


@pytest.mark.parametrize("make, told", REFUSED.values(), ids=REFUSED)
def test_what_is_no_single_scan_of_ct_is_one_line_with_a_way_out(tmp_path, make, told):
    with pytest.raises(UserError, match=told) as refusal:
        read_scan(make(tmp_path))
    assert "Roe" not in str(refusal.value)  # who it is stays in the file


def test_steps_that_a_header_leaves_at_0_are_unknown_not_a_millimetre(tmp_path):
    zero = spoilt_header(tmp_path / "s.nii", header(CODES, "hh", 0, 0), header(80, "3f", 0.5, 0.5, 0))
    assert np.isnan(read_scan(zero).spacing).tolist() == [False, False, True]


def test_a_mask_of_a_nifti_2_scan_lies_on_it(tmp_path, capfd):
    nibabel.Nifti2Image(HU, AFFINE).to_filename(tmp_path / "s.nii")
    scan = read_scan(tmp_path / "s.nii")
    mask = (scan.voxels < -300).astype(np.uint8)
    write_mask(tmp_path / "m.nii.gz", mask, scan)
    assert np.array_equal(read_mask(tmp_path / "m.nii.gz", scan), mask) and capfd.readouterr().err == ""


def test_a_patient_on_the_belly_is_turned_by_dicoms_own_axes_not_by_the_picture(tmp_path):
    """Their affine is a bare diagonal, which in a NIfTI file means that a program lost it."""
    stored = RANDOM.integers(0, 1300, (16, 16, 3)).astype(np.int16)
    belly = tag("ImageOrientationPatient", [-1, 0, 0, 0, -1, 0])
    prone = series(tmp_path / "s", lambda d, k: (belly(d, k), setattr(d, "PixelData", stored[:, :, k].tobytes())))
    assert np.array_equal(read_scan(prone).voxels, stored[::-1, ::-1] - 1024)


def test_localizers_in_the_series_of_the_slices_are_left_out_and_told(tmp_path):
    scan = read_scan(series(tmp_path / "s", tag("ImageType", ["A", "B", "LOCALIZER"], only=0)))
    assert scan.shape[2] == 2 and scan.notes == ("1 localizer image(s) left out",)


def test_a_whole_uid_names_its_series_though_another_begins_with_it(tmp_path):
    series(tmp_path / "s", uid="1.2.40")
    assert read_scan(series(tmp_path / "s", uid="1.2.4", count=2), series="1.2.4").shape[2] == 2


def test_what_is_transparent_in_a_mask_marks_nothing(tmp_path):
    white = np.full((40, 40, 4), 255, np.uint8)
    white[:, :20, 3] = 0
    scan = read_scan(picture(tmp_path / "s.png"))
    mask = read_mask(picture(tmp_path / "m.png", white), scan)
    assert mask[:, :20].sum() == 0 and mask[:, 20:].all()


@pytest.mark.parametrize("change", [lambda t: t.to_sparse(), lambda t: t.to("meta"), lambda t: t * 1j])
def test_tensors_that_are_no_plain_numbers_are_one_line(tmp_path, change):
    net = covidseg.create_model("unet", width=1)
    path = save_weights(tmp_path / "w.pt", "unet", net, Preprocessing(size=32), options={"width": 1}, label="t" * 10**6)
    assert len(load_weights(path).label) < 1000  # it stands in a line and under a picture
    with pytest.raises(UserError, match="no plain list of real numbers"):
        load_weights(spoilt(path, state=one_other(change)))
