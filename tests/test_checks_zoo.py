"""Exercises of 26_model_zoo: a right answer passes, and each usual slip gets the sentence that names it."""

import pytest

from covidseg.papers.miniseg.checks.nb_26_model_zoo import PRINTS, attention_macs, impossible_speeds, printed_range
from covidseg.tables.benchmark import in_print


def printed(text, *, million=1_024_000, small=1_000_000, half=0.005):
    value = float(text[:-1])
    unit = 1000 if text[-1] == "K" else million if value >= 1 else small
    return (value - half) * unit, (value + half) * unit


def test_the_ranges_are_those_of_the_print():
    for text, (low, high) in PRINTS.items():
        assert {in_print(n) for n in (low + 2, (low + high) // 2, high - 2)} == {text}
        assert in_print(low - 2) != text != in_print(high + 2)


RANGES = [
    ({}, ""),
    ({"million": 1_000_000}, "M is 1,024,000"),
    ({"small": 1_024_000}, "below a million"),
    ({"half": 0.01}, "half a unit"),
    ({"million": 1_048_576}, "can be anything from"),
]


@pytest.mark.parametrize(("slip", "words"), RANGES)
def test_a_printed_range(slip, words):
    said = printed_range(lambda text: printed(text, **slip))
    assert words in said if words else said == ""


def pixels(H, W, stride):
    return (H // stride) * (W // stride)


PRICES = [
    (lambda H, W, s, k, v: pixels(H, W, s) ** 2 * (k + v), ""),
    (lambda H, W, s, k, v: pixels(H, W, s) ** 2 * k, "Q K alone"),
    (lambda H, W, s, k, v: pixels(H, W, s) ** 2 * v, "A V alone"),
    (lambda H, W, s, k, v: pixels(H, W, s) * (k + v), "N x N"),
    (lambda H, W, s, k, v: 2 * pixels(H, W, s) ** 2 * (k + v), "counts once"),
    (lambda H, W, s, k, v: (H * W) ** 2 * (k + v), "divided by the stride"),
    (lambda H, W, s, k, v: 7, "you say 7"),
]


@pytest.mark.parametrize(("answer", "words"), PRICES)
def test_the_price_of_attention(answer, words):
    said = attention_macs(answer)
    assert words in said if words else said == ""


SPEEDS = [
    ({"FCN-8s", "SegNet", "DeepLabv3+"}, ""),
    (["SegNet", "DeepLabv3+"], "1 more"),
    ({"FCN-8s", "SegNet", "DeepLabv3+", "U-Net"}, "U-Net does about as many"),
    ("SegNet", "2 more"),
]


@pytest.mark.parametrize(("answer", "words"), SPEEDS)
def test_speeds_that_cannot_be(answer, words):
    said = impossible_speeds(answer)
    assert words in said if words else said == ""
