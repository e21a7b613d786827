"""Scans in every orientation and every state of disrepair."""

import base64
import gzip
from contextlib import nullcontext
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from covidseg.errors import UserError
from covidseg.scans import upright
from covidseg.scans.read import read_mask, read_scan, write_mask

ALL_CODES = [
    "".join(letters) for axes in permutations(("RL", "AP", "SI")) for letters in product(*axes)
]  # 6 orders x 8 directions


def affine_of(code, spacing=(0.7, 0.8, 5.0), offset=(-120.0, 80.0, -300.0)):
    """RAS mm of a file whose indices grow towards ``code``."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(code):
        row = "RAS".find(letter) if letter in "RAS" else "LPI".find(letter)
        affine[row, axis] = spacing[axis] * (1 if letter in "RAS" else -1)
    affine[:3, 3] = offset
    return affine


def upright_block():
    """(H, W, D): its values tell row, column and slice; HU so that the intensity is not in doubt."""
    rows, columns, slices = np.meshgrid(np.arange(5), np.arange(4), np.arange(3), indexing="ij")
    return (rows * 100 + columns * 10 + slices - 1000).astype(np.int16)


def stored_as(upright, code):
    """The same body in a file of that orientation, by a search over positions: no function under test is used."""
    kit = {"P": (0, 1), "A": (0, -1), "L": (1, 1), "R": (1, -1), "S": (2, 1), "I": (2, -1)}
    source = [kit[letter] for letter in code]
    array = np.transpose(upright, [axis for axis, _ in source])
    return array[tuple(slice(None, None, sign) for _, sign in source)]


def save(path, array, affine=None, **header):
    image = nib.Nifti1Image(np.ascontiguousarray(array), affine_of("LPS") if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("code", ALL_CODES)
def test_any_axis_orientation_comes_upright_and_a_mask_goes_back_to_the_voxel_it_came_from(tmp_path, code):
    upright = upright_block()
    path = save(tmp_path / "scan.nii.gz", stored_as(upright, code), affine_of(code))
    scan = read_scan(path)
    assert np.array_equal(scan.voxels, upright) and scan.intensity == "HU"
    lengths = dict(zip([{"A": "P", "R": "L", "I": "S"}.get(c, c) for c in code], (0.7, 0.8, 5.0), strict=True))
    assert np.allclose(scan.spacing, [lengths[c] for c in "PLS"])

    mask = (upright == upright[3, 1, 2]).astype(np.uint8) * 2
    out = nib.load(write_mask(tmp_path / "mask.nii.gz", mask, scan))
    original = nib.load(path)
    assert out.shape == original.shape and np.allclose(out.affine, original.affine)
    assert out.get_data_dtype() == np.uint8 and out.header["sform_code"] == original.header["sform_code"]
    assert np.array_equal(np.asarray(out.dataobj) == 2, np.asarray(original.dataobj) == upright[3, 1, 2])
    assert np.array_equal(read_mask(tmp_path / "mask.nii.gz", scan), mask)


def test_an_oblique_affine_is_turned_by_its_nearest_axes(tmp_path):
    angle = np.deg2rad(20)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    upright = upright_block()
    affine = tilt @ affine_of("RPI")
    scan = read_scan(save(tmp_path / "s.nii.gz", stored_as(upright, "RPI"), affine))
    assert np.array_equal(scan.voxels, upright)
    assert np.allclose(nib.load(write_mask(tmp_path / "m.nii.gz", upright * 0, scan)).affine, affine, atol=1e-4)


@pytest.mark.parametrize("bad", ["RAX", "RA", "RLS", ""])
def test_a_wrong_orientation_code_is_explained(bad):
    with pytest.raises(UserError, match="three letters"):
        upright.axes_from_code(bad)


def body(upside_down=False, couch=True, spine=True):
    """A crude slice stack: chest on a couch, lungs, spine; grey 0..255."""
    y, x = np.mgrid[0:128, 0:128]
    slice_ = np.zeros((128, 128), np.uint8)
    slice_[((y - 60) / 40) ** 2 + ((x - 64) / 55) ** 2 < 1] = 180
    for side in (40, 88):
        slice_[((y - 58) / 26) ** 2 + ((x - side) / 17) ** 2 < 1] = 20
    if spine:
        slice_[((y - 88) / 9) ** 2 + ((x - 64) / 9) ** 2 < 1] = 250
    if couch:
        slice_[(abs(y - 108) < 3) & (abs(x - 64) < 50)] = 200
    stack = np.repeat(slice_[:, :, None], 4, axis=2)
    return stack[::-1, ::-1] if upside_down else stack


@pytest.mark.parametrize("code", ["LPS", "RAS"])
def test_a_bare_diagonal_affine_is_not_trusted_couch_and_spine_decide(tmp_path, code):
    path = save(tmp_path / "s.nii.gz", stored_as(body(), code), np.diag([0.7, 0.7, 5.0, 1.0]))
    scan = read_scan(path)
    assert np.array_equal(scan.voxels, body())
    assert any(code in note for note in scan.notes)
    assert np.array_equal(read_scan(path, orientation=code).voxels, body())


def test_couch_and_spine_say_nothing_about_an_empty_picture():
    assert upright.looks_upright(np.zeros((64, 64, 3)), 0, 255) == 0
    assert upright.looks_upright(body(), 0, 255) == 1
    assert upright.looks_upright(body(upside_down=True), 0, 255) == -1


def test_couch_and_spine_each_decide_alone_and_against_each_other_neither():
    for signs in ({"spine": False}, {"couch": False}):
        assert upright.looks_upright(body(**signs), 0, 255) == 1
        assert upright.looks_upright(body(upside_down=True, **signs), 0, 255) == -1
    split = body(couch=False)
    split[10:15, 14:114] = 200  # a couch above the patient, the spine below
    assert upright.looks_upright(split, 0, 255) == 0
    assert upright.looks_upright(body(couch=False, spine=False), 0, 255) == 0


@pytest.mark.mirror
def test_real_volumes_with_a_wrong_affine_are_transposed_upright(mirror):
    path = mirror / "p9/rp_im/2.nii.gz"
    stored = np.asanyarray(nib.load(path).dataobj)
    scan = read_scan(path)
    assert np.array_equal(scan.voxels, stored.transpose(1, 0, 2))
    assert (scan.intensity, scan.voxels.dtype) == ("grey", np.uint8)


# --------------------------------------------------------------------------------------------------------- intensity


@pytest.mark.parametrize(
    "values, dtype, expected, voxels",
    [
        ((-1000, 40), np.int16, "HU", (-1000, 40)),
        ((0, 255), np.uint8, "grey", (0, 255)),
        ((0.0, 1.0), np.float32, "grey", (0, 255)),
        ((0, 200), np.int16, "grey", (0, 200)),
    ],
)
def test_the_rules_tell_hu_from_grey(tmp_path, values, dtype, expected, voxels):
    scan = read_scan(save(tmp_path / "s.nii", np.array(values, dtype).reshape(2, 1, 1)))
    assert scan.intensity == expected
    assert sorted(scan.volume().ravel().tolist()) == sorted(voxels)


@pytest.mark.parametrize("values", [(0, 3071), (-150, 240)])
def test_ambiguous_numbers_are_refused_until_the_user_says_what_they_are(tmp_path, values):
    path = save(tmp_path / "s.nii", np.array(values, np.int16).reshape(2, 1, 1))
    with pytest.raises(UserError, match=r"s\.nii holds .*--intensity HU\+1024") as error:
        read_scan(path)
    one_line(error)
    assert sorted(read_scan(path, intensity="HU+1024").volume().ravel()) == [v - 1024 for v in values]
    assert read_scan(path, intensity="HU").volume().max() == values[1]


def test_scale_slope_and_intercept_of_the_header_are_applied(tmp_path):
    path = save(tmp_path / "s.nii", np.array([0, 1064], np.int16).reshape(2, 1, 1))
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([1, -1024], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(data)
    scan = read_scan(path)
    assert scan.voxels.dtype == np.int16 and sorted(scan.voxels.ravel()) == [-1024, 40]
    back = nib.load(write_mask(tmp_path / "m.nii", np.ones(scan.shape, np.uint8), scan))
    assert np.asarray(back.dataobj).tolist() == [[[1]], [[1]]]  # the scan's intercept must not reach the mask


def noise(low, high, dtype, size=(20, 20, 4)):
    return np.random.default_rng(0).uniform(low, high, size).astype(dtype)


@pytest.mark.parametrize(
    "array, says",
    [
        (noise(0, 18.7, np.float32), "such as PET"),
        (noise(0, 2, np.uint8), "that is a mask"),
        (noise(0, 1, np.float32).round() * 255, "0 and 255 alone: that is a mask"),
        (noise(0, 30, np.int16), "grey levels, which reach 255"),
        (noise(0, 1500, np.int16), "other images than CT"),
    ],
)
def test_numbers_that_are_neither_hu_nor_grey_are_no_scan(tmp_path, array, says):
    with pytest.raises(UserError, match=says) as error:
        read_scan(save(tmp_path / "s.nii", array))
    assert "s.nii" in one_line(error)


@pytest.mark.parametrize("intensity, values", [("grey", (-5, 200)), ("grey", (0, 300)), ("HU", (0, 90000))])
def test_values_outside_the_declared_range_are_refused(tmp_path, intensity, values):
    with pytest.raises(UserError, match=f"which is not {intensity}"):
        read_scan(save(tmp_path / "s.nii", np.array(values, np.int32).reshape(2, 1, 1)), intensity=intensity)


def test_hu_without_air_is_warned_of(tmp_path):
    path = save(tmp_path / "s.nii", noise(-100, 300, np.int16))
    assert "no lung" in read_scan(path, intensity="HU").warnings[0]
    assert not read_scan(save(tmp_path / "t.nii", noise(-1000, 300, np.int16))).warnings


@pytest.mark.parametrize("unit, mm", [("mm", 1), ("unknown", 1), ("meter", 1000), ("micron", 0.001)])
def test_steps_in_other_units_become_mm(tmp_path, unit, mm):
    image = nib.Nifti1Image(noise(-1000, 300, np.int16), affine_of("LPS"))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "s.nii")
    scan = read_scan(tmp_path / "s.nii")
    assert np.allclose(scan.spacing, np.array([0.8, 0.7, 5.0]) * mm)
    assert scan.voxel_mm3 == pytest.approx(0.7 * 0.8 * 5 * mm**3) and (mm == 1) == (
        not any("steps" in n for n in scan.notes)
    )


def test_no_free_text_of_the_scan_reaches_the_mask(tmp_path):
    image = nib.Nifti1Image(noise(-1000, 300, np.int16), affine_of("LPS"))
    image.header["descrip"], image.header["aux_file"], image.header["intent_name"] = b"Doe^Jane", b"Doe", b"Doe"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"PatientName=Doe^Jane"))
    nib.save(image, tmp_path / "s.nii")
    scan = read_scan(tmp_path / "s.nii")
    out = write_mask(tmp_path / "m.nii", np.zeros(scan.shape), scan)
    assert b"Doe" in (tmp_path / "s.nii").read_bytes() and b"Doe" not in out.read_bytes()
    assert np.allclose(nib.load(out).affine, image.affine)


# ------------------------------------------------------------------------------------------------------ broken files


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.nii.gz does not exist"):
        read_scan(tmp_path / "nowhere.nii.gz")


def test_a_volume_in_time_is_refused_but_a_trailing_one_is_dropped(tmp_path):
    with pytest.raises(UserError, match="4-D") as error:
        read_scan(save(tmp_path / "t.nii", np.zeros((3, 3, 2, 2), np.int16) - 1000))
    assert "t.nii" in one_line(error)
    scan = read_scan(save(tmp_path / "u.nii", np.zeros((3, 3, 2, 1), np.int16) - 1000))
    assert scan.shape == (3, 3, 2)
    assert nib.load(write_mask(tmp_path / "m.nii", np.zeros((3, 3, 2)), scan)).shape == (3, 3, 2, 1)


def test_a_single_slice_nifti_keeps_its_two_dimensions(tmp_path):
    scan = read_scan(save(tmp_path / "s.nii", np.full((6, 5), -900, np.int16)))
    assert scan.shape == (5, 6, 1)
    assert nib.load(write_mask(tmp_path / "m.nii", np.ones((5, 6)), scan)).shape == (6, 5)


def test_nan_voxels_are_counted_and_located_unless_a_filling_is_given(tmp_path):
    array = np.full((3, 3, 2), -900, np.float32)
    array[1, 2, 0] = np.nan
    path = save(tmp_path / "s.nii", array)
    with pytest.raises(UserError, match=r"1 of 18 voxels are NaN.*\(1, 2, 0\).*--fill -1024") as error:
        read_scan(path)
    one_line(error)
    assert read_scan(path, fill=-1024).volume().min() == -1024


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_cut_off_gzip_is_one_line(tmp_path, keep):
    path = save(tmp_path / "s.nii.gz", np.random.default_rng(0).integers(-1000, 0, (40, 40, 9)).astype(np.int16))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(UserError, match=r"s\.nii\.gz") as error:
        read_scan(path)
    one_line(error)


def test_a_cut_off_plain_nifti_is_one_line(tmp_path):
    path = save(tmp_path / "s.nii", np.full((9, 9, 9), -900, np.int16))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(UserError, match=r"s\.nii cannot be read|cut off") as error:
        read_scan(path)
    one_line(error)


@pytest.mark.parametrize("name", ["notes.nii.gz", "notes.nii", "notes.png", "notes.npy", "notes.dcm", "notes"])
def test_a_text_file_under_a_scans_name_is_one_line(tmp_path, name):
    (tmp_path / name).write_text("see attached\n" * 50)
    with pytest.raises(UserError, match="notes") as error:
        read_scan(tmp_path / name)
    one_line(error)


def test_a_gzipped_text_file_is_one_line(tmp_path):
    (tmp_path / "n.nii.gz").write_bytes(gzip.compress(b"see attached\n" * 100))
    with pytest.raises(UserError, match=r"n\.nii\.gz") as error:
        read_scan(tmp_path / "n.nii.gz")
    one_line(error)


def test_colour_voxels_are_refused(tmp_path):
    rgb = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, np.eye(4)), tmp_path / "c.nii")
    with pytest.raises(UserError, match="colour"):
        read_scan(tmp_path / "c.nii")


def test_an_empty_folder_and_a_folder_of_folders_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="folder without files"):
        read_scan(tmp_path)
    (tmp_path / "series1").mkdir()
    with pytest.raises(UserError, match="series1; name one"):
        read_scan(tmp_path)


def test_a_folder_of_several_volumes_asks_for_one_and_a_single_one_is_read(tmp_path):
    save(tmp_path / "a.nii", np.full((2, 2, 2), -900, np.int16))
    assert read_scan(tmp_path).shape == (2, 2, 2)
    save(tmp_path / "b.nii", np.full((2, 2, 2), -900, np.int16))
    with pytest.raises(UserError, match=r"2 scans \(a\.nii, b\.nii"):
        read_scan(tmp_path)


# ----------------------------------------------------------------------------------------------------------- masks


def test_a_mask_of_another_shape_names_both(tmp_path):
    scan = read_scan(save(tmp_path / "s.nii", np.full((4, 3, 2), -900, np.int16)))
    save(tmp_path / "m.nii", np.zeros((4, 3, 3), np.uint8))
    with pytest.raises(UserError, match=r"m\.nii is \(4, 3, 3\).*s\.nii is \(4, 3, 2\)") as error:
        read_mask(tmp_path / "m.nii", scan)
    one_line(error)


def reoriented(array, affine, code):
    """The same body stored along other axes, by nibabel: its affine is changed with it."""
    image = nib.Nifti1Image(np.ascontiguousarray(array), affine)
    own, due = (nib.orientations.axcodes2ornt(letters) for letters in (nib.aff2axcodes(affine), code))
    return image.as_reoriented(nib.orientations.ornt_transform(own, due))


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("code", ALL_CODES)
def test_a_mask_lies_where_its_affine_says_in_all_48_orders(tmp_path, code, oblique):
    affine, labels = affine_of("LPS"), (upright_block() % 4).astype(np.uint8)
    if oblique:
        angle = np.deg2rad(17)
        affine[:3, :3] = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]] @ affine[
            :3, :3
        ]
    scan = read_scan(save(tmp_path / "s.nii", stored_as(upright_block(), "LPS"), affine))
    nib.save(reoriented(stored_as(labels, "LPS"), affine, code), tmp_path / "m.nii")
    notes = []
    assert np.array_equal(read_mask(tmp_path / "m.nii", scan, notes=notes), labels) and not notes


def test_a_mask_of_a_scan_with_a_bare_diagonal_lies_by_the_affines_not_by_the_picture(tmp_path):
    affine = np.diag([0.7, 0.8, 5.0, 1.0])
    scan = read_scan(save(tmp_path / "s.nii", stored_as(body(), "LPS"), affine))  # the picture says LPS, the affine RAS
    labels = (body() > 200).astype(np.uint8)
    for code in ("RAS", "LPS", "SAL"):
        nib.save(reoriented(stored_as(labels, "LPS"), affine, code), tmp_path / "m.nii")
        assert np.array_equal(read_mask(tmp_path / "m.nii", scan), labels)


def moved(affine, by):
    return np.block([[affine[:3, :3], (affine[:3, 3] + by)[:, None]], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda a: a @ np.diag([1.3, 1.3, 1.3, 1]), "its steps are 0.91 x 1.04 x 6.50 mm"),
        (lambda a: moved(a, [0, 0, 60]), "60.0 mm away"),
        (lambda a: moved(a, a[:3, 0] / 2), "away"),  # half a voxel
        (lambda a: a @ np.array([[0.98, -0.17, 0, 0], [0.17, 0.98, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "does not lie"),
    ],
)
def test_a_mask_on_another_grid_is_refused_or_resampled_on_request(tmp_path, change, says):
    scan = read_scan(save(tmp_path / "s.nii", stored_as(upright_block(), "LPS"), affine_of("LPS")))
    save(tmp_path / "m.nii", np.ones((4, 5, 3), np.uint8), change(affine_of("LPS")))
    with pytest.raises(UserError, match="--resample-mask") as error:
        read_mask(tmp_path / "m.nii", scan)
    assert says in one_line(error)
    notes = []
    assert read_mask(tmp_path / "m.nii", scan, resample=True, notes=notes).shape == scan.shape
    assert "nearest voxel" in notes[0]


def test_a_resampled_mask_takes_the_nearest_voxel(tmp_path):
    scan = read_scan(save(tmp_path / "s.nii", stored_as(upright_block(), "LPS"), affine_of("LPS")))
    coarse = np.zeros((2, 5, 3), np.uint8)
    coarse[1, 2, 1] = 1  # its one voxel covers columns 2 and 3
    affine = affine_of("LPS") @ np.array([[2, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    save(tmp_path / "m.nii", coarse, affine)
    assert np.argwhere(read_mask(tmp_path / "m.nii", scan, resample=True)).tolist() == [[2, 2, 1], [2, 3, 1]]


@pytest.mark.parametrize("affine", [np.diag([0.7, 0.8, 5.0, 1.0]), np.eye(4)])
def test_a_mask_that_lost_its_orientation_is_laid_as_stored_with_a_note(tmp_path, affine):
    labels = (upright_block() % 4).astype(np.uint8)
    scan = read_scan(save(tmp_path / "s.nii", stored_as(upright_block(), "LPS"), affine_of("LPS")))
    save(tmp_path / "m.nii", stored_as(labels, "LPS"), affine)
    notes = []
    assert np.array_equal(read_mask(tmp_path / "m.nii", scan, notes=notes), labels)
    assert "lost its orientation" in notes[0]
    save(tmp_path / "m.nii", stored_as(labels, "LPS"), np.diag([0.9, 0.9, 5.0, 1.0]))  # other steps: another grid
    with pytest.raises(UserError, match="its steps are"):
        read_mask(tmp_path / "m.nii", scan)


def test_an_array_as_mask_is_upright_as_it_was_written(tmp_path):
    labels = (upright_block() % 4).astype(np.uint8)[:4]
    scan = read_scan(save(tmp_path / "s.nii", stored_as(upright_block()[:4], "LPS"), affine_of("LPS")))  # square
    write_mask(tmp_path / "m.npy", labels, scan)
    assert np.array_equal(read_mask(tmp_path / "m.npy", scan), labels)


@pytest.mark.parametrize(
    "value, says",
    [(0, "marks no lung"), (np.nan, "nan"), (1e-7, "1e-07"), (-1, "-1"), ("many", "0, 1, 2, 3, 4, 5, ...")],
)
def test_a_lung_mask_that_is_none_is_refused(tmp_path, value, says):
    array = np.ones((4, 5, 3), np.float32) if value != 0 else np.zeros((4, 5, 3), np.float32)
    array[0] = np.arange(15).reshape(5, 3) if value == "many" else value
    scan = read_scan(save(tmp_path / "s.nii", stored_as(upright_block(), "LPS"), affine_of("LPS")))
    with pytest.raises(UserError) as error:
        read_mask(save(tmp_path / "m.nii", array, affine_of("LPS")), scan, lung=True)
    assert says in one_line(error) and "m.nii" in one_line(error)


def test_the_lobes_of_a_lung_mask_are_all_lung(tmp_path):
    scan = read_scan(save(tmp_path / "s.nii", np.full((4, 3, 2), -900, np.int16)))
    save(tmp_path / "m.nii", np.arange(24).reshape(4, 3, 2).astype(np.uint8) % 6)
    assert read_mask(tmp_path / "m.nii", scan, lung=True).sum() == 20


@pytest.mark.parametrize(
    "values, accepted", [((0, 255), [0, 1]), ((0, 1, 2, 3), [0, 1, 2, 3]), ((0, 7), None), ((0, 0.5), None)]
)
def test_mask_values_are_classes_or_0_and_255(tmp_path, values, accepted):
    array = np.array(values).reshape(-1, 1, 1).astype(np.float32 if 0.5 in values else np.uint8)
    scan = read_scan(save(tmp_path / "s.nii", np.full(array.shape, -900, np.int16)))
    save(tmp_path / "m.nii", array)
    if accepted is None:
        with pytest.raises(UserError, match=r"m\.nii is no mask of classes"):
            read_mask(tmp_path / "m.nii", scan)
        whole = 0.5 not in values
        with nullcontext() if whole else pytest.raises(UserError, match="is no lung mask: it holds 0, 0.5"):
            assert read_mask(tmp_path / "m.nii", scan, lung=True).max() == 1
    else:
        assert np.unique(read_mask(tmp_path / "m.nii", scan)).tolist() == accepted


def test_write_mask_refuses_another_shape_another_suffix_and_a_place_it_cannot_write(tmp_path):
    scan = read_scan(save(tmp_path / "s.nii", np.full((4, 3, 2), -900, np.int16)))
    with pytest.raises(UserError, match="nothing was written"):
        write_mask(tmp_path / "m.nii", np.zeros((4, 3, 2)), scan)  # upright is (3, 4, 2)
    with pytest.raises(UserError, match=r"\.nii\.gz, \.nii, \.png or \.npy"):
        write_mask(tmp_path / "m.tif", np.zeros(scan.shape), scan)
    with pytest.raises(UserError, match="one slice"):
        write_mask(tmp_path / "m.png", np.zeros(scan.shape), scan)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_mask(tmp_path / "file" / "m.nii", np.zeros(scan.shape), scan)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "s.nii"]  # nothing half-written stays


# -------------------------------------------------------------------------------------------------------- pictures


def test_pictures_and_arrays_are_upright_as_they_are(tmp_path):
    from PIL import Image

    grey = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(tmp_path / "rgb.png")
    np.save(tmp_path / "hu.npy", grey.astype(np.int16) - 1000)
    assert np.array_equal(read_scan(tmp_path / "a.png").voxels[:, :, 0], grey)
    assert np.array_equal(read_scan(tmp_path / "rgb.png").voxels[:, :, 0], grey)
    hu = read_scan(tmp_path / "hu.npy")
    assert hu.intensity == "HU" and hu.shape == (6, 9, 1) and np.isnan(hu.spacing).all()


def test_a_folder_of_pictures_is_stacked_in_the_order_of_its_numbers(tmp_path):
    from PIL import Image

    for n in (2, 10, 1):
        Image.fromarray(np.full((4, 5), n, np.uint8)).save(tmp_path / f"slice_{n}.png")
    assert read_scan(tmp_path).voxels[0, 0].tolist() == [1, 2, 10]
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "slice_3.png")
    with pytest.raises(UserError, match=r"slice_3\.png is \(4, 4\)"):
        read_scan(tmp_path)


def test_a_mask_picture_can_be_seen_and_still_holds_class_numbers(tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "s.png")
    scan = read_scan(tmp_path / "s.png")
    mask = np.array([[0, 1, 2, 3]] * 3, np.uint8)
    write_mask(tmp_path / "m.png", mask, scan)
    picture = Image.open(tmp_path / "m.png")
    assert np.array_equal(np.asarray(picture), mask)
    assert np.asarray(picture.convert("RGB")).max() > 200  # "the prediction is all black" was a frequent question
    assert np.array_equal(read_mask(tmp_path / "m.png", scan)[:, :, 0], mask)


# ----------------------------------------------------------------------------------------------------------- DICOM


def write_series(folder, positions, *, series="1.2.3", number=4, modality="CT", shuffle=True, thickness=5.0, **extra):
    """One small CT series; slice at height z holds HU z + row, so that order and rescale can be checked."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir(exist_ok=True)
    names = np.random.default_rng(1).permutation(len(positions)) if shuffle else range(len(positions))
    for name, z in zip(names, positions, strict=True):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = f"{series}.{name}.1"
        d = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        d.SOPClassUID, d.SOPInstanceUID, d.SeriesInstanceUID = CTImageStorage, f"{series}.{name}.1", series
        d.Modality, d.SeriesNumber, d.SeriesDescription = modality, number, f"lung {number}"
        d.Rows, d.Columns, d.BitsAllocated, d.BitsStored, d.HighBit = 3, 4, 16, 16, 15
        d.PixelRepresentation, d.SamplesPerPixel, d.PhotometricInterpretation = 0, 1, "MONOCHROME2"
        d.RescaleSlope, d.RescaleIntercept = 1, -1024
        d.PixelSpacing, d.SliceThickness = [0.7, 0.8], thickness
        d.ImageOrientationPatient, d.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-100, -90, z]
        for key, value in extra.items():
            setattr(d, key, value)
        rows = np.arange(3, dtype=np.uint16)[:, None] + np.zeros((1, 4), np.uint16)
        d.PixelData = (rows + np.uint16(1024 + z)).tobytes()
        pydicom.dcmwrite(folder / f"{series}_IM{name:03d}", d, enforce_file_format=True)
    return folder


