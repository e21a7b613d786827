"""The drawings say what the networks are, and show no part that one was built without."""

import pytest
import torch

from covidseg import create_model
from covidseg.papers.infnet.diagram import show_infnet
from covidseg.papers.miniseg.diagram import show_miniseg

plt = pytest.importorskip("matplotlib.pyplot")


def words(draw=show_infnet, model="infnet", **options) -> list[str]:
    with torch.device("meta"):
        network = create_model(model, **options)
    figure, ax = plt.subplots()
    try:
        return [text.get_text() for text in draw(network, ax).texts]
    finally:
        plt.close(figure)


def test_the_drawing_names_every_part_with_its_sizes():
    said = words()
    for name in ("$f_1$", "$f_5$", "parallel partial decoder", "EA", "$R_5$", "$R_3$", "$S_g$", "$S_3$ (answer)"):
        assert said.count(name) == 1, name
    assert "2048 at 1/32" in said and "3 x 5x5" in said and said.count("2 x 3x3") == 2 and said.count("RFB") == 3


@pytest.mark.parametrize(
    "options, gone", [({"ra": False}, "$R_5$"), ({"ea": False}, "$S_e$ (edge)"), ({"ppd": False}, "RFB")]
)
def test_a_part_left_out_of_the_network_is_left_out_of_the_drawing(options, gone):
    assert gone in words() and gone not in words(**options)


def test_another_trunk_brings_its_own_numbers():
    assert "512 at 1/16" in words(backbone="vgg16") and "512" not in words()


def test_minisegs_stages_stand_at_the_scale_and_with_the_channels_that_they_have():
    with torch.device("meta"):
        network, slices = create_model("miniseg").eval(), torch.zeros(1, 3, 64, 64)
    maps = []
    for stage in network.stages:
        stage.register_forward_hook(lambda module, inputs, outputs: maps.append(outputs[0]))
    network(slices)
    said = words(show_miniseg, "miniseg")
    assert len(maps) == 4
    for number, E in enumerate(maps, 1):
        assert said.count(f"stage {number}") == 1
        assert said.count(f"1/{64 // E.shape[-1]}, {E.shape[1]} channels") == 1
    for name in ("E", "Q", "$P_1$ (answer)", "$P_4$"):
        assert said.count(name) == 1, name
