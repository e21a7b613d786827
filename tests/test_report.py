"""Picture and report of a scan: nothing marked is out of sight, colours keep apart, nobody is asked for anything."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from covidseg.cli import app
from covidseg.data.case import infection_of
from covidseg.data.transforms import Preprocessing, to_grey
from covidseg.metrics import dice
from covidseg.nn.weights import LoadedWeights
from covidseg.scans.findings import LungFinding, measure
from covidseg.scans.page import About, page_html
from covidseg.scans.panels import OUTLINE, Result, at_least, crop, key, outlined, panels
from covidseg.scans.segment import segment_scan
from covidseg.scans.severity import GRADES, severity
from covidseg.scans.sheet import write_sheet
from covidseg.scans.truth import compare
from covidseg.show.pictures import FALSE_ALARM, HIT, MISS, OUTCOMES, rgb

nibabel = pytest.importorskip("nibabel")
PLAIN = Preprocessing(size=32, mean=(0, 0, 0), std=(1, 1, 1))


class Bright(nn.Module):
    """Infection where the slice is bright."""

    def forward(self, x):
        grey = x[:, :1] - 0.5
        return torch.cat([torch.zeros_like(grey), grey], 1)


def patient(seed=0, shape=(60, 70, 4)):
    """Air with a body somewhere, and an almost empty mask that need not lie in it: upright volume and mask."""
    rng = np.random.default_rng(seed)
    volume = np.full(shape, -1000, np.int16)
    top, left = rng.integers(0, 40, 2)
    volume[top : top + 20, left : left + 20] = 60
    mask = (rng.random(shape) < 0.001).astype(np.uint8)
    mask[rng.integers(60), rng.integers(70), 2] = 1
    return volume, mask


def result(volume, mask, **more):
    return Result(volume, mask, measure(mask, (1, 1, 1), more.get("lung")), (1.0, 1.0, 1.0), **more)


def is_colour(picture, colour):
    return (np.asarray(picture) == rgb(colour)).all(-1)


# ---------------------------------------------------------------------------------------------- the picture


@pytest.mark.parametrize("seed", range(12))
def test_every_marked_pixel_of_a_shown_slice_lies_in_the_crop(seed):
    (volume, mask), (_, truth) = patient(seed), patient(seed + 100)
    shown = [0, 2]
    rows, columns = crop(result(volume, mask, truth=truth), shown)
    for marked in (mask, truth):
        assert marked[rows, columns][:, :, shown].sum() == marked[:, :, shown].sum() > 0
    assert (volume[rows, columns, 0] == 60).sum() == 400  # and the patient


@pytest.mark.parametrize("shape", [(7, 5), (20, 31), (64, 64), (90, 40)])
def test_no_marked_pixel_is_lost_when_a_slice_is_resized(shape):
    rng = np.random.default_rng(1)
    for _ in range(20):
        region = np.zeros((64, 48), bool)
        row, column = rng.integers(64), rng.integers(48)
        region[row, column] = True
        found = np.argwhere(at_least(region, shape)) / shape
        assert len(found) and abs(found - [row / 64, column / 48]).max() <= 1 / min(*shape, 48)


def test_each_slice_stands_plain_beside_painted():
    volume, mask = patient()
    for one in panels(result(volume, mask), 120):
        (name, plain), (other, painted) = one.panels
        assert (name, other) == ("as read", "prediction") and plain.shape == painted.shape
        assert np.ptp(plain, -1).max() == 0  # grey
        z = int(one.name.split()[-1])
        assert is_colour(painted, HIT).any() == bool(mask[:, :, z].any())


def test_with_a_truth_hits_misses_and_false_alarms_stand_in_their_panels():
    volume = np.full((40, 40, 1), 0, np.int16)
    mask, truth = np.zeros((2, 40, 40, 1), np.uint8)
    mask[4:20, 4:20], truth[4:20, 12:30] = 1, 1
    ((_, plain), (_, pred), (name, true)) = panels(result(volume, mask, truth=truth), 40)[0].panels
    assert name == "truth" and plain.shape == (40, 40, 3)
    for panel, there, absent in ((pred, FALSE_ALARM, MISS), (true, MISS, FALSE_ALARM)):
        assert is_colour(panel, HIT).any() and is_colour(panel, there).any() and not is_colour(panel, absent).any()
    painted = (pred != plain).any(-1), (true != plain).any(-1)
    assert np.array_equal(painted[0], mask[:, :, 0] > 0) and np.array_equal(painted[1], truth[:, :, 0] > 0)


def test_a_slice_that_only_the_truth_marks_is_shown():
    volume, mask = patient()
    mask[:], truth = 0, np.zeros_like(mask)
    truth[30:34, 30:34, 3] = 1
    assert [one.name for one in panels(result(volume, mask, truth=truth), 60)] == ["slice 3"]
    assert len(panels(result(volume, mask), 60)) == 3  # and without anything, three to see what was read


def test_the_lungs_are_outlined_beside_them_so_nothing_in_them_is_hidden():
    picture, lung = np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), bool)
    lung[5:12, 6:14] = True
    line = is_colour(outlined(picture, lung), OUTLINE)
    by_hand = np.zeros_like(lung)
    by_hand[4:13, 5:15] = True
    assert np.array_equal(line, by_hand & ~lung)


def test_the_sheet_shows_hu_and_grey_alike(tmp_path):
    volume, mask = patient()
    words = dict(title="t", footer="f")
    write_sheet(tmp_path / "hu.png", result(volume, mask), **words)
    write_sheet(tmp_path / "grey.png", result(255 * to_grey(volume, "HU"), mask, intensity="grey"), **words)
    assert (tmp_path / "hu.png").read_bytes() == (tmp_path / "grey.png").read_bytes()


def test_infection_beside_the_densest_object_is_painted(tmp_path):
    volume = np.full((64, 64, 1), -700, np.int16)
    volume[8:24, 8:24] = 300
    mask = np.zeros(volume.shape, np.uint8)
    mask[50:62, 50:62] = 1
    write_sheet(tmp_path / "s.png", result(volume, mask), title="t", footer="f")
    sheet = np.asarray(Image.open(tmp_path / "s.png").convert("RGB"))[90:]  # below the key
    assert is_colour(sheet, HIT).sum() > 44  # the rim of twelve by twelve pixels, magnified


# ---------------------------------------------------------------------------------------------- colours

# Deuteranopia, severity 1.0, on linear RGB: Machado, Oliveira and Fernandes, IEEE TVCG 2009; 15: 1291-1298, Table 1
DEUTAN = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)  # fmt: skip
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # of sRGB, D65


def lab(colour, eye):
    """CIE L*a*b* of an sRGB colour as an eye sees it."""
    value = rgb(colour).astype(float) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(eye @ linear, 0, 1) / XYZ.sum(1)
    f = [np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", [np.eye(3), DEUTAN], ids=["trichromat", "deuteranope"])
def test_the_four_colours_keep_apart_for_both_eyes_and_in_grey(eye):
    colours = [*OUTCOMES.values(), OUTLINE]
    assert {colour for colour, _ in key(result(*patient(), truth=patient()[1], lung=patient()[1]))} == set(colours)
    for n, one in enumerate(colours):
        for other in colours[:n]:
            assert np.linalg.norm(lab(one, eye) - lab(other, eye)) > 25  # ten times what is just seen to differ
            assert abs(lab(one, np.eye(3))[0] - lab(other, np.eye(3))[0]) > 12  # lightness, of 100


# ---------------------------------------------------------------------------------------------- severity, truth


def test_the_grade_is_the_quarter_that_the_share_lies_in():
    for percent in range(101):
        assert int(severity(percent / 100).grade[-1]) == -(-percent // 25)


def test_severity_names_the_worse_lung_and_nothing_without_a_mask():
    lungs = [LungFinding("right", 900.0, 90.0, 0.1), LungFinding("left", 800.0, 240.0, 0.3)]
    assert severity(0.194, lungs).line() == "19.4% of the lungs, grade CT-1 of CT-0 to CT-4, most in the left (30.0%)"
    assert severity(None) is None and list(GRADES.values()) == sorted(GRADES.values())
    with pytest.raises(ValueError, match="1.2"):
        severity(1.2)


def test_dice_and_volumes_are_those_of_the_masks():
    rng = np.random.default_rng(0)
    mask, truth = rng.integers(0, 2, (2, 9, 8, 5)).astype(np.uint8)
    mask[..., 1] = truth[..., 1] = 0
    found = compare(mask, truth, [5, 4, 3, 2, 1], 500.0)
    assert found.dice == pytest.approx(dice(mask, truth)) and found.slices[4] is None
    assert found.slices[5] == pytest.approx(dice(mask[..., 0], truth[..., 0]))
    assert found.missed_ml == pytest.approx((truth & ~mask & 1).sum() / 2) and found.true_ml == truth.sum() / 2
    assert found.false_alarm_ml == pytest.approx((mask & ~truth & 1).sum() / 2)
    assert compare(0 * mask, 0 * truth, range(5), np.nan).dice is None


def test_effusion_is_no_infection():
    assert infection_of(np.array([[[0, 1, 2, 3]]])).tolist() == [[[False, True, True, False]]]


# ---------------------------------------------------------------------------------------------- the report


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += f" {data} "


@pytest.fixture
def files(tmp_path):
    """A scan whose header is full of texts, its lungs and its truth, on disk."""
    volume = np.full((20, 20, 3), -1000, np.int16)
    volume[5:15, 5:15, 1:] = 200
    affine = np.diag([-0.5, -0.5, 4.0, 1])  # indices grow towards L, P, S
    image = nibabel.Nifti1Image(volume, affine)
    image.header["descrip"], image.header["aux_file"], image.header["intent_name"] = (
        b"Doe^Jane",
        b"Jane.xml",
        b"Doe+Jane!",
    )
    nibabel.save(image, tmp_path / "chest.nii.gz")
    for name, box in (("lungs", np.s_[2:18, 2:18]), ("truth", np.s_[5:15, 9:15, 1:])):
        mask = np.zeros(volume.shape, np.uint8)
        mask[box] = 1
        nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / f"{name}.nii.gz")
    return tmp_path


def segmented(files, **more):
    weights = LoadedWeights(Bright(), PLAIN, "Bright", "no licence")
    return segment_scan(files / "chest.nii.gz", files / "mask.nii.gz", weights=weights, force=True, **more)


def test_the_report_is_one_file_that_asks_for_nothing(files):
    report = segmented(files, lungs=files / "lungs.nii.gz", truth=files / "truth.nii.gz")
    html = report.files.report.read_text(encoding="utf-8")
    page = Page(html)
    assert not [tag for tag, _ in page.tags if tag in ("script", "iframe", "object", "form", "base")]
    addresses = [v for _, at in page.tags for k, v in at.items() if k in ("src", "href", "srcset", "action", "data")]
    assert len(addresses) == 1 + 3 * 2 and all(address.startswith("data:") for address in addresses)
    assert "://" not in html and not re.search(r"url\(|@import", html)
    policy = [at["content"] for tag, at in page.tags if at.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_the_report_tells_dice_share_grade_and_what_the_grade_is_not(files):
    report = segmented(files, lungs=files / "lungs.nii.gz", truth=files / "truth.nii.gz")
    text = " ".join(Page(report.files.report.read_text(encoding="utf-8")).text.split())
    truth = nibabel.load(files / "truth.nii.gz").get_fdata().astype(np.uint8)
    mask = nibabel.load(files / "mask.nii.gz").get_fdata().astype(np.uint8)
    assert f"{dice(mask, truth):.3f} Dice against the truth" in text and report.severity.grade in text
    assert f"{report.findings.lung_share:.1%} of the lungs" in text
    assert "not the CT severity score" in text and "Not a medical device" in text
    rows = list(csv.DictReader(report.files.slices.read_text().splitlines()))
    by_slice = [dice(mask[..., z], truth[..., z]) for z in (1, 2)]
    assert [row["dice"] for row in rows] == ["", *(f"{value:.4f}" for value in by_slice)]
    assert json.loads(report.json())["result"]["dice"] == pytest.approx(dice(mask, truth))


def test_without_a_lung_mask_the_report_says_so(files):
    report = segmented(files, lungs="none")
    text = Page(report.files.report.read_text(encoding="utf-8")).text
    assert report.severity is None and "no lung mask was used" in text and "Dice" not in text


def test_no_free_text_of_the_header_reaches_the_report_or_the_picture(files):
    report = segmented(files, lungs="none", truth=files / "truth.nii.gz")
    told = b"".join(path.read_bytes() for path in report.files) + report.json().encode()
    assert not [
        text for text in (b"Doe^Jane", b"Jane.xml", b"Jane!") if text in told
    ]  # no word of base64 looks like these
    assert not Image.open(report.files.overlay).info


def test_a_file_name_cannot_write_into_the_report():
    volume, mask = patient()
    about = About("<script>x</script>\x1b[31m", "a & b", "n", {"scan": "<img src=x>\n"})
    html = page_html(result(volume, mask), about)
    assert "<script" not in html and "<img src=x" not in html and "\x1b" not in html
    assert "&lt;script&gt;x&lt;/script&gt;?[31m" in html


def test_each_lung_has_its_line_where_they_are_told_apart():
    volume, mask = patient()
    lungs = [LungFinding("right", 1234.0, 12.3, 0.01), LungFinding("left", None, None, 0.5)]
    seen = result(volume, mask)
    seen = replace(seen, findings=replace(seen.findings, lungs=tuple(lungs)))
    about = About("t", "s", "n", {}, severity=severity(0.2, lungs))
    text = " ".join(Page(page_html(seen, about)).text.split())
    assert "right lung 1,234 12.3 1.0 % left lung ? ? 50.0 %" in text


def test_a_truth_of_another_grid_is_refused_by_the_rule_of_all_masks(files):
    truth = nibabel.load(files / "truth.nii.gz")
    moved = truth.affine.copy()
    moved[0, 3] += 0.25  # half a voxel
    nibabel.save(nibabel.Nifti1Image(np.asarray(truth.dataobj), moved), files / "moved.nii.gz")
    args = ["predict", files / "chest.nii.gz", "-o", files / "mask.nii.gz", "--truth", files / "moved.nii.gz"]
    refused = CliRunner().invoke(app, [*map(str, args), "--weights", "phantom"])
    assert refused.exit_code != 0 and "does not lie on the grid" in str(refused.exception)
    assert "--resample-mask" in str(refused.exception) and not (files / "mask.nii.gz").exists()
