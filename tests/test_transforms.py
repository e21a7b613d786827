"""From HU to the network's input, and MiniSeg's augmentation, each restated in numpy."""

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from covidseg.data.case import Case
from covidseg.data.transforms import (
    LUNG,
    MEDIASTINUM,
    Preprocessing,
    Window,
    augment_wide,
    fold_statistics,
    resize_image,
    resize_mask,
    to_grey,
)
from covidseg.errors import UnknownName, UserError
from covidseg.papers.miniseg.augment import MINISEG_SCALES, augment, symmetric_crop, training_sample


def bilinear_by_formula(image, rows, columns):
    """Half-pixel centres: output x samples input (x + 0.5) * in / out - 0.5, clamped; weights by distance."""

    def axis(old, new):
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, old - 1)
        return low, high, at - low

    y0, y1, fy = axis(image.shape[0], rows)
    x0, x1, fx = axis(image.shape[1], columns)
    top = image[y0][:, x0] * (1 - fx) + image[y0][:, x1] * fx
    bottom = image[y1][:, x0] * (1 - fx) + image[y1][:, x1] * fx
    return top * (1 - fy)[:, None] + bottom * fy[:, None]


@pytest.mark.parametrize("old, new", [((7, 5), (12, 9)), ((12, 9), (5, 4)), ((630, 40), (512, 33)), ((4, 4), (4, 4))])
def test_resize_image_is_bilinear_with_half_pixel_centres_and_no_antialiasing(old, new):
    image = np.random.default_rng(0).normal(size=old).astype(np.float32)
    resized = resize_image(torch.from_numpy(image)[None], new)[0]
    assert_close(resized.numpy(), bilinear_by_formula(image, *new).astype(np.float32), atol=2e-5, rtol=0)


@pytest.mark.parametrize("old, new", [((7, 5), (12, 9)), ((12, 9), (5, 4)), ((512, 300), (384, 200))])
def test_resize_mask_takes_the_pixel_at_floor_of_x_times_scale(old, new):
    mask = np.random.default_rng(1).integers(0, 4, old).astype(np.uint8)
    rows = np.arange(new[0]) * old[0] // new[0]
    columns = np.arange(new[1]) * old[1] // new[1]
    assert np.array_equal(resize_mask(torch.from_numpy(mask), new).numpy(), mask[rows][:, columns])


def test_resize_mask_rounds_where_cv2_rounds_at_p9s_630_to_768():
    ramp = torch.arange(630)[None].expand(1, 630)
    exact = torch.arange(768) * 630 // 768
    assert (resize_mask(ramp, (1, 768))[0] != exact).sum() == 5  # double precision, as cv2 computes it


def test_grey_pictures_are_divided_by_255_and_no_window_is_applied():
    image = np.array([0, 51, 255], np.uint8)
    assert_close(to_grey(image, "grey", MEDIASTINUM), np.array([0, 0.2, 1], np.float32))


def test_lung_window_maps_its_edges_to_black_and_white_and_clips_beyond():
    hu = np.array([-3000, LUNG.low, LUNG.level, LUNG.high, 3000])
    assert to_grey(hu, "HU").tolist() == [0, 0, 0.5, 1, 1]
    assert (LUNG.low, LUNG.high) == (-1250, 250)  # Ma et al.'s window


def test_a_wrong_intensity_is_answered_with_the_nearest_right_one():
    with pytest.raises(UnknownName, match="'gray'.*'grey'"):
        to_grey(np.zeros((2, 2)), "gray")
    with pytest.raises(UserError, match="width 0"):
        to_grey(np.zeros((2, 2)), "HU", Window(0, 0))


