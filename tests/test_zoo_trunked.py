"""SegNet, and the U-shaped rivals of CHS-Net's Table 3 on their trunks: counts, reference, blocks and contracts."""

import csv
from itertools import product

import pytest
import torch
from random_norms import seeded
from test_infnet import size_of
from test_zoo import channel_mix, thin_resnet, thin_vgg  # noqa: F401  (a fixture)
from torch import nn
from torch.testing import assert_close
from zoo_reference import distance

from covidseg import create_model, profile_model
from covidseg.attention import capture, map_names
from covidseg.backbones import vgg
from covidseg.errors import UserError
from covidseg.nn import card
from covidseg.nn.layers import corner_resize
from covidseg.papers import find_row
from covidseg.runs import source
from covidseg.zoo.attention_unet import AttentionGate
from covidseg.zoo.segnet import mirrored

SMALL = {  # case -> name, options of a narrow build, least side; with VGG16 at an eighth of its channels
    "segnet": ("segnet", dict, 32),
    "unet": ("unet", lambda: dict(config="chsnet"), 16),
    "unet twice": ("unet", lambda: dict(config="chsnet", convs=2, up="conv", backbone="vgg16"), 16),
    "attention_unet": ("attention_unet", lambda: dict(config="chsnet"), 16),
    "unetplusplus": ("unetplusplus", lambda: dict(config="chsnet", width=4, backbone=thin_resnet()), 16),
}
thin = pytest.mark.usefixtures("thin_vgg")
every = pytest.mark.parametrize("case", SMALL)


def small(case, seed=0):
    torch.manual_seed(seed)
    name, options, _ = SMALL[case]
    return seeded(create_model(name, **options()), seed)


# --- counts, and the authors' logits


@pytest.mark.parametrize("config", ["paper", "released"])
def test_segnet_has_the_count_and_the_macs_of_miniseg_table_5(config):
    with torch.device("meta"):
        profile = profile_model(create_model("segnet", config=config), (3, 512, 512))
    assert profile.params == card("segnet").params == 29_444_162
    assert (f"{profile.params / 1_024_000:.2f}", round(profile.macs / 1e9, 3)) == ("28.75", 160.206)


def test_segnet_answers_as_the_published_program(reference):
    assert distance(create_model("segnet", config="released"), reference / "zoo", "segnet") < 1e-6


TABLE_3 = {  # (network, variant) -> line of the print, our parameters; the print cuts 29.44 to 29.4 and 21.77 to 21.7
    ("segnet", "SegNet + VGG16"): ("SegNet + VGG16", 29_443_585),
    ("unet", "U-Net + VGG16"): ("U-Net + VGG16", 21_767_105),
    ("attention_unet", "AU-Net + VGG16"): ("AU-Net + VGG16", 22_161_645),
    ("unetplusplus", "U-Net++ + ResNet50"): ("U-Net++ + ResNet50", 35_678_177),
}


@pytest.mark.parametrize("place", TABLE_3, ids=" ".join)
def test_a_rival_of_chs_nets_table_3_has_the_printed_size_or_its_card_says_not(place, repo):
    line, params = TABLE_3[place]
    with open(repo / "data/papers/chsnet_table3.csv", newline="") as file:
        printed = {row["model"]: row["params"].removesuffix("M") for row in csv.DictReader(file)}[line]
    assert size_of(place[0], **find_row(*place)[1].options) == params
    digits = len(printed.partition(".")[2])
    met = f"{params / 1e6 - 0.5 * 10**-digits:.{digits}f}" == printed  # cut, not rounded
    assert met == (place[0] != "unetplusplus")
    assert any("CHS-Net's Table 3" in note and (met or "no natural build" in note) for note in card(place[0]).notes)


@pytest.mark.parametrize("place", TABLE_3, ids=" ".join)
def test_the_key_of_a_rivals_run_covers_its_trunk(place, monkeypatch):
    monkeypatch.setattr(source, "_hash", lambda files, data: {file.stem for file in files})
    assert {place[0], "resnet" if "ResNet" in place[1] else "vgg"} <= source.source_key(*place)


