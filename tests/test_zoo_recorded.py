"""Rivals that were here before their recorded logits: the same numbers, in the order of the published programs."""

import pytest
from torch import nn
from zoo_reference import distance

from covidseg import create_model
from covidseg.backbones.xception import Block
from covidseg.papers import variant_options
from covidseg.papers.miniseg.paper import INFNET


class InOrder(nn.Module):
    """A network whose parts are registered in another order; it answers as before."""

    def __init__(self, network, parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.answer = network.eval().forward  # a function, so no second entry

    def forward(self, x):
        return self.answer(x)


def unet(network):
    """Level by level going up."""
    parts = [network.down]
    for k, grow in enumerate(network.grow):
        gates = [network.gates[k]] if hasattr(network, "gates") else []
        parts += [grow, *(part for gate in gates for part in (gate.W_g, gate.W_x, gate.psi)), network.up[k]]
    return [*parts, network.head]


def deeplabv3plus(network):
    """A block's shortcut before the block itself."""
    trunk = []
    for module in network.backbone.children():
        blocks = list(module) if isinstance(module, nn.Sequential) and isinstance(module[0], Block) else [module]
        trunk += [part for b in blocks for part in ([b.skip, b.rep] if isinstance(b, Block) else [b])]
    return [*(part for part in trunk if part is not None), network.ASPP, network.project, network.low,
            network.refine, network.head]  # fmt: skip


def infnet(network):
    PPD = network.PPD
    decoder = [PPD.gate_45, PPD.gate_35, PPD.gate_34, PPD.up_5, PPD.up_4, PPD.merge_4, PPD.merge_3, PPD.last]
    return [network.backbone, network.reduce, *decoder, network.map_g, network.RA]


def dilated_infnet():
    return create_model("infnet", **variant_options("infnet", INFNET))


CASES = {
    "unet": (lambda: create_model("unet", config="released"), unet),
    "attention_unet": (lambda: create_model("attention_unet", config="released"), unet),
    "unetplusplus": (lambda: create_model("unetplusplus", config="released"), lambda network: [network]),
    "fcn8s": (lambda: create_model("fcn8s", config="released"), lambda network: [network]),
    "deeplabv3plus": (lambda: create_model("deeplabv3plus", config="released"), deeplabv3plus),
    "infnet": (dilated_infnet, infnet),
}


@pytest.mark.parametrize("name", CASES)
def test_the_released_build_answers_as_the_published_program(name, reference):
    build, order = CASES[name]
    network = build()
    assert distance(InOrder(network, order(network)), reference / "zoo", name) < 1e-6
