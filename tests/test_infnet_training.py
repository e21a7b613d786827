"""Inf-Net's training: soft targets, edges, scales, objective, rates, the loop, its data and its tables."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from test_infnet import small
from tiny_training import SOFT, discs, tiny_net
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.testing import assert_close

from covidseg import create_model
from covidseg.cli import main
from covidseg.data.case import Case
from covidseg.data.datasets import parts
from covidseg.data.transforms import Preprocessing, Scale
from covidseg.errors import UserError
from covidseg.metrics import segmentation_scores
from covidseg.papers import find_row, recipe, variant_options
from covidseg.papers.infnet import (
    INFNET_CONSTANT,
    INFNET_LESSON,
    INFNET_PAPER,
    INFNET_RELEASED,
    Compounding,
    InfNetLoss,
    PlainStructure,
    SoftSlices,
    Structure,
    multi_scale,
)
from covidseg.papers.infnet.losses import edge_bce, structure_loss
from covidseg.papers.miniseg import MINISEG
from covidseg.runs import costs
from covidseg.runs.trial import sizes_of, trial
from covidseg.tables import list_tables, load_table
from covidseg.training import Constant, at_side, evaluate, learning_rate, train
from covidseg.training.objective import has_edge_map

# ----------------------------------------------------------------------------------------------- recipes


def test_the_released_recipe_is_the_code_and_the_papers_differs_where_they_part():
    r = INFNET_RELEASED
    assert (r.lr, r.weight_decay, r.epochs, r.batch, r.clamp) == (1e-4, 0, 99, 24, 0.5)
    assert r.feed == SoftSlices(352, order="batch") and [scale.side for scale in r.scales] == [256, 352, 448]
    assert (r.objective, r.statistics, r.antialias, r.drop_last) == (PlainStructure(), "imagenet", True, False)
    assert r.to_dict()["augment"] == "none" and r.schedule == Compounding(50, 0.1)
    unread = INFNET_PAPER.unread  # the settings of the decay, which old records hold beside a constant rate
    changed = dict(epochs=100, batch=16, schedule=Constant(), objective=Structure(), unread=unread)
    assert unread == {"step_epochs": 50, "step_factor": 0.1}
    assert replace(r, name="infnet_paper", **changed) == INFNET_PAPER
    assert replace(r, name="infnet_constant", schedule=Constant(), unread=unread) == INFNET_CONSTANT


def test_the_compounding_rate_is_the_naive_loop():
    lr, steps = 1e-4, 9
    for epoch in range(1, 100):
        lr = lr * 0.1 ** (epoch // 50)
        ours = [learning_rate(INFNET_RELEASED, (epoch - 1) * steps + k, steps) for k in (0, steps - 1)]
        assert ours == pytest.approx([lr, lr], rel=1e-9)
    assert lr == pytest.approx(1e-54), "and learning had stopped at epoch 52"
    assert learning_rate(INFNET_PAPER, 800, 9) == 1e-4


def test_the_rate_compounds_on_beyond_a_second_and_a_third_round():
    r, lr = replace(INFNET_RELEASED, schedule=Compounding(3, 0.1)), 1e-4
    for epoch in range(1, 14):
        lr *= 0.1 ** (epoch // 3)
        assert learning_rate(r, epoch - 1, 1) == pytest.approx(lr, rel=1e-9)


def test_minisegs_recipes_read_as_before_in_records():
    assert not {"loss", "order", "base_side", "clamp"} & MINISEG.to_dict().keys()
    assert INFNET_PAPER.to_dict()["loss"] == "infnet" and INFNET_PAPER.to_dict()["clamp"] == 0.5


def test_another_side_means_one_scale():
    assert [scale.side for scale in multi_scale(352)] == [256, 352, 448]
    r = at_side(INFNET_RELEASED, 96)
    assert (r.feed.base_side, r.val_size, r.scales) == (96, 96, (Scale(96, 0),))
    assert at_side(MINISEG, 96).scales == (Scale(96, 3),)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"clamp": 0}, "clamp=0 must be above 0"),
        ({"base_side": None}, "base_side=None must be a side in pixels"),
        ({"augment": "miniseg"}, "'soft_slices' knows augment='none' alone, not 'miniseg'"),
        ({"target": "classes"}, "'soft_slices' knows target='infection' alone, not 'classes'"),
        ({"loss": "infnett"}, "Did you mean 'infnet'"),
        ({"order": "batches"}, "Did you mean 'batch'"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_in_one_line(change, line):
    with pytest.raises(UserError, match=line) as error:
        recipe("infnet_quick", **change)
    assert "\n" not in str(error.value)


def test_a_setting_of_inf_nets_slices_is_none_of_minisegs_recipes_and_no_recipe_mixes_the_two():
    with pytest.raises(UserError, match="No setting of a recipe is called 'base_side'"):
        recipe("quick", base_side=64)
    with pytest.raises(UserError, match="SoftSlices.* is not what CrossEntropy learns from"):
        replace(MINISEG, feed=INFNET_RELEASED.feed)
    with pytest.raises(UserError, match="Slices.* is not what PlainStructure learns from"):
        replace(INFNET_RELEASED, feed=MINISEG.feed)


# --------------------------------------------------------------------------------------------- objective


def targets(B=2, side=32):
    rng = torch.Generator().manual_seed(4)
    return torch.rand(B, 2, side, side, generator=rng)


@pytest.mark.parametrize("bce", ["weighted", "plain"])
def test_the_objective_is_the_edge_and_four_maps_each_with_weight_one(bce):
    net, target = small().train(), targets()
    S_3, (S_4, S_5, S_g, S_e) = net(torch.rand(2, 3, 32, 32))
    maps = sum(structure_loss(S, target[:, :1], bce) for S in (S_3, S_4, S_5, S_g))
    total = InfNetLoss(bce, edge=has_edge_map(net))((S_3, [S_4, S_5, S_g, S_e]), target)
    assert_close(total, maps + edge_bce(S_e, target[:, 1:]))


@pytest.mark.parametrize(
    ("options", "maps", "edge"),
    [
        ({"ea": False}, 4, False),
        ({"ra": False}, 2, True),
        ({"ppd": False, "ra": False}, 2, True),
        ({"ppd": False, "ra": False, "ea": False}, 1, False),
        ({"num_classes": 2}, 5, True),
    ],
)
def test_every_ablation_is_learnt_with_the_maps_it_has(options, maps, edge):
    net, target = small(**options).train(), targets()
    outputs = net(torch.rand(2, 3, 32, 32))
    found = [outputs] if torch.is_tensor(outputs) else [outputs[0], *outputs[1]]
    assert len(found) == maps and has_edge_map(net) == edge
    regions = found[:-1] if edge else found
    wanted = sum(structure_loss(S, target[:, :1]) for S in regions)
    wanted = wanted + edge_bce(found[-1], target[:, 1:]) if edge else wanted
    loss = InfNetLoss(edge=has_edge_map(net))(outputs, target)
    loss.backward()
    assert_close(loss, wanted)
    unused = [name for name, p in net.named_parameters() if p.grad is None]
    assert all(name.startswith("backbone.fc") for name in unused), unused


def test_a_plain_network_and_one_in_eval_are_scored_by_their_one_map():
    target, net = targets(), small()
    loss = InfNetLoss(edge=True)
    S = net(torch.rand(2, 3, 32, 32))
    classes = target[:, 0].round().long()
    assert_close(loss(S, classes), structure_loss(S, classes))
    assert_close(InfNetLoss()(S, target), structure_loss(S, target[:, :1]))
    assert not has_edge_map(create_model("unet", width=2)) and not has_edge_map(tiny_net())


def test_an_edge_map_wants_an_edge_and_minisegs_recipe_does_not_know_it():
    net = small().train()
    with pytest.raises(UserError, match="a mask and an edge channel"):
        InfNetLoss(edge=True)(net(torch.rand(2, 3, 32, 32)), targets()[:, :1])
    with pytest.raises(UserError, match="'quick' teaches every output the mask.*its own paper's recipes.*ea=False"):
        quick = recipe("quick")
        quick.objective.loss(net, None, quick, "cpu")


# ------------------------------------------------------------------------------------------------- loop


def test_the_clamp_cuts_each_element_of_the_gradient():
    seen = {}

    def keep(optimizer, *_):
        seen[clamp] = torch.cat([p.grad.flatten() for group in optimizer.param_groups for p in group["params"]])

    for clamp in (None, 0.05):
        hook = register_optimizer_step_pre_hook(keep)
        r = replace(SOFT, clamp=clamp, epochs=1, batch=4, scales=(Scale(24, 0),))
        train(tiny_net(plain=True), discs(count=4), None, r, device="cpu")
        hook.remove()
    assert seen[None].abs().max() > 0.06, "there was something to cut"
    assert_close(seen[0.05], seen[None].clamp(-0.05, 0.05))


def test_pieces_of_a_batch_add_up_to_its_gradient():
    one = replace(SOFT, clamp=None, optimizer="sgd", epochs=1)
    whole, pieces = (
        train(tiny_net(plain=True), discs(count=6), None, one, device="cpu", micro_batch=m).weights["last"]
        for m in (None, 1)
    )
    for name, value in whole.items():
        assert_close(pieces[name], value, atol=1e-6, rtol=1e-5)


def test_one_batch_is_learnt_by_heart():
    r = at_side(replace(INFNET_LESSON, lr=0.01, epochs=60, batch=4), 48)
    net = small()
    history = train(net, discs(count=4), None, r, device="cpu")
    assert history.rows[-1]["train_loss"] < 0.55 * history.rows[0]["train_loss"]
    assert evaluate(net, discs(count=4))["dice"] > 0.8
    assert net.preprocessing.antialias and net.preprocessing.size == 48
    assert evaluate(net, discs(count=4), protocol="infnet")["Dice"] > 0.6


class StopsAt(InfNetLoss):
    """Ctrl-C in a step."""

    left = 0

    def __call__(self, outputs, target):
        if not torch.is_tensor(outputs):
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)
        return super().__call__(outputs, target)


def test_a_stopped_training_ends_with_the_same_bits(tmp_path):
    def run(folder, left):
        loss = StopsAt("plain", edge=True)
        loss.left = left
        settings = dict(seed=3, device="cpu", out=tmp_path / folder, loss=loss, checkpoint_every=2)
        r = replace(SOFT, feed=SoftSlices(32, order="batch"), val_size=32, scales=(Scale(32, 0), Scale(64, 0)))
        return train(small(ra=False), discs(count=6), discs(20, 2), r, **settings)

    with pytest.raises(KeyboardInterrupt):
        run("stopped", 6)  # in the second epoch, between the two scales of a batch
    resumed, whole = run("stopped", -1), run("whole", -1)
    assert all(torch.equal(value, resumed.weights["last"][name]) for name, value in whole.weights["last"].items())
    assert [row["val_loss"] for row in whole.rows] == [row["val_loss"] for row in resumed.rows]
    recipe_of_run = json.loads((tmp_path / "whole/run.json").read_text())["recipe"]
    assert recipe_of_run["order"] == "batch" and recipe_of_run["base_side"] == 32


class OneMap(nn.Module):
    """A rival: one logit per pixel, nothing else."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 1, 1))

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_plain_network_learns_by_the_same_recipe(precision):
    torch.manual_seed(0)
    r = replace(SOFT, epochs=8, lr=0.05)
    history = train(OneMap(), discs(), discs(20, 3), r, device="cpu", precision=precision)
    assert history.rows[-1]["train_loss"] < 0.7 * history.rows[0]["train_loss"]
    assert history.rows[-1]["val_miou"] > history.rows[0]["val_miou"]


