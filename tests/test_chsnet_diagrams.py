"""The drawings of CHS-Net say what the networks and their blocks are: Figures 3 to 7 and 9 to 11."""

from dataclasses import replace

import pytest
import torch

from covidseg.papers.chsnet import ABLATIONS, PAPER, CHSNet, RAIUNet
from covidseg.papers.chsnet.diagram import show_chsnet, show_raiunet
from covidseg.papers.chsnet.diagram_blocks import (
    show_depth_attention,
    show_dsc,
    show_hybrid_pool,
    show_inception,
    show_rib,
    show_spatial_attention,
)

plt = pytest.importorskip("matplotlib.pyplot")


def words(draw, drawn) -> list[str]:
    figure, ax = plt.subplots()
    try:
        assert draw(drawn, ax) is ax
        return [text.get_text() for text in ax.texts]
    finally:
        plt.close(figure)


def net(kind=RAIUNet, **options):
    with torch.device("meta"):
        return kind(**options)


def test_raiu_nets_levels_have_the_channels_and_scales_of_its_maps():
    model = net(width=6).eval()
    said, maps = words(show_raiunet, model), {}
    for name, (module, _) in model.named_maps().items():
        module.register_forward_hook(lambda _m, _i, y, name=name: maps.update({name: y.shape}))
    model(torch.zeros(1, 1, 64, 64, device="meta"))
    for k in range(2, 6):
        _, C, H, _ = maps[f"E_{k}"]
        assert said.count(f"{C} at 1/{64 // H}") == (1 if k == 5 else 2)  # E_k and D_k
        assert said.count(f"$E_{k}$  RIB") == 1
    assert said.count("hybrid pooling") == said.count("SSD") == said.count("transposed 2x2, stride 2") == 4
    assert "$I$, 1 channel" in said and "1x1 convolution: 1 logit" in said


def test_what_a_row_of_the_ablation_lacks_is_not_drawn():
    said = words(show_raiunet, net(**ABLATIONS["BU"]))
    assert "SSD" not in said and "hybrid pooling" not in said and said.count("max pooling") == 4
    assert "$E_1$  two 3x3" in said and "$E_1$  RIB" not in said
    assert "SSD" not in words(show_raiunet, net(**ABLATIONS["BU+RIB+HP"]))
    other = net(num_classes=3, in_channels=2, wiring=replace(PAPER, stages=3, head_bn=True))
    said = words(show_raiunet, other)
    assert "$I$, 2 channels" in said and "1x1 convolution, BN: 3 logits" in said and said.count("SSD") == 3


@pytest.mark.parametrize(
    ("cascade", "contour", "mark"),
    [
        ("pred", "slice x hard lung mask", "p > 1/2"),
        ("soft", "slice x lung probability", "p"),
        ("concat", "slice and hard lung mask", "p > 1/2"),
        ("gt", "slice x drawn lung mask", "drawn mask"),
    ],
)
def test_the_cascade_is_drawn_as_it_is_joined(cascade, contour, mark):
    said = words(show_chsnet, net(CHSNet, cascade=cascade))
    assert contour in said and mark in said and "cut off at the lungs" not in said
    second = 4_022_924 + (153 if cascade == "concat" else 0)
    assert f"RAIU-Net, {second:,}" in said
    assert "cut off at the lungs" in words(show_chsnet, net(CHSNet, wiring=replace(PAPER, inside=True)))


def test_blocks_say_their_channels():
    model = net()
    block = model.encoder[1]
    assert {"$IC_1$", "20 to 40", "$IC_2$", "40 to 40", "DSC 3x3", "20 to 40, BN", "+"} <= set(words(show_rib, block))
    said = words(show_inception, block.IC_1)
    assert said.count("20 to 40, BN, ReLU") == 3 and {"DSC 1x1", "DSC 3x3", "DSC 5x5", "same, 20, BN, ReLU"} <= set(
        said
    )
    assert said[said.index("concatenate") + 1] == "140"
    said = words(show_dsc, block.IC_1.branches[2][0])
    assert "20 filters of 5x5" in said and "1,300 weights" in said[-1] and "0.065" in said[-1]
    said = words(show_depth_attention, model.SSD[0].depth)
    assert {"20 to 10, ReLU", "10 to 20, sigmoid", "$A_d$", "$F_d$"} <= set(said)
    said = words(show_spatial_attention, model.SSD[0].spatial)
    assert {"2x2 by 2", "20 to 40", "40 to 40", "to 1, sigmoid", "nearest", "$A_s$", "to 20, BN, ReLU"} <= set(said)


def test_pooling_is_drawn_in_the_form_it_has():
    model = net()
    said = words(show_hybrid_pool, model.down[0])
    assert {"2x2, stride 2", "low frequencies", "40 to 20", "20 channels, half size"} <= set(said)
    said = words(show_hybrid_pool, model.encoder[1].IC_1.pool[0])
    assert {"2x2, stride 1", "same size: identity", "20 channels"} <= set(said)
    said = words(show_hybrid_pool, net(**ABLATIONS["BU+RIB"]).encoder[1].IC_1.pool[0])
    assert "max" in said and "spectral" not in said and "concatenate" not in said
    assert "max pooling, 1x1" in words(show_inception, net(**ABLATIONS["BU+RIB"]).encoder[1].IC_1)
    relu = net(wiring=replace(PAPER, depth_gate="relu", F_s_relu=False))
    assert "10 to 20, ReLU" in words(show_depth_attention, relu.SSD[0].depth)
    assert "to 20, BN" in words(show_spatial_attention, relu.SSD[0].spatial)
    smooth = net(wiring=replace(PAPER, same_keep=0.5)).encoder[1].IC_1.pool[0]
    assert "same size: 0.5 kept" in words(show_hybrid_pool, smooth)
