"""COVID-SegNet's patches, loss, scores and runs: what is declared beside its network."""

import json
import math
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from covidseg import load_dataset, papers
from covidseg.cli import main
from covidseg.data.case import Case, lungs_of
from covidseg.data.transforms import to_grey
from covidseg.errors import UserError
from covidseg.metrics import segmentation_scores, surface_dice
from covidseg.papers.covidsegnet.ablations import ABLATIONS
from covidseg.papers.covidsegnet.feed import ScanPatches, joint_of
from covidseg.papers.covidsegnet.objective import DiceAndCrossEntropy, InverseTime
from covidseg.papers.covidsegnet.recipes import LESSON, LITERAL, PAPER, QUICK, RECIPES
from covidseg.runs.trial import trial
from covidseg.tables import load_table
from covidseg.training import Recipe, load_checkpoint
from covidseg.training.recipes import at_side

TINY = {"size": 32, "epochs": 1}
SMALL = "width 8"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def phantoms():
    return load_dataset("phantom3d", "train", n=2, size=(32, 32, 12))


# ---------------------------------------------------------------------------------------------------- what is learned


def loss_of(**settings):
    return DiceAndCrossEntropy(**settings).loss(nn.Identity(), None, QUICK, "cpu")


def test_the_loss_is_half_cross_entropy_and_half_dice_of_the_batch():
    target = torch.zeros(2, 2, 2, 2, dtype=torch.long)
    target[0, 0, 0, 0] = 1
    by_hand = 0.5 * math.log(2) + 0.5 * (1 - 2 * 0.5 / (16 * 0.5 + 1))  # p = 1/2 everywhere, sums over both patches
    assert float(loss_of()(torch.zeros(2, 2, 2, 2, 2), target)) == pytest.approx(by_hand, rel=1e-5)
    assert float(loss_of()(torch.zeros(2, 2, 2, 2, 2), target * 0)) == pytest.approx(0.5 * math.log(2) + 0.5, rel=1e-4)
    assert float(loss_of(dice_weight=0.0)(torch.zeros(2, 2, 2, 2, 2), target)) == pytest.approx(math.log(2), rel=1e-6)


def test_of_three_classes_dice_is_the_mean_of_lung_and_infection():
    target = torch.tensor([0, 1, 1, 2]).reshape(1, 1, 2, 2)
    logits = torch.full((1, 3, 1, 2, 2), -50.0).scatter(1, target[:, None].clamp(max=1), 50.0)  # infection as lung
    lung, infection = 2 * 2 / (3 + 2), 0.0
    dice = loss_of(dice_weight=1.0)(logits, target)
    assert float(dice) == pytest.approx(1 - (lung + infection) / 2, abs=1e-4)