class Map(nn.Module):
    """Answers the same logits, whatever it sees."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.as_tensor(logits)[None, None].float())

    def forward(self, x):
        return self.logits + 0 * x.mean()


def test_maps_are_scored_at_the_labels_own_size_as_saved_pictures():
    preprocessing, logits = Preprocessing(size=8), np.full((8, 8), -4.0)
    logits[2:5, 3:6] = 1.0
    case = Case("a", "p", np.zeros((40, 30), np.float32), np.zeros((40, 30), np.uint8), "grey", (1.0, 1.0))
    case.mask[10:25, 11:22] = 1
    larger = Image.fromarray((logits > 0) * np.float32(255)).resize((30, 40), Image.Resampling.BICUBIC)
    saved = np.asarray(larger).clip(0, 255).round().astype(np.uint8)
    by_hand = segmentation_scores(saved, case.mask, "infnet")
    assert evaluate(Map(logits), [case], preprocessing, "infnet").means == pytest.approx(by_hand.means)
    at_8 = evaluate(Map(logits), [case], preprocessing, "infnet", size=8)
    assert at_8["MAE"] != pytest.approx(by_hand["MAE"], abs=1e-3)


# ------------------------------------------------------------------------------------------------ tables


def test_table_ii_and_iv_are_grids_on_the_sets_own_part():
    assert {"infnet/table2", "infnet/table4", "infnet/table5"} <= set(list_tables())
    two, four = load_table("infnet/table2"), load_table("infnet/table4")
    runs = two.runs()
    assert len(two.rows) == len(runs) == 7
    assert {(run["dataset"], run["fold"]) for run in runs} == {("semiseg", 0)} and two.selection == "last"
    assert [run["variant"] for run in four.runs()][:2] == ["Backbone", "Backbone+EA"] and len(four.runs()) == 7
    shared = [run for run in runs if run in four.runs()]
    assert [run["variant"] for run in shared] == ["Inf-Net"], "one run serves both tables"
    assert {float(row.printed["dice"]) for row in two.rows} > {0.682, 0.739} and two.metric("mae").digits == 3
    assert load_table("infnet/table5").runs() == []


def test_a_rival_is_built_as_the_table_counts_it_and_follows_inf_nets_recipe():
    assert variant_options("unet", "U-Net") == {"config": "infnet", "num_classes": 1}
    assert variant_options("unet", "") == {}
    assert [find_row(*place)[0].name for place in (("unet", "U-Net"), ("infnet_vgg16", ""))] == ["infnet"] * 2
    assert [find_row(*place)[0].name for place in (("unet", ""), ("miniseg", "SB"))] == ["miniseg"] * 2
    run = trial("unet", "U-Net", "phantom", 0, 0, "lesson")
    assert run.recipe == INFNET_LESSON and "Inf-Net's Dice" in run.task.headlines
    assert sum(p.numel() for p in run.network().parameters()) == 7_852_545  # Table II: 7.853M
    plain = trial("unet", "", "phantom", 1, 0, "lesson")
    assert plain.recipe == recipe("lesson") and list(plain.task.headlines) == ["mIoU", "DSC"]


@pytest.mark.parametrize("row", [row for row in load_table("infnet/table2").rows if row.model], ids=lambda r: r.variant)
def test_every_rival_has_one_soft_map_and_about_the_printed_size(row):
    with torch.device("meta"):  # counts without memory
        network = create_model(row.model, **variant_options(row.model, row.variant))
    printed = float(row.printed["params"][:-1]) * {"M": 1e6, "K": 1e3}[row.printed["params"][-1]]
    count = sum(p.numel() for p in network.parameters())
    unpublished = row.model == "gated_unet"
    assert count == pytest.approx(printed, rel=0.2 if unpublished else 1e-4)


def test_fold_0_is_the_sets_own_train_and_test_part():
    run = trial("infnet", "Inf-Net", "phantom", 0, 0, "smoke")
    train_set, scored = run.data()
    assert (train_set.split, scored.split, scored.fold) == ("train", "test", None)
    assert not set(train_set.ids) & set(scored.ids)
    assert parts("semiseg", 0) == ("train", "test") and parts("p9", 2) == ("train", "val")
    soft, infection = (paper.tasks[row.task] for paper, row in (find_row("infnet"), find_row("miniseg")))
    assert sizes_of(soft, "paper", "semiseg", 0).train_cases == 50
    assert sizes_of(infection, "paper", "p9", 1).val_cases == 54
    with pytest.raises(UserError, match="fold=0 .* which p9 does not have: give 1 to 5"):
        trial("infnet", "", "p9", 0, 0, "lesson")


def test_a_trial_knows_its_familys_recipes():
    assert trial("infnet", "", "phantom", 0, 0, "paper").recipe == INFNET_RELEASED
    assert trial("infnet", "", "phantom", 0, 0, "lesson", size=64).recipe.feed.base_side == 64
    with pytest.raises(UserError, match="recipe=short has no soft masks.*infnet_short"):
        trial("infnet", "", "phantom", 0, 0, "paper", recipe="short")
    run = {"model": "infnet", "variant": "", "dataset": "semiseg", "fold": 0, "seed": 0, "budget": "paper"}
    assert 2 < costs.estimate(run, []).seconds / 3600 < 20, "hours on one CPU thread"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["batch", "infnet/table5"], "shows the paper's numbers alone"),
        (["train", "infnet", "--dataset", "p9", "--fold", "0", "--recipe", "infnet_quick"], "p9 does not have"),
        (["train", "infnet", "--recipe", "infnet_qick"], "Did you mean 'infnet_quick'"),
        (["batch", "infnet/table2", "-p", "fold=6"], "Parameter fold=6 is outside"),
    ],
)
def test_a_wrong_word_is_one_line(words, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*words, "-o", str(tmp_path / "run")] if words[0] == "train" else words) != 0
    told = capsys.readouterr().err
    assert line in told and len(told.strip().splitlines()) == 1
