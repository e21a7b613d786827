"""Every loss, stated a second time in plain sums over pixels."""

from functools import partial
from math import exp, log

import pytest
import torch
from torch.testing import assert_close

from covidseg import losses
from covidseg.errors import UnknownName, UserError


def batch(K=2, B=2, size=(4, 5), seed=0, ignored=3):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(B, K, *size, generator=rng, dtype=torch.float64)
    target = torch.randint(0, max(K, 2), (B, *size), generator=rng, dtype=torch.uint8)
    target.view(B, -1)[0, :ignored] = 255
    return logits, target


def pixels(logits, target):
    """(case, p_1..p_K as floats, y) of every pixel that counts; the softmax written out."""
    for b in range(len(logits)):
        for z, y in zip(logits[b].flatten(1).T.tolist(), target[b].flatten().tolist(), strict=True):
            z = [0.0, *z] if len(z) == 1 else z
            if y != 255:
                yield b, [exp(v) / sum(map(exp, z)) for v in z], y


@pytest.mark.parametrize("K", [1, 2, 4])
def test_weighted_cross_entropy_divides_by_the_weights_of_the_pixels(K):
    logits, target = batch(K)
    w = [0.5, 3.0, 1.0, 2.0][: max(K, 2)]
    seen = list(pixels(logits, target))
    expected = sum(-w[y] * log(p[y]) for _, p, y in seen) / sum(w[y] for *_, y in seen)
    assert losses.cross_entropy(logits, target, weight=w).item() == pytest.approx(expected)


def test_pixels_labelled_255_change_nothing():
    logits, target = batch()
    changed = logits.clone()
    changed.flatten(2)[0, :, :3] += 7
    for loss in (losses.cross_entropy, losses.soft_dice, losses.tversky, losses.bce_dice, losses.focal):
        assert_close(loss(logits, target), loss(changed, target))


def test_class_weights_are_one_over_log_of_1_10_plus_the_fraction():
    p = [0.5944747924804688, 0.40552520751953125]
    assert losses.log_class_weights(p).tolist() == pytest.approx([1 / log(1.1 + x) for x in p])
    with pytest.raises(UserError, match="add up to 1"):
        losses.log_class_weights([95, 5])


def test_deep_supervision_weighs_the_three_auxiliary_outputs_by_0_4():
    (main, target), aux = batch(), [batch(seed=s)[0] for s in (1, 2, 3)]
    each = [losses.cross_entropy(z, target) for z in (main, *aux)]
    assert_close(losses.deep_supervision((main, aux), target), each[0] + 0.4 * (each[1] + each[2] + each[3]))
    assert_close(losses.deep_supervision(main, target), each[0])
    assert_close(losses.deep_supervision((main, []), target, losses.soft_dice), losses.soft_dice(main, target))
    with pytest.raises(UserError, match="4 outputs, but there are 2"):
        losses.deep_supervision((main, aux), target, weights=(1, 0.4))


@pytest.mark.parametrize("K", [1, 2, 3])
@pytest.mark.parametrize("squared", [False, True])
def test_soft_dice_per_case_and_per_batch(K, squared):
    logits, target = batch(K)
    power = 2 if squared else 1

    def score(rows, c, s=0.5):
        both = sum(p[c] * (y == c) for p, y in rows)
        size = sum(p[c] ** power + (y == c) for p, y in rows)
        return (2 * both + s) / (size + s)

    seen, classes = list(pixels(logits, target)), range(1, max(K, 2))
    of_case = [[(p, y) for b, p, y in seen if b == case] for case in (0, 1)]
    per_case = [score(rows, c) for rows in of_case for c in classes]
    per_batch = [score([(p, y) for _, p, y in seen], c) for c in classes]
    loss = partial(losses.soft_dice, logits, target, smooth=0.5, squared=squared)
    assert loss().item() == pytest.approx(1 - sum(per_case) / len(per_case))
    assert loss(reduce="batch").item() == pytest.approx(1 - sum(per_batch) / len(per_batch))