def test_a_dicom_series_is_sorted_by_position_and_given_in_hu(tmp_path):
    scan = read_scan(write_series(tmp_path / "s", [-10, -5, 0, 5, 10]))
    assert (scan.intensity, scan.shape, scan.voxels.dtype) == ("HU", (3, 4, 5), np.int16)
    assert scan.voxels[0, 0].tolist() == [-10, -5, 0, 5, 10]  # from the feet up
    assert scan.voxels[:, 0, 0].tolist() == [-10, -9, -8]  # DICOM rows run from front to back
    assert np.allclose(scan.spacing, (0.7, 0.8, 5.0))

    mask = (scan.voxels == 5).astype(np.uint8)
    out = nib.load(write_mask(tmp_path / "m.nii.gz", mask, scan))
    i, j, k = np.argwhere(np.asarray(out.dataobj) == 1)[0]
    assert np.allclose(out.affine @ [i, j, k, 1], [100 - 0.8 * i, 90 - 0.7 * j, 5, 1])  # LPS -> RAS
    assert np.array_equal(read_mask(tmp_path / "m.nii.gz", scan), mask)


def test_a_lost_slice_is_found_by_its_gap(tmp_path):
    with pytest.raises(UserError, match=r"missing.*10\.00 mm apart.*5\.00 mm") as error:
        read_scan(write_series(tmp_path / "s", [-10, -5, 0, 10, 15]))
    one_line(error)


