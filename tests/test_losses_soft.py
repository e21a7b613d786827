"""Inf-Net's losses: the authors' values, plain sums over pixels, and why the published weights cancel."""

import json
import warnings
from math import exp, log

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from covidseg.errors import UnknownName, UserError
from covidseg.papers.infnet.losses import (
    boundary_weight,
    edge_bce,
    plain_bce,
    structure_loss,
    weighted_bce,
    weighted_iou,
)


def example(seed=0, B=2, size=(9, 7)):
    """Logits and a soft mask, (B, 1, H, W), in float64."""
    rng = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(B, 1, *size, generator=rng, dtype=torch.float64)
    return logits, torch.rand(B, 1, *size, generator=rng, dtype=torch.float64).round(decimals=1)


def by_hand(logits, target):
    """Weighted BCE, plain BCE and weighted IoU as loops over images and pixels."""
    weighted, iou, everywhere = [], [], []
    for z, G in zip(logits[:, 0].tolist(), target[:, 0].tolist(), strict=True):
        rows, columns = range(len(G)), range(len(G[0]))
        total = total_bce = both = sizes = 0.0
        for i in rows:
            for j in columns:
                near = sum(G[a][b] for a in rows for b in columns if abs(a - i) <= 15 and abs(b - j) <= 15)
                w, p = 1 + 5 * abs(near / 31**2 - G[i][j]), 1 / (1 + exp(-z[i][j]))
                bce = -G[i][j] * log(p) - (1 - G[i][j]) * log(1 - p)
                everywhere.append(bce)
                total, total_bce = total + w, total_bce + w * bce
                both, sizes = both + w * p * G[i][j], sizes + w * (p + G[i][j])
        weighted.append(total_bce / total)
        iou.append(1 - (both + 1) / (sizes - both + 1))
    return [sum(values) / len(values) for values in (weighted, everywhere, iou)]


def test_the_three_parts_are_sums_over_pixels():
    logits, target = example()
    parts = [loss(logits, target).item() for loss in (weighted_bce, plain_bce, weighted_iou)]
    weighted, plain, iou = by_hand(logits, target)
    assert parts == pytest.approx([weighted, plain, iou])
    assert structure_loss(logits, target).item() == pytest.approx(weighted + iou)
    assert structure_loss(logits, target, "plain").item() == pytest.approx(plain + iou)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_the_losses_equal_the_authors(kind, reference):
    wanted = json.loads((reference / "infnet-golden.json").read_text())[f"loss_{kind}"]
    y, x = torch.meshgrid(*[torch.arange(96, dtype=torch.float64)] * 2, indexing="ij")
    logits = 3 * (torch.sin(0.031 * (y + 1)) * torch.cos(0.023 * (x + 1)) + 0.3 * ((7 * y + 13 * x) % 17) / 17 - 0.15)
    disc, other = (((y - r) ** 2 + (x - c) ** 2 < 400).double() for r, c in ((40, 55), (44, 50)))
    target = (disc if kind == "hard" else (disc + other) / 2)[None, None]
    logits, w = logits[None, None], boundary_weight(target)
    ours = {
        "weighted_bce": weighted_bce(logits, target),
        "plain_bce": plain_bce(logits, target),
        "weighted_iou": weighted_iou(logits, target),
        "loss_as_written_in_paper": structure_loss(logits, target),
        "loss_effectively_trained": structure_loss(logits, target, "plain"),
        "official_function_value": structure_loss(logits, target, "plain"),
        "weight_min": w.min(),
        "weight_max": w.max(),
    }
    assert {name: value.item() for name, value in ours.items()} == pytest.approx(wanted, abs=1e-12)


def test_in_the_published_form_the_weights_cancel_whatever_they_are():
    logits, target = example(seed=3)
    iou = weighted_iou(logits, target)
    for w in (boundary_weight(target), torch.rand_like(target), torch.full_like(target, 7.0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that `reduce` is old
            bce = F.binary_cross_entropy_with_logits(logits, target, reduce="none")  # the slip: text is true
        assert bce.ndim == 0, "one number, so w * number / w is that number"
        published = ((w * bce).sum((2, 3)) / w.sum((2, 3)) + iou).mean()
        assert_close(published, structure_loss(logits, target, "plain"))
    half = (torch.arange(40.0) > 20).double().expand(1, 1, 40, 40)  # a border, where the weights would matter
    sure = 4 * half.flip(-1)
    meant, computed = (structure_loss(sure, half, bce).item() for bce in ("weighted", "plain"))
    assert abs(meant - computed) > 0.5


def test_a_border_weighs_up_to_six_and_a_flat_region_one():
    G = torch.zeros(1, 1, 80, 80)
    G[..., 40:] = 1
    w = boundary_weight(G)
    assert w[0, 0, 40, 10] == 1 and w[0, 0, 40, 60] == 1
    assert w[0, 0, 40, 39].item() == pytest.approx(1 + 5 * 15 / 31), "15 of 31 columns are lesion"
    assert w[0, 0, 0, 79].item() == pytest.approx(1 + 5 * (1 - 16 * 16 / 31**2)), "beyond the rim is background"


def test_several_maps_add_up_and_two_channels_are_their_difference():
    (a, target), (b, _) = example(), example(seed=5)
    assert_close(structure_loss([a, b], target), structure_loss(a, target) + structure_loss(b, target))
    two = torch.cat([b, a + b], 1)
    assert_close(structure_loss(two, target), structure_loss(a, target))
    assert_close(plain_bce(torch.cat([torch.zeros_like(a), a], 1), target), edge_bce(a, target))


def test_class_numbers_are_soft_masks_of_0_and_1():
    logits, target = example()
    hard = target.round()
    assert_close(structure_loss(logits, hard[:, 0].to(torch.uint8)), structure_loss(logits, hard))
    assert_close(weighted_bce(logits, hard[:, 0].bool()), weighted_bce(logits, hard))


@pytest.mark.parametrize("bce", ["weighted", "plain"])
def test_a_slice_without_lesion_counts_and_is_learnt_as_empty(bce):
    logits, empty = torch.zeros(1, 1, 8, 8, requires_grad=True), torch.zeros(1, 1, 8, 8)
    loss = structure_loss(logits, empty, bce)
    loss.backward()
    assert loss.item() == pytest.approx(log(2) + 1 - 1 / (32 + 1)) and (logits.grad > 0).all()
    assert structure_loss(empty - 50, empty, bce).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("logits", "target", "says"),
    [
        ((2, 1, 8, 8), torch.zeros(2, 1, 8, 9), r"\(2, 1, 8, 9\) does not fit .* expected \(2, 1, 8, 8\)"),
        ((2, 1, 8, 8), torch.zeros(2, 2, 8, 8), "does not fit"),
        ((2, 4, 8, 8), torch.zeros(2, 8, 8), "no map of infection"),
        ((2, 1, 8, 8, 3), torch.zeros(2, 8, 8, 3), "no map of infection"),
        ((2, 1, 8, 8), torch.full((2, 8, 8), 255), "holds 255 to 255; a soft mask lies within 0 to 1"),
        ((1, 1, 8, 8), torch.full((1, 8, 8), torch.nan), "a soft mask lies within 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(logits, target, says):
    for loss in (structure_loss, weighted_bce, plain_bce, weighted_iou):
        with pytest.raises(UserError, match=says) as error:
            loss(torch.zeros(logits), target)
        assert "\n" not in str(error.value)


def test_another_form_of_the_bce_is_refused():
    with pytest.raises(UnknownName, match="Did you mean 'weighted'"):
        structure_loss(*example(), bce="weigthed")