def test_soft_dice_of_certain_logits_is_one_minus_the_dice_of_the_masks():
    from covidseg.metrics import dice

    pred, truth = batch(seed=1, ignored=0)[1], batch(seed=2, ignored=0)[1]
    logits = torch.stack([-40.0 * pred, 40.0 * pred - 20], 1)
    expected = [1 - dice(p, t) for p, t in zip(pred, truth, strict=True)]
    assert losses.soft_dice(logits, truth, smooth=1e-9).item() == pytest.approx(sum(expected) / 2, abs=1e-6)


def test_tversky_with_equal_weights_is_soft_dice_with_twice_the_smooth():
    logits, target = batch(3)
    half = losses.tversky(logits, target, alpha=0.5, beta=0.5, smooth=0.5)
    assert_close(half, losses.soft_dice(logits, target, smooth=1.0))


def test_tversky_makes_a_miss_dearer_than_a_false_alarm():
    truth = torch.zeros(1, 4, 4, dtype=torch.uint8)
    truth[0, :2] = 1
    certain = torch.full((1, 1, 4, 4), -20.0)
    miss, alarm = certain.clone(), certain.clone()
    miss[0, 0, :1], alarm[0, 0, :3] = 20, 20  # half the lesion; the lesion and half as much again
    options = dict(smooth=1e-6, alpha=0.3, beta=0.7)
    assert losses.tversky(miss, truth, **options).item() == pytest.approx(1 - 4 / (4 + 0.7 * 4), abs=1e-5)
    assert losses.tversky(alarm, truth, **options).item() == pytest.approx(1 - 8 / (8 + 0.3 * 4), abs=1e-5)


def test_bce_dice_is_the_weighted_sum_of_both():
    logits, target = batch(1, ignored=0)
    bce = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], target.double())
    dice = losses.soft_dice(logits, target, squared=True)
    assert_close(losses.bce_dice(logits, target, dice_weight=0.2, squared=True), 0.8 * bce + 0.2 * dice)


@pytest.mark.parametrize("K", [1, 2, 3])
def test_focal_loss_by_the_pixel(K):
    logits, target = batch(K)
    alpha = [0.25, 0.75, 0.5][: max(K, 2)]
    rows = list(pixels(logits, target))
    expected = sum(-alpha[y] * (1 - p[y]) ** 1.5 * log(p[y]) for _, p, y in rows) / len(rows)
    assert losses.focal(logits, target, gamma=1.5, alpha=alpha).item() == pytest.approx(expected)
    assert_close(losses.focal(logits, target, gamma=0), losses.cross_entropy(logits, target))


@pytest.mark.parametrize(
    "loss", [losses.cross_entropy, losses.soft_dice, losses.tversky, losses.bce_dice, losses.focal]
)
def test_every_loss_has_a_finite_gradient_that_lowers_it_even_when_certain(loss):
    for scale in (1, 60):
        logits, target = batch(2)
        logits = (scale * logits).requires_grad_()
        before = loss(logits, target)
        (slope,) = torch.autograd.grad(before, logits)
        assert slope.isfinite().all()
        step = 1e-3 / max(float(slope.norm()), 1e-9)
        assert loss(logits - step * slope, target) <= before


@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.soft_dice, losses.focal])
def test_volumes_work_like_slices(loss):
    logits, target = batch(2, size=(3, 4, 5))
    assert_close(loss(logits, target), loss(logits.flatten(3), target.flatten(2)))


@pytest.mark.parametrize(
    ("logits", "target", "says"),
    [
        (torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.uint8), r"expected \(1, 4, 4\)"),
        (torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4), "torch.float32, not class numbers"),
        (torch.zeros(1, 2, 4, 4), torch.full((1, 4, 4), 3), "holds class 3, but the logits have classes 0 to 1"),
    ],
)
def test_targets_that_do_not_fit_are_refused_in_one_line(logits, target, says):
    for loss in (losses.cross_entropy, losses.soft_dice, losses.focal):
        with pytest.raises(UserError, match=says):
            loss(logits, target)


def test_a_wrong_option_is_refused():
    logits, target = batch()
    with pytest.raises(UserError, match="one for each"):
        losses.cross_entropy(logits, target, weight=[1.0, 2.0, 3.0])
    with pytest.raises(UnknownName, match="Did you mean 'batch'"):
        losses.soft_dice(logits, target, reduce="bach")
