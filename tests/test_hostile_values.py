"""Numbers that are right by their type and wrong by what they mean: padding, windows, choices of what is not there."""

import numpy as np
import pytest
from test_hostile import AFFINE, HU, nifti, pydicom, series
from test_hostile_headers import CT, picture

from covidseg.data.own import look_over
from covidseg.data.own_files import OwnData
from covidseg.data.transforms import LUNG, Preprocessing, Window
from covidseg.errors import UserError
from covidseg.scans.read import read_scan
from covidseg.scans.segment import choose_weights


def padded(value, limit=None, rescaled=True, frame=2):
    """An edit of a series: a frame of one number, and the header that calls it padding."""

    def edit(d, k):
        stored = np.frombuffer(d.PixelData, np.int16).reshape(16, 16).copy()
        stored[:frame] = value
        d.PixelData = stored.tobytes()
        if value == 32767 or limit is not None:
            d.add(pydicom.dataelem.DataElement(0x00280120, "SS", value))
        if limit is not None:
            d.add(pydicom.dataelem.DataElement(0x00280121, "SS", limit))
        if not rescaled:
            del d.RescaleSlope, d.RescaleIntercept

    return edit


@pytest.mark.parametrize("edit, intensity", [
    (padded(32767), None), (padded(32767, 30000), None), (padded(32000, 32767), None),
    (padded(32767, rescaled=False), "HU+1024"), (padded(32767, frame=16), None),
], ids=["32767", "a range downwards", "a range", "without a rescale", "slices of nothing else"])  # fmt: skip
def test_bright_padding_becomes_air_and_is_told(tmp_path, edit, intensity):
    scan = read_scan(series(tmp_path / "s", edit), intensity=intensity)
    assert scan.voxels.dtype == np.int16 or intensity is None
    assert scan.voxels[:2].max() <= -400 and scan.voxels.max() < 500 and "padding" in " ".join(scan.notes)


def test_padding_as_dark_as_air_and_tissue_of_its_number_stay_as_they_are(tmp_path):
    """A header that calls 1024, which is water, padding must not punch holes into the heart."""
    for name, value in (("dark", -2000), ("water", 1024)):
        scan = read_scan(series(tmp_path / name, padded(value, value)))
        assert (scan.voxels[:2] == value - 1024).all() and scan.notes == ()


def test_a_scan_with_much_that_is_brighter_than_bone_is_doubted(tmp_path):
    bright = HU.copy()
    bright[:2] = 32767
    assert "more than bone" in read_scan(nifti(tmp_path / "s.nii.gz", bright, AFFINE)).warnings[0]


@pytest.mark.parametrize("make", [
    lambda d: nifti(d / "s.nii.gz"), lambda d: picture(d / "s.png"),
    lambda d: (d.joinpath("f").mkdir(), picture(d / "f" / "1.png"), picture(d / "f" / "2.png")) and d / "f",
    lambda d: np.save(d / "s.npy", CT) or d / "s.npy",
], ids=["NIfTI", "PNG", "pictures", "npy"])  # fmt: skip
def test_a_series_is_chosen_in_dicom_alone(tmp_path, make):
    with pytest.raises(UserError, match="--series lung chooses among DICOM series"):
        read_scan(make(tmp_path), series="lung")


def test_a_choice_of_a_series_leaves_your_files_that_are_no_dicom_alone(tmp_path):
    mask = np.zeros(HU.shape, np.uint8)
    mask[1] = 1
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    series(tmp_path / "images" / "a")
    nifti(tmp_path / "images" / "b.nii.gz")
    nifti(tmp_path / "masks" / "b.nii.gz", mask)
    np.save(tmp_path / "masks" / "a.npy", np.ones((16, 16, 3), np.uint8))
    own = OwnData(tmp_path / "images", tmp_path / "masks", series="lung")
    assert not [trouble for trouble in look_over(own).troubles if "--series" in trouble.says]


@pytest.mark.parametrize("name", ["", " "])
def test_weights_without_a_name_are_one_line(name):
    with pytest.raises(UserError, match="--weights is empty"):
        choose_weights(name)


def test_an_empty_choice_of_a_series_is_one_line(tmp_path):
    with pytest.raises(UserError, match="--series is empty"):
        read_scan(series(tmp_path / "s"), series=" ")


@pytest.mark.parametrize("odd", [
    dict(window=(1e6, 1500)), dict(window=(-1e6, 1500)), dict(window=(0, 1e9)), dict(window=(0, float("inf"))),
    dict(window=(0, 0)), dict(window=(0, -400)), dict(window=(float("nan"), 400)), dict(window=(9000, 400)),
    dict(mean=(7, 7, 7)), dict(mean=(-1, 0, 0)), dict(std=(50, 50, 50)), dict(std=(0.2, 0.2, -0.2)),
])  # fmt: skip
def test_weights_that_would_see_a_ct_in_one_grey_are_refused(odd):
    with pytest.raises(UserError, match="Preprocessing: .*(window|single grey|no greys|std)"):
        Preprocessing(**odd)


def test_windows_that_radiologists_use_are_taken():
    for window in (LUNG, (40, 80), (-600, 1700), (400, 4000), (0, 65536), (3000, 1000)):
        assert Preprocessing(window=window).window == Window(*window)
