"""Training on patches of volumes: what is cut, what is learned, and what a 3-D network then draws."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toy_volumes import Toy3D

from covidseg import load_dataset, predict
from covidseg.data.case import Case
from covidseg.data.transforms import Scale
from covidseg.errors import UserError
from covidseg.training import CrossEntropy, Patches, Poly, Recipe, evaluate, train
from covidseg.training.patches import PatchBatches, VolumeCache

RECIPE = Recipe(
    name="toy patches", lr=0.02, epochs=2, batch=2, scales=(Scale(16, 0),), val_size=16, statistics="neutral",
    schedule=Poly(), feed=Patches(depth=8, per_volume=4, lesions=0.5), objective=CrossEntropy(aux_weights=(1.0,)),
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def phantoms():
    return list(load_dataset("phantom3d", split="train", n=3, size=(32, 32, 12)))


class OneOutput(nn.Module):
    """The toy without its second output, which no patch has a target for."""

    def __init__(self):
        super().__init__()
        self.toy = Toy3D()

    def forward(self, x):
        return self.toy(x)[0]


def network():
    torch.manual_seed(0)
    return OneOutput()


def volume(shape, infected=()) -> Case:
    """Every voxel's grey is its own: rows, columns and slices can be read off a patch."""
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 251
    mask = np.zeros(shape, np.uint8)
    for voxel in infected:
        mask[voxel] = 1
    return Case("v", "p", image, mask, "grey", spacing=(1.0, 1.0, 1.0))


def batches(cases, **changes) -> PatchBatches:
    recipe = replace(RECIPE, feed=replace(RECIPE.feed, **changes))
    return recipe.feed.batches(cases, recipe, 0, 1, "cpu")


def test_a_patch_is_cut_from_its_place_and_its_target_with_it():
    case = volume((20, 24, 10), infected=[(9, 9, 5)])
    grey, mask = VolumeCache([case]).patch(0, (3, 4, 1), (16, 16, 8))
    assert torch.equal(grey[0] * 255, torch.from_numpy(case.image[3:19, 4:20, 1:9]))
    assert mask[6, 5, 4] == 1 and mask.sum() == 1


def test_a_volume_thinner_than_a_patch_goes_on_as_air_and_background():
    case = volume((20, 12, 5), infected=[(0, 0, 0)])
    grey, mask = VolumeCache([case]).patch(0, (2, 0, 0), (16, 16, 8))
    assert grey.shape == (1, 16, 16, 8) and mask.shape == (16, 16, 8)
    assert torch.equal(grey[0, :, :12, :5] * 255, torch.from_numpy(case.image[2:18, :, :5]))
    assert not grey[0, :, 12:].any() and not grey[0, :, :, 5:].any() and not mask[:, 12:].any()


@pytest.mark.parametrize(("lesions", "share"), [(1.0, 1.0), (0.0, 0.0)])
def test_lesions_are_met_as_often_as_the_feed_says(lesions, share):
    corner = [(31, 31, 11)]  # one infected voxel where hardly any patch of chance reaches
    feed = batches([volume((64, 64, 24), infected=corner)], lesions=lesions, per_volume=32)
    hits = [mask.any().item() for step in feed.plan(0) for mask in feed.load(step)[1]]
    assert len(hits) == 32
    assert np.mean(hits) == share if lesions else np.mean(hits) < 0.4  # a patch covers 1/48 of the places


def test_a_patch_around_a_lesion_at_the_rim_stays_in_the_volume():
    rim = volume((32, 32, 12), infected=[(0, 31, 11)])
    feed = batches([rim], lesions=1.0)
    for step in feed.plan(0):
        for mask in feed.load(step)[1]:
            assert mask[0, 15, 7] == 1


def test_each_step_and_position_cuts_the_same_whoever_asks(phantoms):
    one, other = batches(phantoms), batches(phantoms)
    step = one.plan(1)[2]
    whole = one.load(step)
    again = [other.load(step, [position]) for position in range(2)]
    assert torch.equal(whole[0], torch.cat([x for x, _ in again]))
    assert torch.equal(whole[1], torch.cat([y for _, y in again]))
    assert sorted(i for s in one.plan(1) for i in s.indices) == sorted([0, 1, 2] * 4)


def test_a_recipe_of_patches_reads_back_from_its_dict():
    assert Recipe.from_dict(RECIPE.to_dict()) == RECIPE
    assert RECIPE.to_dict()["feed"] == "patches" and RECIPE.feed.at_side(RECIPE, 32).scales == (Scale(32, 0),)


@pytest.mark.parametrize(
    ("change", "line"),
    [({"per_volume": 0}, "per_volume=0 must be 1 or more"), ({"lesions": 1.5}, "lesions=1.5 is a share"),
     ({"depth": 0}, "depth=0 must be 1 or more slices"), ({"target": "lungs"}, "target of a recipe")],
)  # fmt: skip
def test_a_feed_that_cannot_be_is_refused(change, line):
    with pytest.raises(UserError, match=line):
        replace(RECIPE.feed, **change)


def test_what_cannot_be_cut_is_refused_in_one_line(phantoms):
    with pytest.raises(UserError, match="is one slice; patches are cut from volumes"):
        batches([phantoms[0].slice(3)])
    with pytest.raises(UserError, match="There is no volume"):
        batches([])
    two = replace(RECIPE, scales=(Scale(16, 0), Scale(32, 0)))
    with pytest.raises(UserError, match="patches have one size, but scales names 2"):
        two.feed.batches(phantoms, two, 0, 1, "cpu")


def test_a_3d_network_trains_is_resumed_to_the_same_bits_and_draws_a_volume(phantoms, tmp_path):
    settings = dict(seed=1, device="cpu", checkpoint_every=2)
    whole = network()
    history = train(whole, phantoms[:2], phantoms[2:], RECIPE, out=tmp_path / "whole", **settings)
    assert [row["epoch"] for row in history.rows] == [1, 2] and history.rows[-1]["val_dice"] >= 0
    half, calls = network(), []

    def stop(row):
        calls.append(row)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(half, phantoms[:2], phantoms[2:], RECIPE, out=tmp_path / "half", report=stop, **settings)
    resumed = network()
    train(resumed, phantoms[:2], phantoms[2:], RECIPE, out=tmp_path / "half", **settings)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    mask = predict(whole, phantoms[2].image)
    assert mask.shape == phantoms[2].image.shape and mask.dtype == np.uint8
    scores = evaluate(whole, phantoms[2:], distances=False)
    assert scores.counts["cases"] == 1 and len(scores.cases) == 1


def test_one_patch_can_be_learned_by_heart(phantoms):
    recipe = replace(RECIPE, epochs=60, batch=1, lr=0.03, feed=replace(RECIPE.feed, per_volume=1, lesions=1.0))
    cases = [phantoms[0]]
    feed = recipe.feed.batches(cases, recipe, 0, 1, "cpu")
    x, y = feed.load(feed.plan(0)[0])

    class SamePatch(PatchBatches):
        def load(self, step, positions=None):
            return x, y

    same = SamePatch(feed.cache, recipe, feed.preprocessing, 0)
    net = network()
    train(net, same, None, recipe, device="cpu")
    with torch.inference_mode():
        drawn = net.eval()(x).argmax(1)
    both = ((drawn == 1) & (y == 1)).sum()
    assert y.any() and 2 * both / ((drawn == 1).sum() + (y == 1).sum()) > 0.9
