"""Lungs first: the kit's own network finds them, their sides are told apart, and findings stay inside."""

import json
import os

import nibabel
import numpy as np
import pytest

from covidseg.inference import predict
from covidseg.lungs.find import BUNDLED, Lungs, find_lungs, lungs_of
from covidseg.lungs.greys import TISSUE, as_in_the_lung_window, tissue_of
from covidseg.lungs.sides import LEFT, RIGHT, coarse, finer, keep_large, tell_apart
from covidseg.papers.miniseg.weights import BUNDLED as INFECTION
from covidseg.papers.miniseg.weights import weights
from covidseg.phantom import phantom_slice, phantom_volume
from covidseg.scans.segment import segment_scan


def dice(a, b):
    return 2 * (a & b).sum() / max((a.sum() + b.sum()), 1)


@pytest.fixture(scope="module")
def body():
    """From belly to neck, on a square of 128 pixels."""
    return phantom_volume(77, (128, 128, 24), view="whole")


@pytest.fixture
def on_disk(body, tmp_path):
    path = tmp_path / "chest.nii.gz"
    affine = np.diag([-body.spacing[1], body.spacing[0], body.spacing[2], 1])  # column 0 is the patient's right: +x
    affine[:2, :2] = np.diag([-body.spacing[1], -body.spacing[0]])
    nibabel.save(nibabel.Nifti1Image(body.hu.transpose(1, 0, 2), affine), path)
    return path


# ------------------------------------------------------------------------------------------------------- sides


