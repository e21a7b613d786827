"""The drawings of COVID-SegNet say what the network and its blocks are: Figures 2 to 4."""

import pytest
import torch

from covidseg.papers.covidsegnet import ABLATIONS, COVIDSegNet
from covidseg.papers.covidsegnet.diagram import show_covidsegnet, show_fv, show_paspp

plt = pytest.importorskip("matplotlib.pyplot")


def words(draw, drawn) -> list[str]:
    figure, ax = plt.subplots()
    try:
        assert draw(drawn, ax) is ax
        return [text.get_text() for text in ax.texts]
    finally:
        plt.close(figure)


def net(**options):
    with torch.device("meta"):
        return COVIDSegNet(**options)


def test_layers_say_their_blocks_in_order_with_channels_and_scales():
    said = words(show_covidsegnet, net(width=6, num_classes=3))
    assert "$E_1$  residual" in said and [w for w in said if "FV" in w] == [f"$E_{k}$  FV" for k in (2, 3, 4)]
    assert said.count("12 at 1/2") == said.count("48 at 1/8") == 2 and "PASPP" in said
    assert said.count("3x3x3, stride 2") == 3 and "1x1x1: 3 logits per voxel" in said
    post = words(show_covidsegnet, net(width=6, fv_at="post"))
    assert [w for w in post if "FV" in w] == ["FV"] * 3 and "$E_4$  PASPP" in post


def test_what_a_row_of_table_2_lacks_is_not_drawn():
    said = words(show_covidsegnet, net(width=6, **ABLATIONS["UNet4"]))
    assert not any("FV" in word or "ASPP" in word for word in said) and "$E_4$  residual" in said
    fv = {row: words(show_fv, net(width=6, **ABLATIONS[row]).encoder[1].fv) for row in list(ABLATIONS)[1:5]}
    assert {row: ("$F_g$" in w, "$A$" in w) for row, w in fv.items()} == {
        "UNet4 + CAB": (True, False), "UNet4 + CEB": (True, False),
        "UNet4 + PSB": (False, True), "UNet4 + FV": (True, True),
    }  # fmt: skip
    assert "one for all" in fv["UNet4 + CEB"] and "12, one a channel" in fv["UNet4 + CAB"]


def test_paspp_says_its_dilations_and_what_is_added():
    said = words(show_paspp, net().encoder[3].body)
    assert [f"dilation {d}" in said for d in (1, 2, 4, 8)] == [True] * 4 and said.count("1x1x1, 256") == 2
    assert "to each, the inputs of both of its pair" in said
    plain = words(show_paspp, net(**ABLATIONS["UNet4 + ASPP"]).encoder[3].body)
    assert not any("pair" in word for word in plain) and "1x1x1, 256" not in plain
