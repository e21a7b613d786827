"""CHS-Net's data, loss, scores and runs: what is declared beside its networks."""

import json
import math
import signal
from collections import Counter

import nibabel as nib
import numpy as np
import pytest
import torch
from tiny_training import disc, discs
from torch import nn
from torch.testing import assert_close

from covidseg import papers
from covidseg.data import CaseDataset, data_set, load_dataset
from covidseg.data.case import Case
from covidseg.data.datasets import parts
from covidseg.data.splits import clean_folds, paper_folds, patient_of, volume_of
from covidseg.data.transforms import Preprocessing, to_grey
from covidseg.errors import UserError
from covidseg.metrics import segmentation_scores
from covidseg.papers.chsnet.data import PATIENTS, at_size, fold_of_patient, fold_of_slices, lungs_of, set_of
from covidseg.papers.chsnet.feed import GreySlices
from covidseg.papers.chsnet.objective import HalfDice
from covidseg.papers.chsnet.protocol import part_of
from covidseg.papers.chsnet.recipes import CHSNET_QUICK, RECIPES
from covidseg.papers.chsnet.tasks import ceiling, hold_out
from covidseg.runs.record import SELECTIONS, score
from covidseg.runs.trial import trial
from covidseg.tables import compare, list_tables, load_table
from covidseg.training import Recipe, load_checkpoint

SMALL = ", width 8"
TINY = {"size": 32, "epochs": 1}


pytestmark = pytest.mark.usefixtures("one_thread")


# ---------------------------------------------------------------------------------------------------- what is learned


def loss_of(**settings):
    return HalfDice(**settings).loss(nn.Identity(), None, CHSNET_QUICK, "cpu")


def test_the_loss_is_half_mean_cross_entropy_and_half_squared_dice():
    target = torch.tensor([[[1, 0], [0, 0]]])
    by_hand = 0.5 * math.log(2) + 0.5 * (1 - (2 * 0.5 + 1) / (1 + 4 * 0.25 + 1))  # p = 1/2 everywhere
    assert float(loss_of()(torch.zeros(1, 1, 2, 2), target)) == pytest.approx(by_hand, rel=1e-6)
    empty = 0.5 * math.log(2) + 0.5 * (1 - 1 / (4 * 0.25 + 1))  # no lesion: Dice is a number all the same
    assert float(loss_of()(torch.zeros(1, 1, 2, 2), target * 0)) == pytest.approx(empty, rel=1e-6)