def test_apply_normalises_at_native_resolution_and_then_resizes():
    hu = np.random.default_rng(2).uniform(-1400, 400, (40, 30)).astype(np.float32)
    pre = Preprocessing(size=24, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    got = pre.apply(hu, "HU")
    assert got.shape == (3, 24, 24) and got.dtype == torch.float32
    for channel, (mean, std) in enumerate(zip(pre.mean, pre.std, strict=True)):
        native = (np.clip((hu + 1250) / 1500, 0, 1) - mean) / std
        assert_close(got[channel].numpy(), bilinear_by_formula(native, 24, 24).astype(np.float32), atol=2e-5, rtol=0)


def test_preprocessing_survives_json_and_refuses_a_misspelt_setting():
    pre = Preprocessing(size=352, window=MEDIASTINUM, antialias=True)
    again = Preprocessing.from_dict(json.loads(json.dumps(pre.to_dict())))
    assert again == pre and again.window == MEDIASTINUM
    with pytest.raises(UnknownName, match="'sise'.*'size'"):
        Preprocessing.from_dict({"sise": 3})
    with pytest.raises(UserError, match="std"):
        Preprocessing(std=(0.0, 1, 1))


def _case(image, intensity="grey"):
    return Case("a", "p", np.asarray(image, np.float32), np.zeros(np.shape(image), np.uint8), intensity, (1.0, 1.0))


def test_fold_statistics_average_the_stds_of_images_not_the_std_of_all_pixels():
    dark, bright = np.full((4, 4), 51.0), np.full((2, 2), 204.0)
    dark[:2] = 0
    mean, std = fold_statistics([_case(dark), _case(bright)])
    assert_close(mean, (0.45,) * 3)  # (0.1 + 0.8) / 2, though the dark image has four times the pixels
    assert_close(std, (0.05,) * 3)  # (0.1 + 0) / 2; pooled pixels would give 0.29
    assert Preprocessing.fit([_case(dark), _case(bright)], size=8).mean == mean
    with pytest.raises(UserError, match="empty"):
        fold_statistics([])


def test_symmetric_crop_keeps_the_centre_and_the_size():
    image = torch.arange(64.0).reshape(1, 8, 8)
    mask = torch.zeros(8, 8, dtype=torch.uint8)
    mask[3:5, 3:5] = 1
    cropped, labels = symmetric_crop(image, mask, x1=1, y1=2)
    assert cropped.shape == image.shape and labels.shape == mask.shape
    by_hand = bilinear_by_formula(image[0, 2:6, 1:7].numpy(), 8, 8)
    assert_close(cropped[0].numpy(), by_hand.astype(np.float32), atol=1e-5, rtol=0)
    assert labels.sum() > mask.sum()  # zoomed in


class Dice:
    """A numpy-like generator that answers what it was told."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def random(self):
        return self.answers.pop(0)

    integers = None


def test_the_flip_is_upside_down_and_never_left_right():
    image, mask = torch.arange(6.0).reshape(1, 3, 2), torch.arange(6).reshape(3, 2)
    flipped, labels = augment(image, mask, 0, Dice(0.9, 0.1))  # no crop, flip
    assert torch.equal(flipped[0], image[0].flip(0)) and torch.equal(labels, mask.flip(0))
    kept, _ = augment(image, mask, 0, Dice(0.9, 0.9))
    assert torch.equal(kept, image)


@pytest.mark.parametrize("make", [lambda s: torch.Generator().manual_seed(s), np.random.default_rng])
def test_augmentation_is_drawn_from_the_given_generator_alone(make):
    image, mask = torch.rand(3, 40, 40), torch.randint(0, 2, (40, 40))
    torch.manual_seed(1)
    first = [training_sample(image, mask, MINISEG_SCALES[0]._replace(side=32), make(7)) for _ in range(2)]
    torch.manual_seed(2)
    again = training_sample(image, mask, MINISEG_SCALES[0]._replace(side=32), make(7))
    assert_close(first[0], first[1])
    assert_close(first[0], again)
    assert first[0][0].shape == (3, 32, 32) and first[0][1].dtype == torch.int64
    small = MINISEG_SCALES[3]._replace(side=32, bound=4)
    drawn = {tuple(training_sample(image, mask, small, make(seed))[0][0, 0, :4].tolist()) for seed in range(12)}
    assert len(drawn) > 3


def test_margins_reach_both_ends_of_their_range():
    from covidseg.papers.miniseg.augment import _integer

    for generator in (torch.Generator().manual_seed(0), np.random.default_rng(0)):
        assert {_integer(generator, 3) for _ in range(200)} == {0, 1, 2, 3}


def test_the_four_scales_of_an_epoch_come_in_the_authors_order():
    assert [tuple(s) for s in MINISEG_SCALES] == [(768, 50), (640, 50), (384, 16), (512, 16)]


def test_wide_augmentation_moves_image_and_mask_together_and_stays_grey():
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[20:44, 12:40] = 1
    moved = 0
    for seed in range(12):
        image, labels = augment_wide(mask[None].float() * 0.6 + 0.2, mask, torch.Generator().manual_seed(seed))
        assert labels.dtype == torch.uint8 and set(labels.unique().tolist()) <= {0, 1}
        assert image.shape == (1, 64, 64) and image.min() >= 0 and image.max() <= 1
        if labels.any() and not labels.all():
            assert image[0][labels == 1].mean() > image[0][labels == 0].mean() + 0.1  # still on the bright part
        moved += not torch.equal(labels, mask)
    assert moved >= 10


def test_wide_augmentation_is_a_function_of_its_generator():
    image, mask = torch.rand(1, 32, 32), torch.ones(32, 32, dtype=torch.uint8)
    first, again = (augment_wide(image, mask, torch.Generator().manual_seed(3))[0] for _ in range(2))
    assert torch.equal(first, again)
