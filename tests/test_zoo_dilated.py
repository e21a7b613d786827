"""The rivals with a dilated ResNet (stride 8) against counts, equations, recorded tensors and contracts."""

import pytest
import torch
from test_infnet import seeded
from torch import nn
from torch.testing import assert_close

from covidseg.backbones import create_backbone
from covidseg.backbones.resnet import Bottleneck, ResNet
from covidseg.errors import UserError
from covidseg.nn.layers import PPM, Affinity, collect

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


def test_affinity_is_a_softmax_over_keys_and_collects_their_values():
    Q, K, V = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 2, 2), torch.randn(2, 6, 2, 2)
    A = Affinity(scale=0.5)(Q, K)
    assert A.shape == (2, 15, 2, 2)
    weights = torch.stack([(Q * k[..., None, None]).sum(1) / 2 for k in K.flatten(2).unbind(2)], 1).exp()  # B, 4, H, W
    weights = weights / weights.sum(1, keepdim=True)
    assert_close(A.flatten(2), weights.flatten(2).transpose(1, 2))
    expected = sum(
        w[:, None] * v[..., None, None] for w, v in zip(weights.unbind(1), V.flatten(2).unbind(2), strict=True)
    )
    assert_close(collect(V, A, Q), expected)


# --- the trunk


def test_first_block_of_a_dilated_stage_has_the_dilation_that_is_asked_for():
    found = {}
    for first in ("before", "own"):
        trunk = ResNet(Bottleneck, (1, 1, 3, 2), width=8, output_stride=8, first_dilation=first)
        found[first] = [[block.conv2.dilation[0] for block in layer] for layer in (trunk.layer3, trunk.layer4)]
    assert found == {"before": [[1, 2, 2], [2, 4]], "own": [[2, 2, 2], [4, 4]]}


def test_ceil_pooling_keeps_a_pixel_more_of_even_sides():
    def sides(**options):
        trunk = ResNet(Bottleneck, (1, 1, 1, 1), width=8, output_stride=8, **options).eval()
        return [f.shape[-1] for f in trunk(torch.zeros(1, 3, 64, 64))]

    assert sides() == [32, 16, 8, 8, 8] and sides(ceil_pool=True) == [32, 17, 9, 9, 9]


def test_first_dilation_is_one_of_two():
    with torch.device("meta"), pytest.raises(UserError, match="first_dilation.*Known: before, own"):
        create_backbone("resnet50", first_dilation="after")