def test_the_loss_is_no_larger_on_more_pixels_and_takes_two_classes_and_several_outputs():
    target = torch.tensor([[[1, 0], [0, 0]]])
    small, large = loss_of(dice_weight=0.0), target.repeat(1, 8, 8)
    assert float(small(torch.zeros(1, 1, 16, 16), large)) == pytest.approx(math.log(2), rel=1e-6)
    logits = torch.randn(1, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    two = torch.cat([torch.zeros_like(logits), logits], 1)
    assert_close(loss_of()(two, target), loss_of()(logits, target))
    assert_close(loss_of()((logits, [logits, logits]), target), 3 * loss_of()(logits, target))


def test_dice_of_a_batch_is_not_dice_of_each_image():
    target = torch.zeros(2, 2, 2, dtype=torch.long)
    target[0, 0, 0] = 1
    each, whole = (
        float(loss_of(dice_weight=1.0, reduce=way)(torch.zeros(2, 1, 2, 2), target)) for way in ("case", "batch")
    )
    assert each == pytest.approx(1 - (2 / 3 + 1 / 2) / 2) and whole == pytest.approx(1 - 2 / 4)


def test_the_loss_refuses_a_network_with_an_edge_map_and_settings_that_cannot_be():
    class Edged(nn.Identity):
        def named_maps(self):
            return {"S_e": (self, None)}

    with pytest.raises(UserError, match="ea=False"):
        HalfDice().loss(Edged(), None, CHSNET_QUICK, "cpu")
    for wrong in ({"dice_weight": 1.5}, {"reduce": "pixel"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            HalfDice(**wrong)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_comes_back_from_its_dict(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert papers.recipe(recipe.name) is recipe


def test_the_feed_hands_on_greys_as_they_are_and_lungs_where_they_are_the_target():
    cases = load_dataset("phantom", n=4, size=64)
    for target in ("infection", "lungs"):
        feed = GreySlices(target=target)
        batches = feed.batches(cases, CHSNET_QUICK, 0, 1, "cpu")
        step = batches.plan(0)[0]
        x, masks = batches.load(step)
        assert x.shape == (4, 1, 64, 64) and batches.preprocessing.mean == (0, 0, 0)
        for k, index in enumerate(step.indices):
            drawn = cases[index].lung if target == "lungs" else cases[index].infection
            assert np.array_equal(masks[k].numpy(), drawn.astype(int))
            assert np.allclose(x[k, 0], to_grey(cases[index].image, "HU"), atol=1e-3)


def test_a_feed_of_lungs_names_the_case_that_has_none():
    with pytest.raises(UserError, match="disc_00 has no lung mask"):
        GreySlices(target="lungs").batches(discs(), CHSNET_QUICK, 0, 1, "cpu")
    with pytest.raises(UserError, match="disc_03 has no lung mask"):
        lungs_of([disc(3)])
    with pytest.raises(LookupError, match="target of a recipe"):
        GreySlices(target="lung")


# ------------------------------------------------------------------------------------------------------------ scores


def toy():
    """Eight pixels each: one slice half right, one without lesion that is left alone."""
    pred = np.array([[1, 1, 0, 0], [0, 0, 0, 0]]), np.zeros((2, 4), int)
    truth = np.array([[0, 1, 1, 0], [0, 0, 0, 0]]), np.zeros((2, 4), int)
    return list(pred), list(truth)


def test_the_chsnet_protocol_by_hand():
    scores = segmentation_scores(*toy(), "chsnet", ids=["p9_a", "p20_b"])
    pooled = {"Acc": 14 / 16, "Pre": 1 / 2, "Spe": 13 / 14, "Rec": 1 / 2, "DC": 1 / 2, "JI": 1 / 3}
    pooled["mean JI"] = (1 / 3 + 13 / 15) / 2
    assert scores.pooled == pytest.approx(pooled)
    assert scores.pooled["JI"] == pytest.approx(0.5 / (2 - 0.5)), "DC / (2 - DC)"
    assert scores.pooled["mean JI"] > scores.pooled["DC"] > scores.pooled["JI"], "as printed, and as it must be"
    means = {"DC per slice": (3 / 5 + 1) / 2, "JI per slice": (2 / 4 + 1) / 2}
    means |= {"DC per infected slice": 3 / 5, "JI per infected slice": 2 / 4}
    assert scores.means == pytest.approx(means)
    assert scores.undefined["DC per infected slice"] == 1 and scores.n["DC per slice"] == 2
    assert part_of(scores, lambda i: i == "p9_a").pooled["mean JI"] == pytest.approx((1 / 3 + 5 / 7) / 2)
    with pytest.raises(UserError, match="none of them"):
        part_of(scores, lambda i: False)


def test_without_any_foreground_a_score_without_divisor_is_undefined_and_said_so():
    empty = [np.zeros((2, 4), int)]
    scores = segmentation_scores(empty, empty, "chsnet")
    assert scores.pooled["Acc"] == scores.pooled["Spe"] == scores.means["DC per slice"] == 1
    assert all(math.isnan(scores.pooled[name]) for name in ("Pre", "Rec", "DC", "JI", "mean JI"))
    assert scores.counts["both_empty"] == 1 and "undefined" in scores.rules
    full = segmentation_scores([np.ones((2, 4), int)], empty, "chsnet")
    assert full.pooled["DC"] == full.pooled["mean JI"] == full.pooled["Acc"] == 0 and math.isnan(full.pooled["Rec"])
    with pytest.raises(UserError, match="distance"):
        segmentation_scores(empty, empty, "chsnet", spacing=(1.0, 1.0))


# ------------------------------------------------------------------------------------------------------------- splits


def volumes(name):
    listed = {volume_of(i) for ids in paper_folds(name).values() for i in ids}
    return listed | {v for k in clean_folds(name).values() for v in k}


def test_everybody_of_both_sets_has_one_place_and_scans_of_one_person_share_it():
    people = {patient_of(name, volume) for name in ("p9", "p20") for volume in volumes(name)}
    assert len(people) == 21 and all(fold_of_patient(person) >= 0 for person in people)
    assert fold_of_patient("somebody_else") == -1, "trains"
    names = [name for groups in PATIENTS.values() for name in groups]
    assert len(names) == len(set(names))
    for p9, p20 in {"2": "radiopaedia_10_85902_1", "3": "radiopaedia_10_85902_3", "4": "radiopaedia_4_85506_1",
                    "5": "radiopaedia_27_86410_0", "7": "radiopaedia_29_86491_1", "8": "radiopaedia_36_86526_0",
                    "9": "radiopaedia_40_86625_0"}.items():  # fmt: skip
        assert fold_of_patient(patient_of("p9", p9)) == fold_of_patient(patient_of("p20", p20))
    assert fold_of_patient("radiopaedia_29_86490") == fold_of_patient("radiopaedia_29_86491")


def test_three_tenths_of_p20s_infected_slices_are_of_tested_people():
    slices = Counter(volume_of(i) for ids in paper_folds("p20").values() for i in ids)
    tested = sum(n for volume, n in slices.items() if fold_of_patient(patient_of("p20", volume)) == 0)
    assert 0.27 < tested / sum(slices.values()) < 0.33


def test_slices_are_parted_by_chance_within_each_volume_and_always_alike():
    folds = fold_of_slices(list(range(100)), "2")
    assert Counter(folds.values()) == {0: 30} | dict.fromkeys(range(1, 6), 14)
    assert folds == fold_of_slices(list(reversed(range(100))), "2") != fold_of_slices(list(range(100)), "3")
    neighbours = sum(folds[z] == 0 and folds[z + 1] != 0 for z in range(99))
    assert neighbours > 10, "the leak: a tested slice lies beside one that is learned"
    assert set(fold_of_slices([7], "2").values()) <= set(range(6))


def save(path, upright):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.ascontiguousarray(upright.transpose(1, 0, 2))
    nib.save(nib.Nifti1Image(array, np.diag([-0.7, -0.7, 5.0, 1.0])), path)


@pytest.fixture
def two_sets(tmp_path, monkeypatch):
    """A mirror with one volume of P9 and the same person's of P20; ten slices each, the first two without lungs."""
    monkeypatch.setenv("COVIDSEG_MIRROR", str(tmp_path))
    monkeypatch.setenv("COVIDSEG_DATA", str(tmp_path / "home"))
    hu = np.full((20, 24, 10), -600, np.int16)
    infection, lung = (np.zeros(hu.shape, np.uint8) for _ in range(2))
    lung[4:16, 4:20, 2:] = 1
    infection[3:8, 6:8, 1:5] = 1  # also in a slice without lungs, and beyond the lungs' edge
    p9, p20 = tmp_path / "p9", tmp_path / "p20"
    for folder, kind in (("rp_im", hu), ("rp_msk", infection), ("rp_lung_msk", lung)):
        save(p9 / folder / "5.nii.gz", kind)
    for folder, kind in (("COVID-19-CT-Seg_20cases", hu), ("Infection_Mask", infection), ("Lung_Mask", lung)):
        save(p20 / folder / "radiopaedia_27_86410_0.nii.gz", kind)
    return tmp_path


def test_the_fused_set_has_every_slice_with_lungs_of_both_sets_at_one_size(two_sets):
    cases = load_dataset("chsnet_fused")
    assert Counter(map(set_of, cases.ids)) == {"p9": 8, "p20": 8} and set(cases.patients) == {"radiopaedia_27_86410"}
    assert "1 of 9 volumes of p9" in repr(cases) and "1 of 20 volumes of p20" in repr(cases)
    assert any("1 slices of p9 5 have infection but no lungs" in note for note in cases.notes)
    case = cases[0]
    assert case.image.shape == case.mask.shape == case.lung.shape == (256, 256) and case.lung.any()
    assert case.spacing == pytest.approx((0.7 * 20 / 256, 0.7 * 24 / 256))
    assert load_dataset("chsnet_fused", size=None)[0].image.shape == (20, 24)
    assert {set_of(i) for i in load_dataset("chsnet_fused", "test", only="p20").ids} == {"p20"}
    with pytest.raises(LookupError, match="part of chsnet_fused"):
        load_dataset("chsnet_fused", only="p10")


def test_the_papers_parts_share_people_and_the_clean_ones_do_not(two_sets):
    whole = set(load_dataset("chsnet_fused").ids)
    for fold in range(1, 6):
        split = [set(load_dataset("chsnet_fused", name, fold).ids) for name in ("train", "val", "test")]
        assert set.union(*split) == whole and sum(map(len, split)) == len(whole)
        assert split[2] == set(load_dataset("chsnet_fused", "test").ids), "the tested slices are the same in all folds"
    assert set(load_dataset("chsnet_fused", "train").ids) | split[2] == whole and len(split[2]) == 4
    assert set(load_dataset("chsnet_patients", "test").ids) == whole, "that person is tested"
    assert set(load_dataset("chsnet_fused", "test", protocol="clean").ids) == whole
    with pytest.raises(UserError, match="'train' of fold 1 .clean. has none"):
        load_dataset("chsnet_patients", "train", 1)
    with pytest.raises(UserError, match="give fold=1 to 5"):
        load_dataset("chsnet_fused", "val")
    assert parts("chsnet_fused", 0) == ("train", "test") and parts("chsnet_patients", 3) == ("train", "val")


def test_a_set_that_is_not_there_is_named(two_sets):
    (two_sets / "p20").rename(two_sets / "elsewhere")
    with pytest.raises(UserError, match="p20 is not on this machine"):
        load_dataset("chsnet_fused")
    assert len(load_dataset("chsnet_fused", only="p9")) == 8


def test_a_slice_is_resized_with_both_masks_and_as_lungs_keeps_its_picture():
    case = load_dataset("phantom", n=1, size=64)[0]
    small = at_size(case, 32)
    assert small.image.shape == small.mask.shape == small.lung.shape == (32, 32)
    assert np.array_equal(small.lung, case.lung[::2, ::2]) and at_size(case, 64) is case
    (lungs,) = lungs_of([case])
    assert lungs.image is case.image and np.array_equal(lungs.infection, case.lung != 0)


@pytest.mark.mirror
def test_on_real_slices_nobody_of_the_clean_parts_is_on_both_sides_and_nearly_everybody_of_the_papers_is(mirror):
    fused, clean = load_dataset("chsnet_fused", mirror=mirror), load_dataset("chsnet_patients", mirror=mirror)
    assert fused.ids == clean.ids and len(fused) == 775 and len(fused.notes) == 2
    for name, shared in (("chsnet_fused", 10), ("chsnet_patients", 0)):
        train, test = (load_dataset(name, part, mirror=mirror) for part in ("train", "test"))
        assert len(train) + len(test) == 775 and 0.29 < len(test) / 775 < 0.31
        assert len(set(train.patients) & set(test.patients)) == shared
        assert {set_of(i) for i in test.ids} == {"p9", "p20"}
        for fold in range(1, 6):
            fit, held = (load_dataset(name, part, fold, mirror=mirror) for part in ("train", "val"))
            assert len(held) and set(fit.ids) | set(held.ids) == set(train.ids)
    case = fused.case("p9_2_0010")
    assert case.lung.any() and case.image.shape == (256, 256) and case.patient == "radiopaedia_10_85902"


# --------------------------------------------------------------------------------------------------------------- runs


def test_a_fifth_is_held_out_by_people_another_one_for_each_seed():
    cases = load_dataset("phantom", n=20, size=32, per_patient=2)
    held = []
    for seed in range(5):
        learned, chosen, rule = hold_out(cases, "phantom", seed)
        assert (len(learned), len(chosen), rule) == (16, 4, "every fifth patient")
        assert not set(learned.patients) & set(chosen.patients)
        held += chosen.ids
    assert sorted(held) == sorted(cases.ids)
    with pytest.raises(UserError, match="too few to hold a fifth out"):
        hold_out(cases.subset(cases.ids[:2]), "phantom", 0)


def test_of_the_fused_set_the_seeds_hold_out_its_five_folds(two_sets):
    train = load_dataset("chsnet_fused", "train")
    for seed in range(5):
        learned, held, rule = hold_out(train, "chsnet_fused", seed)
        assert rule == f"fold {seed + 1} of five" and set(learned.ids) | set(held.ids) == set(train.ids)
        assert set(held.ids) == set(load_dataset("chsnet_fused", "val", seed + 1).ids)


def executed(place, folder, **changes):
    """A run on phantoms from first to last step: (trial, network, scored cases, record)."""
    run = trial(*place, "phantom", 0, 0, "smoke", **TINY | changes)
    network, (train_set, scored) = run.network(), run.data()
    history = run.learn(network, train_set, scored, device="cpu", out=folder)
    selections = {rule: run.score(network, history, scored, rule) for rule in SELECTIONS}
    return run, network, scored, run.record(network, history, train_set, scored, selections, 0.0)


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cascade")
    return folder, *executed(("chsnet", f"BU+RIB+HP+SSD{SMALL}"), folder)


def test_a_cascade_learns_lungs_first_and_leaves_them_alone_while_it_learns_infection(cascade):
    folder, run, network, _, record = cascade
    lungs = load_checkpoint(folder / "lungs" / "best.pt")
    assert_close(dict(network.lungs.state_dict()), dict(lungs["state"]), rtol=0, atol=0)
    assert (lungs["model"], lungs["options"]) == ("raiunet", {"in_channels": 1, "width": 8, "num_classes": 1})
    assert json.loads((folder / "lungs" / "run.json").read_text())["recipe"]["target"] == "lungs"
    assert record["recipe"]["target"] == "infection"
    first = run.network()
    assert not torch.equal(first.infection.head.weight, network.infection.head.weight)
    assert all(p.requires_grad for p in network.parameters())
    seconds = float((folder / "lungs" / "curves.csv").read_text().splitlines()[1].split(",")[-1])
    assert run.task.seconds == pytest.approx(seconds, abs=0.01) and record["cost"]["seconds"] > seconds


def test_the_record_of_a_cascade_has_its_ceiling_what_chose_and_the_scores_of_both_networks(cascade):
    _, _, network, scored, record = cascade
    assert record["data"]["lungs"] == ceiling(network.lungs, scored)
    assert record["data"]["chosen_on"]["rule"] == "every fifth patient" and record["data"]["chosen_on"]["cases"] == 2
    assert record["data"]["chosen_on"]["fingerprint"] not in (
        record["data"][p]["fingerprint"] for p in ("train", "val")
    )
    scores = record["selections"]["best"]["scores"]
    assert list(scores) == ["clean", "chsnet", "lungs"]
    assert score(record, "Rec", protocol="chsnet") <= 1 and scores["lungs"]["pooled"]["DC"] is not None


def test_a_cascade_that_was_stopped_goes_on_to_the_same_weights(cascade, tmp_path):
    run = trial("chsnet", f"BU+RIB+HP+SSD{SMALL}", "phantom", 0, 0, "smoke", **TINY)
    train_set, scored = run.data()
    network = run.network()

    def stop(module, inputs, outputs):
        if module.training:
            signal.raise_signal(signal.SIGINT)

    hook = network.infection.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        run.learn(network, train_set, scored, device="cpu", out=tmp_path)
    hook.remove()
    stamp = (tmp_path / "lungs" / "last.pt").stat().st_mtime_ns
    assert load_checkpoint(tmp_path / "last.pt")["training"]["iteration"] == 1
    again = trial("chsnet", f"BU+RIB+HP+SSD{SMALL}", "phantom", 0, 0, "smoke", **TINY)
    history = again.learn(again.network(), train_set, scored, device="cpu", out=tmp_path)
    assert (tmp_path / "lungs" / "last.pt").stat().st_mtime_ns == stamp, "the lungs are not learned twice"
    whole = load_checkpoint(cascade[0] / "last.pt")["state"]
    assert_close(history.weights["last"], dict(whole), rtol=0, atol=0)


def test_a_network_that_sees_no_lungs_leaves_an_empty_slice_and_is_counted(cascade):
    run, network, scored = cascade[1], cascade[1].network(), cascade[3]
    nn.init.zeros_(network.lungs.head.weight)
    nn.init.constant_(network.lungs.head.bias, -5.0)
    network.preprocessing = network.lungs.preprocessing = Preprocessing(32, (0.0,) * 3, (1.0,) * 3)
    x = torch.rand(2, 1, 32, 32)
    assert not network.eval().masked(x).any() and torch.isfinite(network(x)).all()
    assert ceiling(network.lungs, scored) == {"recall_ceiling": 0.0, "outside_drawn": 0.0, "empty": len(scored)}
    scores = run.task.scores(network, scored)
    assert scores["lungs"].pooled["Rec"] == 0 and math.isfinite(scores["chsnet"].pooled["Acc"])


class Everywhere(nn.Module):
    """Draws the left half of every slice."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Conv2d(1, 1, 1)
        self.preprocessing = Preprocessing(32, (0.0,) * 3, (1.0,) * 3)

    def forward(self, x):
        half = torch.arange(x.shape[-1]) < x.shape[-1] // 2
        return torch.where(half, 5.0, -5.0).expand_as(x[:, :1])


def test_the_ceiling_is_the_infection_inside_and_infection_outside_the_drawn_lungs_is_told():
    mask, lung = (np.zeros((32, 32), np.uint8) for _ in range(2))
    mask[0, 12:20] = 1  # half of it on the left
    lung[0, 10:18] = 1  # six of its eight pixels are in the lungs
    case = Case("a", "", np.zeros((32, 32), np.float32), mask, "grey", (1.0, 1.0), lung)
    assert ceiling(Everywhere(), [case]) == {"recall_ceiling": 0.5, "outside_drawn": 0.25, "empty": 0}
    healthy = Case("b", "", case.image, mask * 0, "grey", (1.0, 1.0), lung)
    assert ceiling(Everywhere(), [healthy])["recall_ceiling"] is None


def test_a_direct_run_and_one_of_the_lungs_differ_in_what_they_learn(tmp_path):
    direct = executed(("raiunet", f"BU+RIB+HP+SSD{SMALL}"), tmp_path / "direct")[3]
    lungs = executed(("raiunet", f"lungs alone{SMALL}"), tmp_path / "lungs")[3]
    for record in (direct, lungs):
        assert list(record["selections"]["last"]["scores"]) == ["clean", "chsnet"]
    a, b = (r["selections"]["last"]["scores"]["chsnet"]["cases"] for r in (direct, lungs))
    scored = load_dataset("phantom", "test", n=4, size=32)
    assert [row["tp"] + row["fn"] for row in a] == [int(case.infection.sum()) for case in scored]
    assert [row["tp"] + row["fn"] for row in b] == [int((case.lung > 0).sum()) for case in scored]


def test_in_a_fold_of_its_own_the_scored_slices_choose(tmp_path):
    run = trial("raiunet", f"BU{SMALL}", "phantom", 1, 0, "smoke", **TINY)
    train_set, scored = run.data()
    assert run.task._apart(train_set, scored) == (train_set, scored)
    assert run.task.facts == {"chosen_on": "the scored slices"}


def test_a_run_on_both_sets_scores_each_alone(two_sets):
    run = trial("raiunet", f"BU{SMALL}", "chsnet_fused", 0, 0, "smoke", **TINY)
    network = Everywhere()
    cases = load_dataset("chsnet_fused", "test")
    scores = run.task.scores(network, cases)
    assert list(scores) == ["clean", "chsnet", "chsnet, p9", "chsnet, p20"]
    assert [len(scores[name].cases) for name in scores] == [4, 4, 2, 2]
    assert isinstance(cases, CaseDataset) and data_set("chsnet_fused").has == {"lung"}


def test_a_run_wants_a_recipe_of_greys_and_a_set_with_lungs():
    with pytest.raises(UserError, match="has no greys of 0 to 1.*choose chsnet_paper"):
        trial("raiunet", "", "phantom", 0, 0, "smoke", recipe="quick")
    with pytest.raises(UserError, match="needs lung masks, and ct100 has none"):
        trial("chsnet", "", "ct100", 1, 0, "smoke")
    assert trial("raiunet", "", "ct100", 1, 0, "smoke").recipe.name == "chsnet_quick"


def test_a_cascade_costs_both_trainings_and_the_masks_of_the_second():
    direct, both = (trial(name, f"BU{SMALL}", "phantom", 0, 0, "lesson").task for name in ("raiunet", "chsnet"))
    assert both.trial.macs() == 2 * direct.trial.macs()
    assert 2 < both.effort() / direct.effort() < 2.4


# ------------------------------------------------------------------------------------------------------------- tables


def test_the_tables_hold_the_printed_numbers_and_runs_for_what_can_be_built():
    names = ("table2-lungs", "table2-infection", "table3", "table4", "table5-lungs", "table5-infection")
    tables = {name: load_table(f"chsnet/{name}") for name in names}
    own = {name.partition("/")[2] for name in list_tables() if name.startswith("chsnet/")}
    assert own == {*names, "table3-short"}  # of runs that a CPU can make, with two seeds
    assert [row.model for row in tables["table3"].rows] == [
        "segnet", "unet", "unetplusplus", "attention_unet", "infnet", "raiunet", "chsnet"
    ]  # fmt: skip
    for table in tables.values():
        assert {run["dataset"] for run in table.runs()} == {"chsnet_fused"} and table.selection == "best"
        assert sorted({run["seed"] for run in table.runs()}) == [0, 1, 2, 3, 4]
        for row in table.rows:
            assert float(row.printed["ji"]) > float(row.printed["dc"]), "no Jaccard of one foreground is"
            papers.find_row(row.model, row.variant)


def test_a_cascades_record_fills_the_rows_of_its_lungs_and_of_its_infection(cascade):
    record = cascade[4] | {"changed": {}}
    for name, protocol in (("table5-infection", "chsnet"), ("table5-lungs", "lungs")):
        comparison = compare(load_table(f"chsnet/{name}"), [record], data="phantom", budget="smoke")
        (line,) = [line for line in comparison.lines if line.records]
        assert line.row.variant == f"BU+RIB+HP+SSD{SMALL}"
        pooled = record["selections"]["best"]["scores"][protocol]["pooled"]
        ours = {column: line.cells[column].ours for column in ("acc", "ji", "ji_foreground")}
        expected = {"acc": pooled["Acc"], "ji": pooled["mean JI"], "ji_foreground": pooled["JI"]}
        for column, value in expected.items():
            assert ours[column] == value if value is not None else math.isnan(ours[column])
        assert math.isnan(line.cells["ji_foreground"].paper) and line.cells["ji"].paper > 0.8
