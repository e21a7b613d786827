"""The small rivals of MiniSeg's Table 5 against counts, the authors' tensors, and their blocks said a second time."""

import json
import math
from importlib import import_module

import numpy as np
import pytest
import torch
from random_norms import seeded
from test_infnet import size_of
from torch import nn
from torch.testing import assert_close

from covidseg import create_model, profile_model
from covidseg.attention import capture, map_names
from covidseg.errors import UserError
from covidseg.nn import card
from covidseg.zoo import enet

COUNTS = {  # parameters, GMAC at 512 x 512, MiniSeg Table 5
    "enet": (363_197, 1.890, "0.36M"),
}
CORNERS = {"enet": None}  # align_corners of the last resize; None where there is none
RECORDED = ["enet"]  # networks with tensors of the published code


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_and_macs_are_those_of_both_builds(name):
    params, gmacs, printed = COUNTS[name]
    configs = import_module(f"covidseg.zoo.{name}").CONFIGS
    assert configs["paper"] == configs["released"]  # so one of them is counted
    assert size_of(name, config="released") == card(name).params == params
    with torch.device("meta"):
        macs = profile_model(create_model(name, config="paper"), (3, 512, 512)).macs
    assert round(macs / 1e9, 3) == gmacs
    assert printed == (f"{params / 1e6:.2f}M" if params < 1e6 else f"{params / 1_024_000:.2f}M")


# --- tensors of the published code


KINDS = dict(bn_weight=(1, 0.1), bn_bias=(0, 0.1), bn_mean=(0, 0.1), bn_var=(1, 0.2), prelu=(0.25, 0.05))


def filled(index, shape, kind, factor, base):
    """Value of one entry of a state dict, from its place and kind alone, as the reference's README says."""
    rng = np.random.RandomState(base + index)
    if kind == "bn_count":
        return np.zeros(shape, np.int64)
    n = rng.standard_normal(shape)
    if kind == "weight":
        n *= math.sqrt(2 / math.prod(shape[1:])) * factor
    elif kind == "bias":
        n *= 0.05
    else:
        mean, scale = KINDS[kind]
        n = mean + scale * (abs(n) if kind == "bn_var" else n)
    return np.asarray(n, np.float32)


@pytest.mark.parametrize("name", RECORDED)
def test_logits_equal_those_of_the_published_code(name, reference):
    """Layers are built in the published order, so entries of the state dicts agree one by one."""
    facts = json.loads((reference / "zoo" / f"{name}.json").read_text())
    model = create_model(name, config="released")
    state = model.state_dict()
    for (key, old), (index, theirs, shape, kind) in zip(state.items(), facts["state_dict"], strict=True):
        assert list(old.shape) == shape, f"{key} is not {theirs}"
        value = filled(index, tuple(shape), kind, facts["conv_scale_factor"], facts["seed_base"])
        state[key] = torch.from_numpy(value)
    model.load_state_dict(state)
    x = torch.from_numpy(np.random.RandomState(7).standard_normal((1, 3, 96, 128)).astype(np.float32))
    with torch.no_grad():
        logits = model.double().eval()(x.double()).numpy()
    wanted = np.load(reference / "zoo" / f"{name}.npz")["logits"]
    assert np.abs(logits - wanted).max() < 1e-6 * np.abs(wanted).max()


# --- the contract of every network


@torch.no_grad()
@pytest.mark.parametrize("name", COUNTS)
def test_odd_and_tiny_sizes_go_through(name):
    model = seeded(create_model(name, num_classes=3, in_channels=1))
    for size in ((65, 50), (9, 1)):
        assert model(torch.rand(1, 1, *size)).shape == (1, 3, *size)


@torch.no_grad()
@pytest.mark.parametrize("name", COUNTS)
def test_the_last_named_map_is_the_prediction(name):
    model, x = seeded(create_model(name)), torch.rand(1, 3, 64, 96)
    maps = capture(model, x)
    assert list(maps) == map_names(model) and all(m.ndim == 4 and np.isfinite(m).all() for m in maps.values())
    prediction, logits = torch.from_numpy(maps[map_names(model, "P_*")[-1]]), model(x)
    if CORNERS[name] is not None:
        prediction = nn.functional.interpolate(prediction, (64, 96), mode="bilinear", align_corners=CORNERS[name])
    assert_close(prediction, logits)


@pytest.mark.parametrize("name", COUNTS)
def test_a_wrong_build_is_one_clear_line(name):
    with torch.device("meta"), pytest.raises(UserError, match=f"No config of {name} is called 'papr'"):
        create_model(name, config="papr")
    with torch.device("meta"), pytest.raises(TypeError, match="wdith"):
        create_model(name, wdith=4)


# --- the blocks, stated a second time


@torch.no_grad()
def test_enet_puts_each_value_back_where_its_maximum_stood():
    down, up = seeded(enet.Down(4, 8, 0.01)), seeded(enet.Up(8, 4))
    down.extension = lambda x: torch.zeros(2, 8, 3, 4)
    x = torch.randn(2, 4, 6, 8)
    y, where = down(x)
    maxima = x.unflatten(2, (3, 2)).unflatten(4, (4, 2)).amax((3, 5))
    assert_close(y, torch.cat([maxima.clamp(min=0), torch.zeros_like(maxima)], 1))  # zeros for the new channels
    spread = torch.zeros(2, 4, 48).scatter_(2, where.flatten(2), up.main(y).flatten(2)).view_as(x)
    assert ((spread != 0) <= (x == maxima.repeat_interleave(2, 2).repeat_interleave(2, 3))).all()
    assert_close(up(y, where), (spread + up.extension(y)).relu())


@torch.no_grad()
def test_enets_asymmetric_convolution_is_one_of_5_by_5():
    conv, x = enet.asymmetric(3), torch.randn(1, 3, 6, 7)
    column, row = conv[0].weight[..., 0], conv[1].weight[:, :, 0]  # out, middle, 5; out, middle, 5
    square = torch.einsum("mcy,omx->ocyx", column, row)
    assert_close(conv(x), nn.functional.conv2d(x, square, conv[1].bias, padding=2), rtol=1e-4, atol=1e-5)