def plusplus(widths, convs, up, columns=(64, 256, 512, 1024, 2048)):
    """Parameters of a U-Net++ on ResNet50 (23,508,032) with nodes of these widths, one class; counted by hand."""
    total, norm = 23_508_032, 3  # of a convolution with bias and norm, per channel
    for j in range(1, 5):
        for i in range(5 - j):
            w, below = widths[i], columns[i + 1] if j == 1 else widths[i + 1]
            if up == "transposed":
                total, below = total + 4 * below * w + w, w
            total += 9 * (columns[i] + (j - 1) * w + below) * w + norm * w + (convs - 1) * (9 * w * w + norm * w)
    return total + widths[0] + 1


def test_no_plain_unetplusplus_on_resnet50_has_the_printed_37_6_million():
    plain = [[k, 2 * k, 4 * k, 8 * k] for k in (16, 32, 64)] + [[k] * 4 for k in (64, 128, 256)]
    plain += [[c // part for c in (64, 256, 512, 1024)] for part in (1, 2, 4)]
    counts = {
        (*widths, convs, up): plusplus(widths, convs, up)
        for widths, convs, up in product(plain, (1, 2), ("resize", "transposed"))
    }
    assert counts[32, 64, 128, 256, 2, "resize"] == TABLE_3["unetplusplus", "U-Net++ + ResNet50"][1]
    assert not [build for build, count in counts.items() if 37_500_000 <= count < 37_700_000]
    nearest = min(counts.values(), key=lambda count: abs(count - 37_600_000))
    assert abs(nearest - 37_600_000) > 1_900_000


# --- the blocks, stated a second time


def test_segnets_decoder_is_vgg16_read_backwards():
    with torch.device("meta"):
        model = create_model("segnet", num_classes=5)
    there = [(m.in_channels, m.out_channels) for m in model.backbone.modules() if isinstance(m, nn.Conv2d)]
    back = [(m.in_channels, m.out_channels) for m in [*model.up.modules(), model.head] if isinstance(m, nn.Conv2d)]
    assert back == [(c_out, c) for c, c_out in reversed(there)][:-1] + [(64, 5)]
    assert [len(level) - 1 for level in mirrored()] == [3, 3, 3, 2, 1] and len(vgg.STAGES) == 5


@thin
def test_segnet_puts_each_maximum_back_and_zeros_beside_it():
    model, x = small("segnet"), torch.randn(1, 3, 64, 96)
    maps = {name: torch.from_numpy(m) for name, m in capture(model, x).items()}
    f_5, U_5 = maps["f_5"], maps["U_5"]
    windows = f_5.unflatten(-2, (-1, 2)).unflatten(-1, (-1, 2)).transpose(3, 4).flatten(4)  # B, C, h, w, 4
    kept = U_5.unflatten(-2, (-1, 2)).unflatten(-1, (-1, 2)).transpose(3, 4).flatten(4)
    assert_close(kept.sum(-1), windows.amax(-1))  # the maximum, once
    assert ((kept != 0).sum(-1) <= 1).all() and ((kept == 0) | (kept == windows)).all()
    for i in (4, 3, 2, 1):  # the values come from below, the places from the encoder
        assert (maps[f"U_{i}"] != 0).sum() <= maps[f"Y_{i + 1}"].numel()
        places = nn.functional.max_pool2d(maps[f"f_{i}"], 2, return_indices=True)[1]
        assert_close(maps[f"U_{i}"].flatten(2).gather(2, places.flatten(2)), maps[f"Y_{i + 1}"].flatten(2))


def test_a_gate_may_compare_a_skip_with_a_map_of_more_channels():
    gate = seeded(AttentionGate(6, 4, 10))
    x, g = torch.randn(2, 6, 5, 7), torch.randn(2, 10, 5, 7)
    q = channel_mix(gate.psi, (channel_mix(gate.W_x, x) + channel_mix(gate.W_g, g)).clamp(min=0))  # (1)
    assert_close(gate(x, g), x / (1 + (-q).exp()), rtol=1e-4, atol=1e-5)  # (2)


@thin
@pytest.mark.parametrize("name", ["unet", "attention_unet"])
def test_a_u_on_vgg16_is_the_trunks_maps_joined_from_the_deepest_up(name):
    model, x = small(name), torch.randn(1, 3, 48, 80)
    with torch.no_grad():
        f = model.backbone(x) if hasattr(model, "backbone") else model.down(x)
        y = f[4]
        for k, skip in enumerate((f[3], f[2], f[1], f[0])):
            grown = corner_resize(y, skip)
            skip = model.gates[k](skip, grown) if name == "attention_unet" else skip
            conv, norm, relu = model.up[k]
            y = relu(norm(conv(torch.cat([skip, grown], 1))))
        assert_close(model(x), model.head(y))
    assert isinstance(model.down, vgg.VGG16) and y.shape[-2:] == x.shape[-2:]


def test_unetplusplus_on_a_resnet_is_eqn_1_at_half_size_and_grown():
    model, x = small("unetplusplus"), torch.randn(1, 3, 64, 96)
    column_0 = model.down(x)

    def X(i, j):
        if j == 0:
            return column_0[i]
        row = [X(i, k) for k in range(j)]
        return model.nodes[f"X_{i}_{j}"](torch.cat([*row, corner_resize(X(i + 1, j - 1), row[0])], 1))

    with torch.no_grad():
        logits = model.heads["P_4"](X(0, 4))
        assert logits.shape[-2:] == (32, 48)
        assert_close(model(x), corner_resize(logits, x))


# --- the contract of these builds; that of SegNet's default build is in papers/test_contract.py


@thin
@every
def test_odd_and_smallest_sizes_go_through_and_smaller_ones_are_refused(case):
    model, least = small(case), SMALL[case][2]
    with torch.no_grad():
        for size in ((97, 130), (least, least + 1)):
            assert model(torch.rand(1, 3, *size)).shape == (1, 2, *size)
        with pytest.raises(UserError, match=f"pad {least - 1} x 64 to {least} x 64"):
            model(torch.rand(1, 3, least - 1, 64))


@thin
@every
def test_every_parameter_gets_a_gradient(case):
    answer = (model := small(case).train())(torch.randn(2, 3, 64, 64))
    (answer * torch.randn_like(answer)).sum().backward()
    assert answer.shape == (2, 2, 64, 64)
    asleep = {n for n, p in model.named_parameters() if p.grad is None or (p.ndim > 1 and not p.grad.abs().sum())}
    assert not asleep  # a bias before a norm has a gradient of rounding only, so biases are not asked


@thin
@every
def test_all_named_maps_can_be_captured(case):
    model, x = small(case), torch.rand(1, 3, 64, 96)
    maps = capture(model, x)
    assert list(maps) == map_names(model) and all(m.ndim == 4 for m in maps.values())


@thin
@pytest.mark.parametrize("case", ["segnet", "unet", "attention_unet"])
def test_imagenets_numbers_come_from_a_file(case, tmp_path):
    torch.manual_seed(5)
    trunk = vgg.VGG16(norm=True)
    torch.save(trunk.state_dict(), tmp_path / "vgg16_bn.pth")
    name, options, _ = SMALL[case]
    model = create_model(name, imagenet=tmp_path / "vgg16_bn.pth", **options())
    left = model.backbone if name == "segnet" else model.down
    assert_close(left.state_dict(), trunk.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("segnet", dict(imagenet="no.pth"), "vgg16_bn-6c64b313.pth"),
        ("segnet", dict(config="papr"), "No config of segnet is called 'papr'. Did you mean 'paper'"),
        ("unet", dict(imagenet="no.pth"), "no trunk that takes ImageNet's weights"),
        ("unet", dict(config="chsnet", imagenet="no.pth"), "vgg16_bn-6c64b313.pth"),
        ("unet", dict(convs=3), r"number of convolutions \(convs\).*Known: 1, 2"),
        ("attention_unet", dict(up="bilinaer"), r"way up in Attention U-Net \(up\).*Did you mean 'bilinear'"),
        ("unetplusplus", dict(backbone="resnet5"), "Did you mean 'resnet50'"),
        ("unetplusplus", dict(config="chsnet", imagenet="no.pth"), "resnet50-19c8e357.pth"),
    ],
)
def test_a_wrong_option_is_one_clear_line(name, options, says):
    with torch.device("meta"), pytest.raises(UserError, match=says) as caught:
        create_model(name, **options)
    assert "\n" not in str(caught.value)