def test_the_rate_falls_by_a_millionth_a_step():
    assert LITERAL.rate(0, 80) == 1e-4 and LITERAL.rate(20_000, 80) == pytest.approx(1e-4 / 1.02)
    with pytest.raises(UserError, match="decay=-1 must not be negative"):
        InverseTime(-1)
    with pytest.raises(UserError, match="dice_weight=2"):
        DiceAndCrossEntropy(2)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_comes_back_from_its_dict(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert papers.recipe(recipe.name) is recipe


def test_the_literal_recipe_is_the_papers_words():
    assert (LITERAL.optimizer, LITERAL.lr, LITERAL.batch, LITERAL.objective.dice_weight) == ("adam", 1e-4, 2, 0.5)
    assert LITERAL.feed.shape(LITERAL) == (128, 128, 64) and LITERAL.feed.lesions == 0 and not LITERAL.feed.mirror
    assert (LITERAL.window.low, LITERAL.window.high) == (-1250, 250)
    assert PAPER.feed.lesions == 0.5 and replace(PAPER, feed=LITERAL.feed, name=LITERAL.name) == LITERAL
    assert at_side(LITERAL, 32).feed.shape(at_side(LITERAL, 32)) == (32, 32, 16)


# ---------------------------------------------------------------------------------------------------- what is fed


@pytest.mark.parametrize("target", ["infection", "lungs", "joint"])
def test_the_feed_hands_on_greys_as_they_are_and_the_classes_of_its_target(phantoms, target):
    recipe = replace(QUICK, feed=ScanPatches(per_volume=1, lesions=0.0, target=target))
    batches = recipe.feed.batches(phantoms, recipe, 0, 1, "cpu")
    (step,) = batches.plan(0)
    x, masks = batches.load(step)
    assert x.shape == (2, 1, 32, 32, 16) and batches.preprocessing.mean == (0, 0, 0)
    for k, index in enumerate(step.indices):
        case = phantoms[index]
        lung, infection = case.lung != 0, case.infection
        truth = {"infection": infection, "lungs": lung, "joint": np.where(infection, 2, lung)}[target]
        assert np.array_equal(masks[k, ..., :12].numpy(), truth.astype(int)) and not masks[k, ..., 12:].any()
        assert np.allclose(x[k, 0, ..., :12], to_grey(case.image, "HU"), atol=1e-3)
    assert recipe.feed.num_classes == (3 if target == "joint" else 2)


def block(intensity="grey", **changes) -> Case:
    """A volume whose every grey is its own, with a lesion of one voxel in a lung."""
    image = np.arange(40 * 40 * 20, dtype=np.float32).reshape(40, 40, 20) % 251
    mask, lung = np.zeros(image.shape, np.uint8), np.zeros(image.shape, np.uint8)
    lung[4:36, 4:36] = 255  # as 8-bit mask files have it
    mask[8, 30, 10] = 2
    return Case(
        **dict(id="b", patient="p", image=image, mask=mask, intensity=intensity, spacing=(1, 1, 5), lung=lung) | changes
    )


def test_a_lesion_aware_patch_of_a_joint_target_is_around_a_lesion_not_around_a_lung():
    recipe = replace(QUICK, feed=ScanPatches(per_volume=8, lesions=1.0, target="joint"), scales=((16, 0),))
    batches = recipe.feed.batches([block()], recipe, 0, 1, "cpu")
    for step in batches.plan(0):
        for mask in batches.load(step)[1]:
            assert mask[8, 8, 4] == 2 and mask.max() == 2 and (mask == 1).sum() > 100


def test_half_of_the_patches_are_mirrored_with_their_masks():
    recipe = replace(QUICK, scales=((16, 0),))
    turned, straight = (
        feed.batches([block()], replace(recipe, feed=feed), 3, 1, "cpu")
        for feed in (ScanPatches(per_volume=40, lesions=1.0, mirror=mirror) for mirror in (True, False))
    )
    kinds = []
    for step in turned.plan(0):
        (x, y), (plain, mask) = turned.load(step), straight.load(step)
        for k in range(len(x)):
            kinds.append(not torch.equal(x[k], plain[k]))
            expected = (plain[k].flip(2), mask[k].flip(1)) if kinds[-1] else (plain[k], mask[k])
            assert torch.equal(x[k], expected[0]) and torch.equal(y[k], expected[1])
    assert 10 < sum(kinds) < 30 and len(kinds) == 40


def test_masks_of_other_values_are_read_as_lungs_infection_and_neither():
    case = block(mask=np.full((40, 40, 20), 3, np.uint8))  # effusion is no infection
    assert set(np.unique(joint_of(case).mask)) == {0, 1}
    assert np.array_equal(lungs_of([case])[0].infection, case.lung == 255)
    with pytest.raises(UserError, match="Case b has no lung mask"):
        joint_of(block(lung=None))
    outside = block()
    outside.mask[0, 0, 0] = 1
    assert joint_of(outside).mask[0, 0, 0] == 2, "infection counts where it is drawn"


def test_a_target_that_is_none_is_named_and_slices_are_refused(phantoms):
    with pytest.raises(LookupError, match="target of a recipe"):
        ScanPatches(target="lung")
    with pytest.raises(UserError, match="is one slice; patches are cut from volumes"):
        QUICK.feed.batches([phantoms[0].slice(3)], QUICK, 0, 1, "cpu")


# ------------------------------------------------------------------------------------------------------------ scores


def cube(*corner, side=4, shape=(12, 12, 6)):
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(c, c + side) for c in corner)] = 1
    return mask


