"""MiniSeg against the paper's equations, the authors' tensors and the published counts."""

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from covidseg import create_model, load_official, profile_model
from covidseg.attention import capture, map_names
from covidseg.errors import UserError
from covidseg.losses import cross_entropy, deep_supervision, log_class_weights
from covidseg.papers.miniseg.ablations import ABLATIONS, JOURNAL
from covidseg.papers.miniseg.network import AHSP, FFM, MiniSeg

ROWS = ABLATIONS | JOURNAL


def seeded(model, seed=0):
    """Random norms, slopes and statistics beside the random filters, so that no term is one or zero by luck."""
    torch.manual_seed(seed)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if value.ndim == 1 else torch.randn_like(value) / 3)
    return model.eval()


# --- the blocks, stated a second time


def test_ahsp_is_eqns_1_to_8_written_out():
    block = seeded(AHSP(12, 24, stride=2))
    x = torch.randn(2, 12, 9, 11)
    S = torch.einsum("bchw,sc->bshw", x, block.shrink.weight[:, :, 0, 0])  # (1)
    padded = torch.nn.functional.pad(S, (1, 1, 1, 1))
    F_dot = sum(padded[:, :, i : i + 9 : 2, j : j + 11 : 2] for i in range(3) for j in range(3)) / 9  # (3) zeros count
    merged = []
    for k, dilation in enumerate((1, 2, 4, 8)):
        wide = torch.nn.functional.pad(S, (dilation,) * 4)
        weight = block.dilated[k].weight
        for i in range(3):
            for j in range(3):  # (2) and (4): each tap of the dilated filter, summed onto the smaller scales
                tap = wide[:, :, i * dilation : i * dilation + 9 : 2, j * dilation : j * dilation + 11 : 2]
                F_dot = F_dot + tap * weight[:, 0, i, j, None, None]
        A = torch.einsum("bchw,c->bhw", F_dot, block.attend[0].weight[k, :, 0, 0]).sigmoid()[:, None]  # (5)
        group = block.fuse.weight[6 * k : 6 * k + 6, :, 0, 0]
        merged.append(torch.einsum("bchw,oc->bohw", F_dot * (1 + A), group))  # (7), and (8) branch by branch
    assert_close(block(x), block.act(block.bn(torch.cat(merged, 1))), rtol=1e-4, atol=1e-4)


def test_ffm_is_eqn_14_as_one_dense_convolution():
    block = seeded(FFM(6, 4))
    dense = torch.zeros(4, 4, 5, 5)
    for c in range(4):
        dense[c, c, 1:4, 1:4] += block.near.weight[c, 0]
        dense[c, c, ::2, ::2] += block.far.weight[c, 0]
    x = torch.randn(1, 6, 8, 7)
    by_eqn14 = block.bn(torch.nn.functional.conv2d(block.shrink(x), dense, padding=2))
    assert_close(block(x), by_eqn14, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("concat", ["EQ", "QE"])
def test_concat_fuse_split_sends_each_half_back_to_its_path(concat):
    from dataclasses import replace

    from covidseg.papers.miniseg.wiring import OFFICIAL

    stage = seeded(MiniSeg(wiring=replace(OFFICIAL, concat=concat))).stages[1]
    E, Q = torch.randn(1, 8, 6, 6), torch.randn(1, 8, 6, 6)
    torch.nn.init.dirac_(stage.fuse[0].weight)  # the 1x1 convolution passes everything through
    stage.fuse[1] = torch.nn.Identity()
    E_1, Q_1 = stage.enter(E, Q)
    assert_close(E_1, stage.E_entry(2 * E))
    assert_close(Q_1, stage.Q_entry(2 * Q))


# --- published counts


def test_default_net_has_82912_parameters_and_481296384_macs():
    profile = profile_model(create_model("miniseg"), (3, 512, 512))
    assert (profile.params, profile.trainable, profile.macs) == (82_912, 82_912, 481_296_384)


@pytest.mark.parametrize("row", ROWS)
def test_every_ablation_row_has_the_measured_parameters_and_macs(row):
    profile = profile_model(create_model("miniseg", **ROWS[row].options))
    assert profile.params == ROWS[row].params
    assert round(profile.macs / 1e9, 4) == ROWS[row].gmacs


def test_stage_budgets_are_those_of_the_published_file():
    groups = {g.name: (g.params, g.macs) for g in profile_model(MiniSeg()).groups(2)}
    assert groups["stages.0"] == (248 + 240 + 1200 + 288, 19_398_656 + 14_155_776 + 75_497_472 + 17_301_504)
    stage_4 = [(3840, 10_027_008), (2368, 3_801_088), (17280, 16_515_072), (17664, 17_498_112), (4224, 16_777_216)]
    assert groups["stages.3"] == tuple(map(sum, zip(*stage_4, strict=True)))
    assert groups["heads.0"] == (18, 1_048_576)


def test_paper_wiring_has_nine_blocks_in_stage_4_and_builds_any_row():
    model = MiniSeg(wiring="paper")
    assert len(model.stages[3].E_blocks) + 1 == 9
    assert all(m.p == 0 for m in model.modules() if isinstance(m, torch.nn.Dropout2d))
    for row in ABLATIONS.values():
        assert MiniSeg(wiring="paper", **row.options).eval()(torch.rand(1, 3, 32, 32)).shape == (1, 2, 32, 32)


# --- the contract of every network


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (203, 301)])
def test_any_size_in_gives_the_same_size_out(size):
    model = MiniSeg().eval()
    assert model(torch.rand(1, 3, *size)).shape == (1, 2, *size)