def test_a_doubled_slice_is_named(tmp_path):
    with pytest.raises(UserError, match="same place"):
        read_scan(write_series(tmp_path / "s", [-10, -5, -5, 0], shuffle=False))


def test_two_series_in_one_folder_are_listed_and_one_can_be_chosen(tmp_path):
    write_series(tmp_path / "s", [0, 5, 10], series="1.2.3", number=2)
    write_series(tmp_path / "s", [0, 1, 2, 3], series="1.2.4", number=7)
    with pytest.raises(UserError, match=r"2 series: number 2, lung 2, 3 files; number 7, lung 7, 4 files") as error:
        read_scan(tmp_path / "s")
    one_line(error)
    assert read_scan(tmp_path / "s", series="lung 7").shape[2] == 4
    with pytest.raises(UserError, match="no series matches 'bone'"):
        read_scan(tmp_path / "s", series="bone")


def test_what_is_not_ct_and_what_has_no_place_is_refused(tmp_path):
    with pytest.raises(UserError, match="is MR, not CT"):
        read_scan(write_series(tmp_path / "mr", [0, 5], modality="MR"))
    with pytest.raises(UserError, match="has no ImagePositionPatient"):
        read_scan(write_series(tmp_path / "lost", [0, 5], ImagePositionPatient=None))
    with pytest.raises(UserError, match="multi-frame"):
        read_scan(write_series(tmp_path / "multi", [0], NumberOfFrames=12))