def test_the_protocol_by_hand():
    truth = [cube(2, 2, 1), cube(2, 2, 1), np.zeros((12, 12, 6), np.uint8)]
    preds = [cube(3, 2, 1), np.zeros((12, 12, 6), np.uint8), np.zeros((12, 12, 6), np.uint8)]
    s = segmentation_scores(preds, truth, "covidsegnet", ids=list("abc"), spacing=(1.0, 1.0, 5.0))
    assert [row["Dice"] for row in s.cases] == [0.75, 0.0, 1.0] and s.means["Dice"] == pytest.approx(1.75 / 3)
    assert s.means["Sen"] == pytest.approx((0.75 + 0) / 2) and s.means["Prec"] == 0.75
    assert (s.undefined["Sen"], s.undefined["Prec"]) == (1, 2)
    assert [row["NSD"] for row in s.cases] == [1.0, 0.0, 1.0]  # moved by 1 mm
    assert s.pooled["Dice, all voxels"] == pytest.approx(2 * 48 / (64 + 128))
    fine = segmentation_scores(preds, truth, "covidsegnet", spacing=(1.0, 1.0, 5.0), tolerance=0.5)
    assert 0 < fine.cases[0]["NSD"] < 1 and "0.5 mm" in fine.rules


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 5.0)])
@pytest.mark.parametrize("tolerance", [0, 1, 3.0])
def test_nsd_is_a_count_of_boundary_voxels_one_by_one(spacing, tolerance):
    rng = np.random.default_rng(0)
    pred, truth = (np.kron(rng.random((4, 4, 3)) < 0.4, np.ones((3, 3, 2))).astype(bool) for _ in range(2))

    def edge(mask):
        wide = np.pad(mask, 1)
        moved = [np.roll(wide, step, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for step in (-1, 1)]
        return np.argwhere(mask & ~np.all(moved, 0)) * np.array(spacing)

    a, b = edge(pred), edge(truth)
    apart = np.linalg.norm(a[:, None] - b[None], axis=-1)
    near = np.concatenate([apart.min(1), apart.min(0)]) <= tolerance
    assert surface_dice(pred, truth, tolerance=tolerance, spacing=spacing) == pytest.approx(near.mean())
    assert surface_dice(pred, pred, tolerance=0) == surface_dice(pred * 0, pred * 0, tolerance=0) == 1
    with pytest.raises(UserError, match="tolerance is -1"):
        surface_dice(pred, truth, tolerance=-1)


# -------------------------------------------------------------------------------------------------------------- runs


def test_rows_are_two_networks_of_every_line_of_both_tables_and_one_for_both():
    paper = papers.papers()[papers.NAMES.index("covidsegnet")]
    kinds = {(row.network, row.task) for row in paper.rows}
    assert {(net, task) for net in paper.networks for task in ("infection", "lungs")} <= kinds
    assert ("covid_segnet", "joint") in kinds
    for table in ("table2-infection", "table2-lungs"):
        rows = load_table(f"covidsegnet/{table}").rows
        for k, (name, options) in enumerate(ABLATIONS.items()):
            for row in (rows[k], rows[k + 9]):
                built = papers.find_row(row.model, row.variant)[1].options
                kept = {key: built[key] for key in built if key in ("fv", "context")}
                assert kept == options and row.printed["row"] == str(k + 1), name


def run(variant, tmp_path, **changes):
    made = trial("covid_segnet", variant, "phantom3d", 1, 0, "smoke", **TINY | changes)
    network, (train_set, scored) = made.network(), made.data()
    history = made.learn(network, train_set, scored, device="cpu", out=tmp_path)
    return made, network, scored, history


def test_a_joint_run_scores_lungs_and_infection_of_one_answer(tmp_path):
    made, network, scored, _ = run("lungs and infection, width 8", tmp_path)
    assert load_checkpoint(tmp_path / "last.pt")["training"]["identity"]["recipe"]["target"] == "joint"
    usual, scores = network.predictor, made.task.scores(network, scored)
    assert set(scores) == {"clean", "covidsegnet", "lungs"} and network.predictor is usual
    asked = replace(usual, wants="classes")
    for k, case in enumerate(scored):
        network.predictor = asked
        classes = made.task.mask(network, case)
        network.predictor = usual
        infection, lungs = classes == 2, classes > 0
        assert np.array_equal(made.task.mask(network, case), infection)
        for name, drawn, truth in (
            ("covidsegnet", infection, case.infection),
            ("lungs", lungs, (case.lung != 0) | case.infection),
        ):
            both = 2 * (drawn & truth).sum() / (drawn.sum() + truth.sum())
            assert scores[name].cases[k]["Dice"] == pytest.approx(both)


def test_a_run_of_lungs_learns_and_scores_lungs(tmp_path):
    made, network, scored, history = run("lungs alone, width 8", tmp_path)
    scores = made.task.scores(network, scored)
    drawn = [made.task.mask(network, case) for case in scored]
    by_hand = [
        2 * (d & (c.lung != 0)).sum() / (d.sum() + (c.lung != 0).sum()) for d, c in zip(drawn, scored, strict=True)
    ]
    assert [row["Dice"] for row in scores["lungs"].cases] == pytest.approx(by_hand)
    assert scores["lungs"].cases == scores["covidsegnet"].cases and "1 mm" in scores["lungs"].rules
    assert history.rows[-1]["val_dice"] == pytest.approx(scores["clean"].means["dice"], abs=1e-6)


def test_a_set_of_slices_cannot_teach_it_and_an_estimate_grows_with_the_network():
    with pytest.raises(UserError, match="needs whole volumes, and semiseg has none: .*p20.*phantom3d"):
        trial("covid_segnet", "", "semiseg", 1, 0, "paper")
    with pytest.raises(UserError, match="recipe=lesson has no patches of volumes"):
        trial("covid_segnet", "", "p20", 1, 0, "paper", recipe="lesson")
    small, large = (trial("covid_segnet", v, "p20", 1, 0, "paper") for v in (SMALL, ""))
    assert (large.sizes.train_cases, large.sizes.val_cases) == (16, 4) and large.data_options == {"volumes": True}
    assert 50 < large.task.effort() / small.task.effort() < 70


def test_train_and_predict_as_a_user_types_them(tmp_path, capsys):
    run = tmp_path / "run"
    words = ["train", "covid_segnet", "--variant", SMALL, "--dataset", "phantom3d", "--recipe", "covidsegnet_quick"]
    assert main([*words, "--cases", "2", "--epochs", "1", "--device", "cpu", "-o", str(run)]) == 0
    said = capsys.readouterr().out
    assert "epoch 1: loss" in said and "val Dice" in said
    case = load_dataset("phantom3d", "test", n=1, size=(40, 40, 9))[0]
    upright = np.ascontiguousarray(case.image[:, 4:36].transpose(1, 0, 2)).astype(np.int16)
    nib.save(nib.Nifti1Image(upright, np.diag([-0.7, -0.7, 5.0, 1.0])), tmp_path / "scan.nii.gz")
    words = ["predict", str(tmp_path / "scan.nii.gz"), "--weights", str(run), "-o", str(tmp_path / "mask.nii.gz")]
    assert main([*words, "--device", "cpu"]) == 0
    mask = np.asarray(nib.load(tmp_path / "mask.nii.gz").dataobj)
    assert mask.shape == upright.shape and set(np.unique(mask)) <= {0, 1}
    assert "covid_segnet, recipe covidsegnet_quick, epoch 1" in capsys.readouterr().out


def test_the_train_command_tells_of_a_wrong_recipe_and_of_slices(tmp_path, capsys):
    words = ["train", "covid_segnet", "-o", str(tmp_path / "run")]
    assert main(words) == 1
    assert "has no patches of volumes" in capsys.readouterr().err
    assert main([*words, "--variant", SMALL, "--recipe", "covidsegnet_quick", "--cases", "1"]) == 1
    assert "patches are cut from volumes" in capsys.readouterr().err


@pytest.mark.mirror
def test_real_volumes_are_cut_and_a_thin_one_is_segmented_whole(mirror):
    cases = load_dataset("p9", volumes=True, mirror=mirror)
    case = min((cases.case(i) for i in cases.ids[:3]), key=lambda case: case.depth)
    recipe = replace(LESSON, feed=replace(LESSON.feed, lesions=1.0, per_volume=2))
    batches = recipe.feed.batches([case], recipe, 0, 1, "cpu")
    x, masks = batches.load(batches.plan(0)[0])
    assert x.shape == (2, 1, 48, 48, 24) and 0 <= x.min() < x.max() <= 1 and masks.flatten(1).any(1).all()


def test_a_piece_of_a_batch_counts_by_its_patches():
    loss, target = loss_of(dice_weight=0.0), torch.randint(2, (2, 4, 4, 4), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    halves = [loss(logits[k : k + 1], target[k : k + 1]) / 2 for k in range(2)]
    assert not hasattr(loss, "mass")
    assert_close(sum(halves), loss(logits, target))