def test_train_mode_adds_three_auxiliary_heads_at_input_size():
    logits, aux = MiniSeg(num_classes=3, in_channels=1).train()(torch.rand(2, 1, 40, 40))
    assert [tuple(t.shape) for t in [logits, *aux]] == [(2, 3, 40, 40)] * 4
    assert torch.is_tensor(MiniSeg(aux=False).train()(torch.rand(2, 3, 40, 40)))


def test_eval_answers_the_same_twice_and_after_save_and_load(tmp_path):
    model, x = seeded(MiniSeg()), torch.rand(1, 3, 48, 48)
    torch.save(model.state_dict(), tmp_path / "w.pt")
    again = MiniSeg()
    again.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    with torch.no_grad():
        assert torch.equal(model(x), model(x))
        assert torch.equal(model(x), again.eval()(x))


def test_every_parameter_gets_a_gradient():
    model = MiniSeg().train()
    logits, aux = model(torch.rand(2, 3, 64, 64))
    sum(t.square().mean() for t in [logits, *aux]).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


def test_one_batch_can_be_learned_by_heart():
    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 32, 32), torch.zeros(2, 32, 32, dtype=torch.long)
    y[:, 8:20, 10:26] = 1
    x[:, :, 8:20, 10:26] += 1
    model = MiniSeg().train()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(50):
        adam.zero_grad()
        deep_supervision(model(x), y).backward()
        adam.step()
    hit = model.eval()(x).argmax(1) == y
    assert hit.float().mean() > 0.97


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"wiring": "offical"}, "Did you mean 'official'"),
        ({"scales": "many"}, "MiniSeg's scales"),
        ({"stage1": "cbb"}, "Did you mean 'cb'"),
        ({"activation": "prelo"}, "Did you mean 'prelu'"),
        ({"M": (4, 4, 7, 6)}, "may not have more blocks"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options, says):
    with pytest.raises(UserError, match=says):
        create_model("miniseg", **options)


# --- inner maps


def test_capture_gives_the_papers_maps_and_leaves_the_model_as_it_was():
    model = seeded(MiniSeg()).train()
    x = torch.rand(1, 3, 64, 64)
    maps = capture(model, x)
    assert model.training and not any(m._forward_hooks for m in model.modules())
    assert maps["A/E_2_1"].shape == (1, 4, 16, 16) and maps["A/E_4_7"].shape == (1, 4, 4, 4)
    assert len(map_names(model, "A/*")) == 20
    assert all(a.min() >= 0 and a.max() <= 1 for name, a in maps.items() if name.startswith("A/"))
    assert maps["E_1"].shape == (1, 8, 32, 32) and maps["Q_4"].shape == (1, 64, 4, 4) and maps["D_1"].shape[1] == 8
    assert list(capture(model, x, ["D_2"])) == ["D_2"]
    with pytest.raises(LookupError, match="Did you mean 'A/E_2_1'"):
        capture(model, x, ["A/E_2-1"])


# --- the authors' tensors


def reference_input(reference, manifest, name):
    """The stored picture, normalised as the stored outputs were made."""
    from PIL import Image

    entry = manifest["inputs"][name]
    image = np.asarray(Image.open(reference / "miniseg" / entry["png"]))
    grey = np.repeat(image[:, :, None], 3, 2) if image.ndim == 2 else image
    mean, std = np.float32(entry["mean"]), np.float32(entry["std"])
    x = ((grey / 255).astype(np.float32) - mean) / std
    return torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)[None]))