def test_cut_off_pixels_are_one_line(tmp_path):
    folder = write_series(tmp_path / "s", [0, 5], shuffle=False)
    file = sorted(folder.iterdir())[0]
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match="pixels cannot be read") as error:
        read_scan(folder)
    one_line(error)


def test_one_dicom_file_is_one_slice(tmp_path):
    folder = write_series(tmp_path / "s", [0])
    assert read_scan(next(folder.iterdir())).shape == (3, 4, 1)


@pytest.mark.parametrize(
    "tag, values, says",
    [
        ("PixelSpacing", [[0.7, 0.8], [1.0, 1.2]], r"differ in pixel spacing.*\(0\.7, 0\.8\).*\(1\.0, 1\.2\)"),
        ("ImageOrientationPatient", [[1, 0, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0]], "differ in direction"),
        ("ImagePositionPatient", [[-100, -90], [-75, -90]], "jumps sideways between .*IM002 and .*IM003"),
        ("RescaleSlope", [1, None], "no rescale slope and intercept, though other slices do"),
    ],
)
def test_dicom_slices_that_differ_are_refused_by_name(tmp_path, tag, values, says):
    pydicom = pytest.importorskip("pydicom")
    folder = write_series(tmp_path / "s", [0, 5, 10, 15, 20, 25], shuffle=False)
    for k, file in enumerate(sorted(folder.iterdir())):
        d = pydicom.dcmread(file)
        value = values[k >= 3]
        setattr(d, tag, [*value, 5 * k] if tag == "ImagePositionPatient" else value)
        d.save_as(file)
    with pytest.raises(UserError, match=says) as error:
        read_scan(folder)
    one_line(error)


