"""Where time goes: counted by hand on two layers, bounded by the roof, the same operators as the memory counter."""

import matplotlib
import numpy as np
import pytest
import torch
from torch import nn

from covidseg import create_model, profile_model, show
from covidseg.errors import UserError
from covidseg.roofline import REST, Part, Roof, by_part, measure_roof
from covidseg.speed import kept, memory, operations

matplotlib.use("agg")
MAP = 4 * 16 * 16  # bytes of one channel of 16 x 16


class Two(nn.Module):
    """A depthwise filter, a pointwise one, and a sum that belongs to neither."""

    def __init__(self):
        super().__init__()
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.pointwise = nn.Conv2d(8, 8, 1, bias=False)

    def forward(self, x):
        return self.pointwise(self.depthwise(x)) + x


PARTS = {"deep": ["depthwise"], "point": ["pointwise"]}


def test_macs_and_bytes_are_those_that_a_hand_counts():
    parts = by_part(Two(), (8, 16, 16), PARTS, passes=1)
    deep, point, rest = parts["deep"], parts["point"], parts[REST]
    assert (deep.macs, point.macs, rest.macs) == (8 * 9 * 256, 8 * 8 * 256, 0)
    assert (deep.moved, point.moved) == (16 * MAP + 4 * 72, 16 * MAP + 4 * 64)  # a map in, a map out, the weights
    assert (rest.moved, rest.operators) == (24 * MAP, 1)  # two maps in, one out
    assert str(deep) == "      0.0 M MACs     0.0 MB    1 operators"
    assert deep.intensity == pytest.approx(18432 / 16672) and all(part.seconds >= 0 for part in parts.values())


def test_parts_of_a_real_network_add_up():
    net = create_model("miniseg").eval()
    parts = {"stages": [f"stages.{k}" for k in range(4)], "heads": [f"heads.{k}" for k in range(4)]}
    found = by_part(net, (3, 64, 64), parts, passes=1)
    assert sum(part.macs for part in found.values()) == profile_model(net, (3, 64, 64)).macs
    assert sum(part.operators for part in found.values()) == memory(net, (3, 64, 64)).operators
    assert found["stages"].macs > found[REST].macs > 0 and not net._forward_hooks


def test_a_part_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"no part 'stage'; named_modules\(\)"):
        by_part(Two(), (8, 16, 16), {"x": ["stage"]})


def test_the_roof_is_the_lower_of_two_limits():
    roof = Roof(rate=100.0, bandwidth=10.0)
    assert [roof.at(x) for x in (1, 10, 50)] == [10, 100, 100] and roof.ridge == 10
    assert Part(macs=0, moved=0, operators=0, seconds=0.0).intensity == 0
    measured = measure_roof(side=32, megabytes=1, seconds=0)
    assert measured.rate > 0 and measured.bandwidth > 0


def test_operators_and_kept_bytes_of_a_step():
    x, y = torch.randn(5, requires_grad=True), torch.randn(5)
    assert kept(lambda: (x * x).sum().backward()) == 20  # x, once, though both factors are kept
    assert kept(lambda: (x * y).sum().backward()) == 20 and kept(lambda: (x + y).sum().backward()) == 0
    assert operations(lambda: y + y) == 1 and operations(lambda: (y + y) * 2) == 2


def test_the_picture_shows_the_roof_and_a_star():
    ax = show.roofline(Roof(1e11, 1e10), {"a": (1.0, 2e9), "b": (40.0, 5e10)}, highlight="a")
    line, *dots = ax.lines
    assert np.allclose(line.get_ydata()[1:], 100) and [dot.get_marker() for dot in dots] == ["*", "o"]
    assert [text.get_text() for text in ax.texts][-2:] == ["a", "b"]
    matplotlib.pyplot.close("all")
