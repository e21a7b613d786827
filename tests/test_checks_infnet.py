"""Exercises of 21_infnet: a right answer passes, and each usual slip gets the sentence that names it."""

import pytest
import torch

from covidseg.nn.layers import resize
from covidseg.papers.infnet.checks.nb_21_infnet import EDGE, reverse_attention, two_losses, unit_parameters


def up(f, S):
    return resize(S, f.shape[-2:])


ANSWERS = [
    (lambda f, S: f * (1 - up(f, S).sigmoid()), ""),
    (lambda f, S: f * up(f, S).sigmoid(), "keeps what was found"),
    (lambda f, S: f * (1 - up(f, S)), "logits, not probabilities"),
    (lambda f, S: f * (1 - up(f, S.sigmoid())), "logits first"),
    (lambda f, S: 1 - up(f, S).sigmoid(), "should be that of f"),
    (lambda f, S: (1 - up(f, S).sigmoid()).expand_as(f), "weight A alone"),
    (lambda f, S: f, "largest difference"),
    (lambda f, S: None, "returns nothing yet"),
]


@pytest.mark.parametrize("answer, words", ANSWERS, ids=[words or "right" for _, words in ANSWERS])
def test_reverse_attention(answer, words):
    said = reverse_attention(answer)
    assert words in said if words else said == ""


def parameters(C, width, kernel, convs, last, *, norm=2, edge=EDGE, map_norm=2, bias=0):
    squeeze, first = C * width, (width + edge) * width * kernel**2
    others, to_map = (convs - 1) * width**2 * kernel**2, width * last**2
    return squeeze + first + others + to_map + (convs + 1) * (norm + bias) * width + map_norm + bias


COUNTS = [
    ({}, ""),
    ({"norm": 0, "map_norm": 0}, "BatchNorm has two numbers"),
    ({"edge": 0}, "64 channels of e_att"),
    ({"map_norm": 0}, "last BatchNorm"),
    ({"bias": 1}, "no bias"),
    ({"edge": 1}, "you count"),
]


@pytest.mark.parametrize("slip, words", COUNTS, ids=[words or "right" for _, words in COUNTS])
def test_parameters_of_a_unit(slip, words):
    said = unit_parameters(lambda *unit: parameters(*unit, **slip))
    assert words in said if words else said == ""


def per_image(bce, w):
    return ((w * bce).sum((1, 2, 3)) / w.sum((1, 2, 3))).mean()


LOSSES = [
    (lambda bce, w: (bce.mean(), per_image(bce, w)), ""),
    (lambda bce, w: (bce.mean().item(), per_image(bce, w).item()), ""),
    (lambda bce, w: (per_image(bce, w), per_image(bce, w)), "still depends on w"),
    (lambda bce, w: (bce.mean(), bce.mean()), "plain mean"),
    (lambda bce, w: (bce.mean(), (w * bce).sum() / w.sum()), "per image"),
    (lambda bce, w: (bce.mean(), (w * bce).mean()), "sum of the weights"),
    (lambda bce, w: (bce, w), "one number"),
    (lambda bce, w: (None, None), "still missing"),
]


@pytest.mark.parametrize(
    "answer, words", LOSSES, ids=[f"{k} {words or 'right'}" for k, (_, words) in enumerate(LOSSES)]
)
def test_two_losses(answer, words):
    torch.manual_seed(0)
    said = two_losses(answer)
    assert words in said if words else said == ""
