"""Volumes of other spacings, greys, depths and mask values: seen alike, scored on their own voxels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from covidseg.data.case import Case
from covidseg.data.resample import at_shape, at_spacing, check_spacing, classes_at_shape, shape_at
from covidseg.data.transforms import Preprocessing
from covidseg.errors import UserError
from covidseg.inference import predict
from covidseg.metrics import NotAMask, segmentation_scores
from covidseg.papers import recipe
from covidseg.papers.covidsegnet.feed import ScanPatches
from covidseg.training.recipes import Recipe

HALF = (1.4, 1.4, None)
SEEN = Preprocessing(8, (0.0,) * 3, (1.0,) * 3, spacing=(2.0, 2.0, 3.0))


class Bright(torch.nn.Module):
    """In 3-D: class 1 where a voxel is brighter than 0.5. It keeps the sizes that it was shown."""

    def __init__(self):
        super().__init__()
        self.same = torch.nn.Conv3d(1, 1, 1)
        self.shapes = []

    def forward(self, x):
        self.shapes.append(tuple(x.shape[2:]))
        return torch.cat([torch.zeros_like(x), x - 0.5], 1)


def ball(shape=(40, 40, 20), spacing=(1.0, 1.0, 2.0), intensity="grey", high=255.0):
    grid = np.meshgrid(*(np.arange(n) * mm for n, mm in zip(shape, spacing, strict=True)), indexing="ij")
    mask = sum((g - 20) ** 2 for g in grid) < 12**2
    image = np.where(mask, high, 0).astype(np.float32)
    return Case("ball", "one", image, mask.astype(np.uint8), intensity, spacing, mask.astype(np.uint8))


def test_a_volume_is_seen_at_a_spacing_and_its_masks_with_it():
    case = ball()
    seen = at_spacing(case, (2.0, 2.0, 1.0))
    assert seen.image.shape == seen.mask.shape == seen.lung.shape == (20, 20, 40)
    assert seen.spacing == (2.0, 2.0, 1.0)
    assert np.prod(seen.spacing) * seen.mask.sum() == pytest.approx(np.prod(case.spacing) * case.mask.sum(), rel=0.03)
    assert at_spacing(case, (None, None, None)) is case


def test_an_axis_without_a_wish_or_without_a_known_spacing_stays():
    assert shape_at((630, 630, 39), (0.7, 0.7, 6.0), HALF) == (315, 315, 39)
    assert shape_at((100, 100, 9), (float("nan"), 0.7, 6.0), HALF) == (100, 50, 9)
    assert shape_at((4, 4, 1), (1.0, 1.0, 1.0), (100.0, None, 100.0)) == (1, 4, 1)


def test_thinning_out_takes_means_and_a_ramp_stays_one():
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32), (4, 6, 16))
    thin = at_shape(ramp, (4, 6, 8))
    np.testing.assert_allclose(np.diff(thin[0, 0])[1:-1], 2, atol=0.01)
    assert thin.mean() == pytest.approx(ramp.mean(), abs=0.01)
    noise = np.random.default_rng(0).normal(size=(32, 32, 4)).astype(np.float32)
    assert at_shape(noise, (8, 8, 4)).std() < 0.5 * noise.std()  # blurred first, not every fourth voxel


def test_classes_come_back_as_themselves():
    classes = np.zeros((8, 8, 4), np.uint8)
    classes[:4, :, :2], classes[4:, 2:6] = 1, 2
    assert classes_at_shape(classes, classes.shape) is classes
    large = classes_at_shape(classes, (16, 16, 8))
    np.testing.assert_array_equal(classes_at_shape(large, (8, 8, 4)), classes)
    assert set(np.unique(large)) == {0, 1, 2}


@pytest.mark.parametrize("intensity, high", [("grey", 255.0), ("HU", 300.0)])
def test_the_mask_lies_on_the_scans_own_voxels(intensity, high):
    case, model = ball(intensity=intensity, high=high), Bright()
    case = replace(case, image=np.where(case.mask, high, -1000 if intensity == "HU" else 0).astype(np.float32))
    mask = predict(model, case.image, SEEN, intensity, spacing=case.spacing)
    assert mask.shape == case.image.shape and mask.dtype == np.uint8
    scores = segmentation_scores([mask], [case.infection], "covidsegnet", [case.spacing], per="volume")
    assert scores["Dice"] > 0.93 and scores["NSD"] == 1  # a voxel of 2 x 2 x 3 mm is its error


def test_weights_of_one_spacing_ask_for_the_scans():
    with pytest.raises(UserError, match="give the scan's own as spacing"):
        predict(Bright(), ball().image, SEEN, "grey")
    plain = predict(Bright(), ball().image, replace(SEEN, spacing=None), "grey")
    np.testing.assert_array_equal(plain, ball().mask)


def test_one_slice_and_a_scan_thinner_than_a_patch():
    case = ball(shape=(40, 40, 1), spacing=(1.0, 1.0, 30.0))
    case = replace(case, image=np.full((40, 40, 1), 255, np.float32))
    assert predict(Bright(), case.image, SEEN, "grey", spacing=case.spacing).all()
    with pytest.raises(UserError, match="whole volume"):
        predict(Bright(), case.image[:, :, 0], SEEN, "grey", spacing=(1.0, 1.0))
    small = replace(recipe("covidsegnet_quick"), feed=ScanPatches(per_volume=2, spacing=HALF))
    with pytest.raises(UserError, match="is one slice"):
        small.feed.batches([case.slice(0)], small, 0, 1, torch.device("cpu"))
    batches = small.feed.batches([case], small, 0, 1, torch.device("cpu"))
    x, target = batches.load(batches.plan(0)[0])
    assert x.shape[2:] == target.shape[1:] == (32, 32, 16)  # the slice, and air around it


def test_unexpected_values_of_a_mask_are_refused_and_effusion_is_no_infection():
    case = ball()
    with pytest.raises(NotAMask, match="ball"):
        segmentation_scores([case.mask * 255], [case.mask], "covidsegnet", ids=["ball"], per="volume")
    drawn = case.mask.copy()
    drawn[:5] = 3  # effusion
    assert replace(case, mask=drawn).infection.sum() == (drawn == 1).sum()


@pytest.mark.parametrize("wrong", [(1.0, 1.0), (0.0, 1.0, 1.0), (1.0, -1.0, None), (float("nan"), 1.0, 1.0)])
def test_a_spacing_that_cannot_be_is_refused(wrong):
    with pytest.raises(UserError, match="mm for rows, columns and slices"):
        check_spacing(wrong)


def test_micrometres_are_refused():
    with pytest.raises(UserError, match="too many"):
        shape_at((512, 512, 300), (0.7, 0.7, 1.0), (0.001, 0.001, 0.001))


def test_spacing_and_precision_travel_with_checkpoint_and_recipe():
    assert Preprocessing.from_dict(SEEN.to_dict()) == SEEN and "spacing" not in Preprocessing().to_dict()
    short = recipe("covidsegnet_short")
    assert Recipe.from_dict(short.to_dict()) == short and short.feed.spacing == HALF and short.precision == "bf16"
    assert not {"precision", "spacing"} & recipe("covidsegnet_paper").to_dict().keys()
    with pytest.raises(UserError, match="precision of a recipe"):
        replace(short, precision="fp8")


def test_patches_are_cut_from_the_volume_as_it_is_seen():
    case = ball(shape=(60, 60, 20), spacing=(0.7, 0.7, 2.0))
    small = replace(recipe("covidsegnet_quick"), feed=ScanPatches(per_volume=2, spacing=HALF))
    batches = small.feed.batches([case], small, 0, 1, torch.device("cpu"))
    assert tuple(batches.cache.masks[0].shape) == (30, 30, 20)
    assert batches.preprocessing.spacing == HALF
