"""A network flattened for runtimes outside Python gives the same numbers as the network."""

import pytest
import torch
from flat_runner import run_flat
from random_norms import seeded

from covidseg.attention import capture
from covidseg.nn import create_model
from covidseg.papers.miniseg.live import flat


@pytest.mark.parametrize("wiring", ["official", "paper"])
def test_miniseg_flat_has_every_map_and_the_logits_of_miniseg(wiring):
    model = seeded(create_model("miniseg", wiring=wiring))
    x = torch.randn(1, 3, 46, 37)  # odd sides: the decoder resizes by no whole factor
    network = flat(model)
    results = run_flat(network, x[0])
    maps = capture(model, x)
    assert set(network.maps) == set(maps)
    for name, number in network.maps.items():
        torch.testing.assert_close(results[number], torch.from_numpy(maps[name][0]), atol=1e-4, rtol=1e-4, msg=name)
    with torch.no_grad():
        torch.testing.assert_close(results[network.output], model(x)[0], atol=1e-4, rtol=1e-4)


def test_a_switch_takes_one_dilated_branch_out_of_every_block():
    model, x = seeded(create_model("miniseg")), torch.randn(1, 3, 32, 32)
    network = flat(model)
    assert list(network.switches) == ["k1", "k2", "k3", "k4"]
    by_switch = run_flat(network, x[0], off=["k3"])
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".dilated.2." in name:
                weight.zero_()
        torch.testing.assert_close(by_switch[network.output], model(x)[0], atol=1e-4, rtol=1e-4)
