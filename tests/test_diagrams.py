"""The drawing of Inf-Net says what the network is, and shows no part that it was built without."""

import pytest
import torch

from covidseg import create_model, diagrams_infnet

plt = pytest.importorskip("matplotlib.pyplot")


def words(**options) -> list[str]:
    with torch.device("meta"):
        model = create_model("infnet", **options)
    figure, ax = plt.subplots()
    try:
        return [text.get_text() for text in diagrams_infnet.show_infnet(model, ax).texts]
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
