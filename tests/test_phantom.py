"""The phantom: reproducible, anatomically sane, and written so that the real sets' readers would take it."""

import numpy as np
import pytest
from phantom_files import write_phantoms

from covidseg.errors import UserError
from covidseg.phantom.anatomy import draw_patient
from covidseg.phantom.chest import phantom_slice, phantom_volume
from covidseg.phantom.lesions import draw_disease
from covidseg.phantom.render import Frame, Kernel, scan
from covidseg.phantom.surroundings import HIGHEST, LOWEST

SEEDS = range(40, 52)


@pytest.fixture(scope="module")
def slices():
    return [phantom_slice(s, size=128, view="body") for s in SEEDS]


def infection(phantom):
    return (phantom.labels == 1) | (phantom.labels == 2)


def test_the_same_seed_draws_the_same_slice_and_another_seed_another():
    first, again, other = (phantom_slice(s, size=96) for s in (3, 3, 4))
    assert np.array_equal(first.hu, again.hu) and np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.hu, other.hu)


def test_a_slice_is_hounsfield_units_with_masks_of_its_shape(slices):
    for p in slices:
        assert p.hu.shape == p.labels.shape == p.lung.shape == (128, 128)
        assert p.hu.dtype == np.float32 and p.labels.dtype == p.lung.dtype == np.uint8
        assert p.hu.min() >= -1024 and p.hu.max() <= 3071
        assert len(p.spacing) == 2 and all(0.5 < s < 6 for s in p.spacing)


def test_healthy_lung_is_air_and_ground_glass_lies_between_it_and_consolidation(slices):
    def mean(keep):
        return np.mean(np.concatenate([p.hu[keep(p)] for p in slices]))

    healthy = mean(lambda p: (p.lung == 1) & (p.labels == 0))
    glass, solid = mean(lambda p: p.labels == 1), mean(lambda p: p.labels == 2)
    assert -900 < healthy < -740
    assert -620 < glass < -330
    assert glass + 150 < solid < 80


def test_the_scanner_adds_the_noise_of_its_kernel_and_a_slice_shows_it(slices):
    grid = np.linspace(-150, 150, 96, dtype=np.float32)
    flat = np.full((96, 96), 40, np.float32)
    for noise in (4.0, 25.0):
        seen = scan(np.random.default_rng(1), flat.copy(), Frame(grid, grid, 5.0), Kernel(0.5, noise))
        assert seen.std() == pytest.approx(noise, rel=0.01) and abs(seen.mean() - 40) < 0.2 * noise
    corners = [p.hu[:10, :10] for p in slices]  # air, the same everywhere but for the noise
    in_the_circle = [corner for corner in corners if corner.max() > -1024]
    assert in_the_circle and min(corner.std() for corner in in_the_circle) > 2


def test_most_patients_are_ill_on_both_sides_and_one_in_seven_on_one_alone():
    lesions = [draw_disease(draw_patient(seed)).lesions for seed in range(60)]
    sides = [{bool(lesion.centre[0] > 0) for lesion in some} for some in lesions if len(some) > 5]
    one = [side for side in sides if len(side) == 1]
    assert len(sides) > 30 and 3 <= len(one) <= len(sides) / 3
    assert {True} in one and {False} in one


def test_infection_lies_in_the_lungs_and_is_asked_for(slices):
    for p in slices:
        assert infection(p).any()
        assert not (infection(p) & (p.lung == 0)).any()
    assert not any(phantom_slice(s, size=96, lesions=False).labels.any() for s in SEEDS)


def test_a_slice_without_lesions_is_denser_nowhere_else():
    """Only the sick pixels differ in their mean: the anatomy does not depend on the disease."""
    sick, well = (phantom_slice(45, 128, lesions, level=0.45, view="body") for lesions in (True, False))
    assert sick.hu[sick.labels > 0].mean() > well.hu[sick.labels > 0].mean() + 100
    far = (sick.lung == 0) & (well.lung == 0)
    assert abs(sick.hu[far].mean() - well.hu[far].mean()) < 10


def test_upright_means_spine_below_and_the_heart_on_the_right_of_the_picture():
    middle = [phantom_slice(s, 128, lesions=False, level=0.3, view="body") for s in range(6)]
    bone = np.mean([p.hu > 200 for p in middle], 0)[:, 50:78]  # vertebra below, breast bone above
    assert bone[64:].sum() > 2 * bone[:64].sum()
    lung = np.sum([p.lung for p in middle], 0)
    assert lung[:, :64].sum() > 1.02 * lung[:, 64:].sum()  # the heart takes from the left lung


def test_slices_of_one_patient_share_their_anatomy():
    a, b = (phantom_slice(s, 96, lesions=False, patient=11, level=0.5, view="lungs") for s in (1, 2))
    other = phantom_slice(1, 96, lesions=False, patient=12, level=0.5, view="lungs")
    assert a.patient == b.patient == "phantom-0011" != other.patient
    overlap = lambda p, q: 2 * (p.lung & q.lung).sum() / (p.lung.sum() + q.lung.sum())  # noqa: E731
    assert overlap(a, b) > overlap(a, other)


def test_lung_area_rises_from_apex_to_the_middle():
    area = [phantom_slice(5, 128, lesions=False, level=t, view="body").lung.mean() for t in (1.0, 0.9, 0.5)]
    assert area[0] < area[1] < area[2]