def manifest_of(reference):
    return json.loads((reference / "miniseg" / "manifest.json").read_text())


def official(checkpoint):
    dataset, fold = checkpoint.split("-f")
    return load_official("miniseg", dataset=dataset, fold=int(fold))


@pytest.mark.mirror
@pytest.mark.parametrize("checkpoint", ["CT100-f1", "P9-f3", "P1110-f1"])
def test_all_four_heads_equal_the_authors_and_no_mask_pixel_differs(mirror, reference, checkpoint):
    manifest, model, compared = manifest_of(reference), official(checkpoint), 0
    for entry in manifest["files"]:
        path = reference / "miniseg" / entry["file"]
        if entry["ckpt"] != checkpoint or not path.exists():
            continue
        x, stored = reference_input(reference, manifest, entry["input"]), np.load(path)
        heads = capture(model, x, "P_*")
        for k in (1, 2, 3, 4):
            assert np.abs(heads[f"P_{k}"][0] - stored[f"p{k}_native"]).max() < 1e-4
        with torch.no_grad():
            mask = model(x).argmax(1)[0].bool().numpy()
        theirs = np.unpackbits(stored["mask1_packed"])[: mask.size].reshape(mask.shape)
        assert (mask != theirs.astype(bool)).sum() == 0
        compared += 1
    assert compared >= 5


@pytest.mark.mirror
def test_intermediates_and_the_20_attention_maps_equal_the_authors(mirror, reference):
    maps = capture(official("CT100-f1"), reference_input(reference, manifest_of(reference), "ph256"))
    folder = reference / "miniseg"
    theirs = dict(np.load(folder / "inter_attention__ph256__CT100-f1.npz"))
    for key, value in theirs.items():
        name = key.removeprefix("A/")  # down2 is block 1 of stage 2, level2.0 block 2, ...
        stage = name.removeprefix("down").removeprefix("level")[0]
        block = 1 if name.startswith("down") else int(name.split(".")[1]) + 2
        assert np.abs(maps[f"A/E_{stage}_{block}"][0] - value).max() < 1e-4
    assert len(theirs) == 20
    stored = np.load(folder / "inter_tensors1__ph256__CT100-f1.npz")
    for key in stored:
        name = key.removesuffix("_final").replace("E", "E_").replace("D", "D_")
        assert np.abs(maps[name][0] - stored[key]).max() < 1e-4


@pytest.mark.mirror
def test_three_adam_steps_equal_the_authors(mirror, reference):
    manifest = manifest_of(reference)
    record = json.loads((reference / "miniseg" / "train_reference.json").read_text())
    from PIL import Image

    names = ("ph256", "bl256")
    x = torch.cat([reference_input(reference, manifest, n) for n in names])
    grey = [np.asarray(Image.open(reference / "miniseg" / manifest["inputs"][n]["png"])) for n in names]
    y = torch.from_numpy((np.stack(grey) > 100).astype(np.int64))
    weight = log_class_weights(torch.bincount(y.flatten(), minlength=2) / y.numel())
    assert_close(weight.double(), torch.tensor(record["class_weights"], dtype=torch.float64), rtol=1e-4, atol=0)

    model = official("CT100-f1").train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout2d):
            module.p = 0.0
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    for step in record["steps"]:
        adam.zero_grad()
        loss = deep_supervision(model(x), y, lambda p, t: cross_entropy(p, t, weight=weight))
        loss.backward()
        assert loss.item() == pytest.approx(step["loss"], rel=1e-3)
        total = torch.stack([p.grad.norm() for p in model.parameters()]).norm().item()
        assert total == pytest.approx(step["grad_l2_total"], rel=1e-3)
        adam.step()


@pytest.mark.mirror
def test_heads_on_D_and_heads_on_U_part_as_the_spec_measured(mirror, reference):
    """The paper's order (predict on D_i, then upsample) is another function; head 1 is the same in both."""
    from dataclasses import replace

    from covidseg.papers.miniseg.wiring import OFFICIAL

    x = reference_input(reference, manifest_of(reference), "ph256")
    model = official("CT100-f1").train()
    other = MiniSeg(wiring=replace(OFFICIAL, heads_on="D"))
    other.load_state_dict(model.state_dict())
    for m in (model, other):
        m.eval()
    a, b = ({k: torch.from_numpy(v) for k, v in capture(m, x, "P_*").items()} for m in (model, other))
    assert torch.equal(a["P_1"], b["P_1"])
    assert a["P_4"].shape[-1] == 2 * b["P_4"].shape[-1]