def two_lungs(gap: int = 4) -> np.ndarray:
    mask = np.zeros((40, 60, 5), bool)
    mask[8:32, 6 : 30 - gap // 2] = mask[8:32, 30 + gap - gap // 2 : 54] = True
    return mask


def test_the_right_lung_lies_at_the_first_columns():
    sides, touching = tell_apart(two_lungs())
    assert not touching and set(np.unique(sides[:, :30])) == {0, RIGHT} and set(np.unique(sides[:, 30:])) == {0, LEFT}


def test_a_small_part_belongs_to_the_nearer_lung():
    mask = two_lungs()
    mask[34:36, 8:12], mask[34:36, 48:52] = True, True
    sides, _ = tell_apart(mask)
    assert (sides[34:36, 8:12] == RIGHT).all() and (sides[34:36, 48:52] == LEFT).all()


def test_lungs_that_touch_are_parted_at_the_bridge_and_a_lump_is_not():
    mask = two_lungs()
    mask[10:13, 26:34] = True
    sides, touching = tell_apart(mask)
    assert touching and (sides[20, 6:28] == RIGHT).all() and (sides[20, 32:54] == LEFT).all()
    assert abs(int((sides == RIGHT).sum()) - int((sides == LEFT).sum())) < 0.02 * mask.sum()
    lump, _ = tell_apart(np.pad(np.ones((20, 20, 3), bool), 5))
    assert not (lump == LEFT).any()


def test_islands_go_and_a_coarse_slice_comes_back_where_it_was():
    mask = np.zeros((400, 500, 3), np.uint8)
    mask[100:300, 50:200], mask[10:20, 400:410] = 1, 1
    small = keep_large(coarse(mask))
    back = finer(small[:, :, 1], mask.shape)
    assert back.shape == (400, 500) and not back[:40, 380:].any()
    assert dice(back, mask[:, :, 1] * (np.arange(500) < 300) > 0) > 0.97


def test_a_given_mask_is_told_apart_on_its_own_grid():
    mask = np.repeat(np.repeat(two_lungs().astype(np.uint8), 8, 0), 8, 1)  # 320 x 480: coarse is every third
    found = lungs_of(mask.copy(), "mine")
    assert found.told_apart and found.source == "mine" and np.array_equal(found.mask > 0, mask > 0)
    assert (found.mask[:, :240] != LEFT).all() and (found.mask[:, 240:] != RIGHT).all()


# ------------------------------------------------------------------------------------------------- the network


def test_both_shipped_networks_fit_in_700_kilobytes():
    assert BUNDLED.stat().st_size + INFECTION.stat().st_size < 700_000


def test_the_lungs_of_a_phantom_are_found_in_hu_and_in_grey(body):
    """Measured here: see the numbers in the file's facts; 0.93 is what real volumes are asked for."""
    grey = ((body.hu.astype(float) + 1250) / 1500).clip(0, 1) * 255
    for volume, intensity in ((body.hu, "HU"), (grey.round(), "grey")):
        found = find_lungs(volume, intensity, body.spacing)
        assert dice(found.mask > 0, body.lung > 0) > 0.93 and found.told_apart, intensity
        middle = body.lung.shape[1] // 2
        assert (found.mask[:, : middle - 20] != LEFT).all() and (found.mask[:, middle + 20 :] != RIGHT).all()


def test_a_picture_of_another_window_shows_its_lungs_as_well_as_one_of_the_lung_window(body):
    """Darkened till its tissue has grey 0.48 for 0.82; as it is, the network reaches 0.929."""
    grey = ((body.hu.astype(float) + 1250) / 1500).clip(0, 1)
    other = (255 * grey**4).round().astype(np.uint8)
    assert dice(find_lungs(other, "grey", body.spacing).mask > 0, body.lung > 0) > 0.94


def test_greys_are_raised_to_a_power_until_tissue_is_as_bright_as_in_the_lung_window(body):
    grey = ((body.hu.astype(float) + 1250) / 1500).clip(0, 1)
    assert as_in_the_lung_window(body.hu, "HU") is body.hu
    assert as_in_the_lung_window(255 * grey, "grey").max() == 255 * grey.max()  # it is the lung window
    other = (255 * grey**1.5).round().astype(np.uint8)
    mended = as_in_the_lung_window(other, "grey")
    assert tissue_of(other) < 0.75 and abs(tissue_of(mended) - TISSUE) < 0.01
    assert (np.diff(mended.ravel()[np.argsort(other.ravel())].astype(int)) >= 0).all()  # what was darker stays darker
    assert np.array_equal(mended, as_in_the_lung_window(other.astype(np.float32), "grey"))  # however it is stored


@pytest.mark.parametrize("grey", [0, 7, 255])
def test_a_picture_of_one_grey_stays_and_one_of_two_keeps_them_apart(grey):
    volume = np.full((40, 40, 2), grey, np.uint8)
    assert as_in_the_lung_window(volume, "grey") is volume
    volume[5:20] = 255 - grey
    two = np.unique(as_in_the_lung_window(volume, "grey"))
    assert len(two) == 2 and abs(two - [min(grey, 255 - grey), max(grey, 255 - grey)]).max() < 10


def test_a_belly_and_a_blank_are_told_to_have_no_lungs():
    belly = np.stack([phantom_slice(s, 96, view="whole", level=-0.45).hu for s in range(3)], 2)
    for volume in (belly, np.full((64, 64, 2), -1000.0), np.full((64, 64, 2), 40.0)):
        found = find_lungs(volume, "HU", (3.0, 3.0, 5.0))
        assert found.mask is None and found.problem and not found.told_apart


def test_a_dent_at_the_border_is_closed_and_the_heart_is_not():
    """A consolidation as bright as the wall leaves a dent; between the lungs nothing grows together."""
    from covidseg.lungs.find import _tidy

    mask = np.zeros((120, 150, 1), np.uint8)
    mask[30:100, 15:60], mask[30:100, 90:135] = 1, 1
    dented = mask.copy()
    dented[60:68, 15:26] = 0  # 8 x 11 mm
    dented[80:86, 30:36] = 0  # a hole
    _tidy(dented, (1.0, 1.0, 5.0))
    assert dice(dented > 0, mask > 0) > 0.99 and dented[64, 18, 0] and dented[83, 33, 0]
    assert not dented[:, 64:86].any()


@pytest.mark.mirror
@pytest.mark.parametrize("kind, name", [("p9", "2"), ("p9", "8"), ("p20", "coronacases_001")])
def test_real_lungs_are_found_too(mirror, kind, name):
    """Five slices of a volume; all slices of all 13 volumes: benchmarks/lungs_on_real.py, 0.959 on P9, 0.946 on P20."""
    from covidseg.scans.read import read_mask, read_scan

    folders = {"p9": ("p9/rp_im", "p9/rp_lung_msk"), "p20": ("p20/COVID-19-CT-Seg_20cases", "p20/Lung_Mask")}[kind]
    scan = read_scan(mirror / folders[0] / f"{name}.nii.gz")
    truth = read_mask(mirror / folders[1] / f"{name}.nii.gz", scan, lung=True) > 0
    some = np.linspace(0.15, 0.85, 5) * (scan.shape[2] - 1)
    some = some.round().astype(int)
    found = find_lungs(scan.voxels[:, :, some], scan.intensity, scan.spacing)
    least = {"p9": 0.93, "p20": 0.92}[kind]  # single volumes of P20, whose contrast is equalised, reach 0.93 to 0.97
    assert dice(found.mask > 0, truth[:, :, some]) > least and found.told_apart


# ------------------------------------------------------------------------------------------- the infection network


def test_the_shipped_infection_net_stays_in_the_lungs_and_leaves_clean_bodies_clean(body):
    shipped = weights("phantom")
    marked = predict(shipped.model, body.hu, shipped.preprocessing) > 0
    assert (marked & (body.lung == 0)).sum() <= 0.02 * marked.sum() and marked.any()
    clean = phantom_volume(78, (128, 128, 16), lesions=False, view="whole")
    assert predict(shipped.model, clean.hu, shipped.preprocessing).mean() < 1e-4


# --------------------------------------------------------------------------------------------------- in predict


def test_predict_finds_the_lungs_keeps_findings_inside_and_tells_each_lung(on_disk, body, tmp_path):
    report = segment_scan(on_disk, tmp_path / "m.nii.gz", weights="phantom")
    assert report.lungs.told_apart and not (report.mask[report.lungs.mask == 0]).any()
    told = json.loads(report.json())["result"]["lungs"]
    assert told["problem"] is None and [lung["side"] for lung in told["each"]] == ["right", "left"]
    total = sum(lung["volume_ml"] for lung in told["each"])
    assert total == pytest.approx(body.lung.sum() * np.prod(body.spacing) / 1000, rel=0.1)
    for number, lung in ((RIGHT, told["each"][0]), (LEFT, told["each"][1])):
        inside = report.lungs.mask == number
        assert lung["infected_share"] == pytest.approx((report.mask[inside] > 0).mean())
    line = next(line for line in report.lines() if line.startswith("lungs"))
    assert "right" in line and "left" in line and "%" in line


def test_none_restricts_nothing_and_a_file_takes_the_place_of_the_network(on_disk, body, tmp_path, monkeypatch):
    shipped = weights("phantom")
    plain = segment_scan(on_disk, tmp_path / "n.nii.gz", weights=shipped, lungs="none")
    everywhere = predict(shipped.model, plain.scan.voxels, shipped.preprocessing)
    assert plain.lungs is None and np.array_equal(plain.mask, everywhere) and not plain.findings.lungs
    image = nibabel.load(on_disk)
    own = tmp_path / "own.nii.gz"
    nibabel.save(nibabel.Nifti1Image(body.lung.transpose(1, 0, 2), image.affine), own)
    given = segment_scan(on_disk, tmp_path / "f.nii.gz", weights=shipped, lungs=own)
    assert given.lungs.source == "own.nii.gz" and np.array_equal(given.mask, everywhere * (body.lung > 0))


def test_where_no_lungs_are_found_one_line_says_so_and_the_prediction_goes_on(on_disk, tmp_path, monkeypatch):
    lost = Lungs(None, problem="no lungs were found")
    monkeypatch.setattr("covidseg.scans.segment.find_lungs", lambda *a, **k: lost)
    report = segment_scan(on_disk, tmp_path / "m.nii.gz", weights="phantom")
    lines = [line for line in report.lines() if line.startswith("lungs")]
    assert len(lines) == 1 and "not used: no lungs were found" in lines[0] and report.mask.any()
    assert json.loads(report.json())["result"]["lungs"]["problem"] == "no lungs were found"


@pytest.mark.skipif(not os.environ.get("COVIDSEG_TIMING"), reason="COVIDSEG_TIMING is not set: a timing needs quiet")
def test_mending_the_lungs_costs_less_than_finding_them():
    from time import perf_counter

    from covidseg.lungs.find import shipped

    volume = phantom_volume(1, (512, 512, 12), view="whole").hu
    net = shipped()
    start = perf_counter()
    predict(net.model, volume, net.preprocessing)
    middle = perf_counter()
    find_lungs(volume, "HU", (0.7, 0.7, 5.0))
    assert perf_counter() - middle < 2.2 * (middle - start)