@pytest.mark.parametrize("level", [LOWEST, -0.3, 1.12, HIGHEST])
def test_below_and_above_the_lungs_there_are_none_and_yet_something_dark(level):
    for seed in range(4):
        shown = phantom_slice(seed, 96, view="whole", level=level)
        assert not shown.lung.any() and not shown.labels.any()
        middle = shown.hu[24:72, 24:72]
        assert (middle > -200).mean() > 0.5
    assert (phantom_slice(1, 96, view="whole", level=1.12).hu[30:66, 30:66] < -700).any()  # the windpipe


def test_a_whole_scan_has_the_lungs_of_the_chest_alone_and_gas_below_them():
    """Between the levels of both, the lungs are those of view "body"."""
    lung, tall = phantom_volume(77, (64, 64, 16), view="whole").lung.any((0, 1)), 16
    assert lung[tall // 2] and not lung[:2].any() and not lung[-2:].any()
    for level in (0.3, 0.6):
        chest, whole = (phantom_slice(3, 96, view=view, level=level, patient=5) for view in ("body", "whole"))
        area = [shown.lung.sum() * np.prod(shown.spacing) for shown in (chest, whole)]
        assert area[1] == pytest.approx(area[0], rel=0.1)
    gas = [(phantom_slice(s, 96, view="whole", level=-0.2).hu[20:76, 20:76] < -800).sum() for s in range(6)]
    assert max(gas) > 20


def test_a_volume_is_continuous_from_slice_to_slice():
    scan = phantom_volume(8, (64, 64, 48))
    assert scan.hu.dtype == np.int16 and scan.hu.shape == scan.labels.shape == scan.lung.shape == (64, 64, 48)
    lung = scan.lung.astype(float)
    near = np.abs(np.diff(lung, axis=2)).sum()
    far = np.abs(lung[..., 12:] - lung[..., :-12]).mean() * np.diff(lung, axis=2).size
    assert near < 0.35 * far
    assert infection(scan).any() and len(scan.spacing) == 3


def test_a_wrong_size_or_view_is_refused_in_one_line():
    with pytest.raises(UserError, match="size=8"):
        phantom_slice(0, size=8)
    with pytest.raises(UserError, match="Did you mean 'lungs'"):
        phantom_slice(0, view="lung")
    with pytest.raises(UserError, match="no volume"):
        phantom_volume(0, (64, 32, 4))
    with pytest.raises(UserError, match="p20"):
        write_phantoms("nowhere", "p21")


@pytest.mark.parametrize("layout, axes", [("p9", "LPS"), ("p20", "LAS"), ("p1110", "RAS")])
def test_written_volumes_turn_back_upright_by_their_affine(tmp_path, layout, axes):
    nibabel = pytest.importorskip("nibabel")
    write_phantoms(tmp_path, layout, n=1, size=48, slices=4, seed=2)
    folders = {"p9": "rp_im", "p20": "COVID-19-CT-Seg_20cases", "p1110": "studies"}
    (path,) = (tmp_path / folders[layout]).rglob("*.nii.gz")
    image, scan = nibabel.load(path), phantom_volume(2, (48, 48, 4))
    assert "".join(nibabel.aff2axcodes(image.affine)) == axes
    assert np.allclose(image.header.get_zooms(), [scan.spacing[k] for k in (1, 0, 2)], rtol=1e-3)
    lps = nibabel.orientations.axcodes2ornt("LPS")
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), lps)
    upright = nibabel.orientations.apply_orientation(np.asarray(image.dataobj), turn).swapaxes(0, 1)
    assert np.array_equal(upright, scan.hu)


def test_ct100_is_a_stack_of_slices_with_four_classes(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    write_phantoms(tmp_path, "ct100", n=3, size=48)
    image, mask = (np.asarray(nibabel.load(tmp_path / f"tr_{k}.nii.gz").dataobj) for k in ("im", "mask"))
    assert image.shape == mask.shape == (48, 48, 3)
    expected = phantom_slice(2, 48, view="body")
    assert np.array_equal(image[..., 2].T, expected.hu) and np.array_equal(mask[..., 2].T, expected.labels)


def test_semiseg_pictures_are_transposed_crops_with_class_numbers(tmp_path):
    image_of = pytest.importorskip("PIL.Image")
    write_phantoms(tmp_path, "semiseg", n=2, size=64)
    train = tmp_path / "Dataset" / "TrainingSet"
    doctor = train / "LungInfection-Train" / "Doctor-label"
    picture, binary, edge = (
        np.asarray(image_of.open(doctor / name)) for name in ("Imgs/0.jpg", "GT/0.png", "Edge/0.png")
    )
    classes = np.asarray(image_of.open(train / "MultiClassInfection-Train" / "GT" / "0.png"))
    assert picture.shape == binary.shape == classes.shape and picture.shape != (64, 64)
    assert set(np.unique(classes)) <= {0, 1, 2} and np.array_equal(classes > 0, binary == 255)
    assert (edge <= binary).all() and 0 < edge.sum() < binary.sum() + 1
    assert (classes > 0).sum() == infection(phantom_slice(0, 64, view="body")).sum()  # the crop loses nothing
    test = tmp_path / "Dataset" / "TestingSet" / "MultiClassInfection-Test"
    assert sorted(p.name for p in test.iterdir()) == ["GT", "GT-1", "GT-2", "Imgs"]


@pytest.mark.mirror
def test_the_authors_weights_take_phantoms_for_patients(mirror):
    """They reach 0.77 on real slices; benchmarks/phantom_realism.py measures more slices and every fold."""
    from covidseg import load_dataset
    from covidseg.papers.miniseg.weights import weights
    from covidseg.training import evaluate

    cases = load_dataset("phantom", split="test", n=8, size=512, seed=7)
    assert evaluate(weights("CT100-1").model, cases, distances=False)["dice"] > 0.75