def test_a_tilted_gantry_is_told_and_its_volume_is_the_determinants(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    folder = write_series(tmp_path / "s", [0, 5, 10], shuffle=False)
    for k, file in enumerate(sorted(folder.iterdir())):
        d = pydicom.dcmread(file)
        d.ImagePositionPatient = [-100, -90 + 2 * k, 5 * k]
        d.save_as(file)
    scan = read_scan(folder)
    assert any("21.8 degrees" in note for note in scan.notes)  # atan(2 / 5)
    assert scan.voxel_mm3 == pytest.approx(0.7 * 0.8 * 5) and scan.spacing[2] == pytest.approx(29**0.5)


def test_numbers_without_a_rescale_are_hu_only_where_they_can_be(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    for name, representation, add in (("unsigned", 0, 0), ("signed", 1, -1024)):
        folder = write_series(tmp_path / name, [-1000, 400], shuffle=False)
        for file in folder.iterdir():
            d = pydicom.dcmread(file)
            del d.RescaleSlope, d.RescaleIntercept
            d.PixelRepresentation = representation
            d.PixelData = (np.frombuffer(d.PixelData, np.uint16).astype(np.int16) + np.int16(add)).tobytes()
            d.save_as(file)
    with pytest.raises(UserError, match=r"--intensity HU\+1024"):
        read_scan(tmp_path / "unsigned")
    said = read_scan(tmp_path / "unsigned", intensity="HU+1024")
    assert (said.voxels.max(), said.intensity) == (402, "HU") and not any("rescale" in w for w in said.warnings)
    guessed = read_scan(tmp_path / "signed")
    assert (guessed.intensity, guessed.voxels.max()) == ("HU", 402)
    assert any("no rescale" in warning for warning in guessed.warnings)


def test_rescaled_numbers_never_wrap_round(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    folder = write_series(tmp_path / "s", [0], RescaleIntercept=0)
    file = next(folder.iterdir())
    d = pydicom.dcmread(file)
    d.PixelData = np.full((3, 4), 60000, np.uint16).tobytes()
    d.save_as(file)
    with pytest.raises(UserError, match="60000, which is not HU"):
        read_scan(folder)


@pytest.mark.parametrize("spoil, says", [
    (lambda file: file.write_bytes(b""), "is empty"),
    (lambda file: file.write_bytes(b"see attached"), "is no DICOM file"),
    (lambda file: file.write_bytes(file.read_bytes()[:400]), "cut off|damaged"),
])  # fmt: skip
def test_an_unreadable_file_of_a_series_is_named_wherever_it_lies(tmp_path, spoil, says):
    folder = write_series(tmp_path / "s", [0, 5, 10, 15], shuffle=False)
    (folder / "README.txt").write_text("not part of the series")
    assert read_scan(folder).shape[2] == 4
    last = sorted(p for p in folder.iterdir() if p.suffix != ".txt")[-1]
    spoil(last)
    with pytest.raises(UserError, match=says) as error:
        read_scan(folder)
    assert last.name in one_line(error)


def test_a_localizer_beside_a_series_is_left_out_and_told(tmp_path):
    folder = write_series(tmp_path / "s", [0, 5, 10])
    write_series(folder, [7], series="1.2.9", number=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    scan = read_scan(folder)
    assert scan.shape[2] == 3 and scan.notes == ("1 localizer image(s) left out",)


# The slices of write_series at 0, 5 and 10 mm as GDCM packs them; the two processes of lossless JPEG share a stream.
JPEG = [
    f"/9j/wwALEAADAAQBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAAAAEP/9oACAEBAAEAAM{end}"
    for end in ("D/AMUUf//ZAA==", "EBBRR//9k=", "ECRRR//9k=")
]
JPEG_LS = [
    f"/9j/9wALEAADAAQBAREA//gADQH//wASAEMBFABA/9oACAEBAAAA{end}"
    for end in ("AD/8AIAgCAUAIAgCAUAgEAD/2Q==", "ABAmAEAQBAKAEAQBAKAQCAD/2Q==", "ABBOAEAQBAKAEAQBAKAQCAD/2Q==")
]
PACKED = {"JPEGLossless": JPEG, "JPEGLosslessSV1": JPEG, "JPEGLSLossless": JPEG_LS}


def packed_series(folder, syntax):
    """The series as archives keep it."""
    import pydicom
    from pydicom.encaps import encapsulate

    files = sorted(write_series(folder, [0, 5, 10], shuffle=False).iterdir())
    for file, stream in zip(files, PACKED[syntax], strict=True):
        d = pydicom.dcmread(file)
        d.PixelData = encapsulate([base64.b64decode(stream)])
        d["PixelData"].is_undefined_length = True
        d.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
        d.save_as(file)
    return folder


@pytest.mark.parametrize("syntax", PACKED)
def test_losslessly_packed_slices_hold_the_numbers_of_plain_ones_and_half_of_one_is_refused(tmp_path, syntax):
    pytest.importorskip("gdcm", reason="python-gdcm is not installed; make installs it")
    plain = read_scan(write_series(tmp_path / "plain", [0, 5, 10]))
    folder = packed_series(tmp_path / "packed", syntax)
    assert np.array_equal(read_scan(folder).voxels, plain.voxels)
    last = sorted(folder.iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-24])
    with pytest.raises(UserError, match=last.name) as error:
        read_scan(folder)
    one_line(error)


def test_a_packing_without_a_decoder_says_what_brings_one(tmp_path, monkeypatch):
    from pydicom.pixels.decoders import JPEGLosslessSV1Decoder

    monkeypatch.setattr(JPEGLosslessSV1Decoder, "_available", {})
    monkeypatch.setattr(JPEGLosslessSV1Decoder, "_unavailable", {"gdcm": ("gdcm>=3.0.10",)})
    with pytest.raises(UserError, match="pip install python-gdcm") as error:
        read_scan(packed_series(tmp_path / "s", "JPEGLosslessSV1"))
    one_line(error)


def test_damaged_headers_are_always_one_line(tmp_path):
    rng = np.random.default_rng(0)
    nifti = save(tmp_path / "s.nii", np.full((5, 4, 3), -900, np.int16))
    series = write_series(tmp_path / "d", [0, 5, 10])
    slice_ = sorted(series.iterdir())[0]
    for file, path, first, last in ((nifti, nifti, 0, 352), (slice_, series, 132, None)):
        whole = file.read_bytes()
        for _ in range(60):
            spoilt = bytearray(whole)
            for at in rng.integers(first, last or len(whole), 4):
                spoilt[at] = rng.integers(0, 256)
            file.write_bytes(spoilt)
            try:
                read_scan(path)
            except UserError as error:
                assert "\n" not in str(error)
