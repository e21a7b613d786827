"""The rivals with a dilated ResNet (stride 8) against counts, equations, recorded tensors and contracts."""

import pytest
import torch
from test_infnet import seeded
from torch import nn
from torch.testing import assert_close

from covidseg.nn.layers import PPM

# --- the blocks, stated a second time


@pytest.mark.parametrize(("norm", "corners"), [(True, True), (False, False)])
def test_pyramid_pooling_is_the_mean_of_each_bin_grown_back(norm, corners):
    ppm, x = seeded(PPM(5, 2, (1, 3), norm=norm, corners=corners, relu=norm)), torch.randn(2, 5, 6, 9)
    expected = []
    for b, level in zip((1, 3), ppm.levels, strict=True):
        means = x.unflatten(2, (b, 6 // b)).unflatten(4, (b, 9 // b)).mean((3, 5))  # B, C, b, b
        y = torch.einsum("bchw,oc->bohw", means, level[1].weight[..., 0, 0])
        y = level[2](y).clamp(min=0) if norm else y
        expected.append(nn.functional.interpolate(y, (6, 9), mode="bilinear", align_corners=corners))
    assert_close(ppm(x), torch.cat(expected, 1))
