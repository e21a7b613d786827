"""What Inf-Net learns from: edges, soft slices, batches at three scales, and pictures as they come."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import SOFT, disc, discs, tiny_net
from torch.nn import functional as F
from torch.testing import assert_close

from covidseg import load_dataset
from covidseg.data.case import Case
from covidseg.data.transforms import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from covidseg.errors import UnknownName, UserError
from covidseg.papers import recipe
from covidseg.papers.infnet import INFNET_RELEASED, SoftBatches, SoftSlice, SoftSlices, soft_slices
from covidseg.papers.infnet.edges import edge_map, semiseg_edges
from covidseg.training import evaluate, train

# ------------------------------------------------------------------------------------------------- edges


def test_an_edge_is_where_the_two_neighbours_differ():
    mask = np.random.default_rng(0).random((9, 8)) > 0.5
    edge = edge_map(mask)

    def differs(line, i):
        before, after = line[max(i - 1, 0)], line[min(i + 1, len(line) - 1)]  # at the rim it is its own
        return before != after

    for i in range(9):
        for j in range(8):
            assert edge[i, j] == (differs(mask[:, j], i) or differs(mask[i], j))


def test_the_two_edges_of_a_block():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 2:6] = 255
    both, thin = edge_map(mask), edge_map(mask, "canny")
    assert both.sum() == 4 * 4 + 12 and not both[3:5, 3:5].any(), "four rows of four outside, twelve pixels inside"
    assert thin.sum() == 12 and not (thin & ~both).any()
    assert not edge_map(mask * 0).any() and not edge_map(mask * 0 + 255).any(), "no lesion, no edge; nor all lesion"


def test_greys_shares_classes_and_bool_are_one_mask():
    mask = np.zeros((6, 6), np.uint8)
    mask[2:4, 1:5] = 1
    for same in (mask.astype(bool), mask * 2, mask * 255, mask * 129, mask.astype(np.float32) * 0.51):
        assert np.array_equal(edge_map(same), edge_map(mask))
    assert not edge_map(mask * 128).any(), "the threshold is above 128"
    for wrong in (mask[None], mask[:1], mask[0]):
        with pytest.raises(UserError, match=r"one slice \(H, W\)"):
            edge_map(wrong)
    with pytest.raises(UnknownName, match="Did you mean 'canny'"):
        edge_map(mask, "cany")


def test_the_shipped_edges_are_ours_to_the_pixel(mirror):
    edges, train_set = semiseg_edges(mirror=mirror), load_dataset("semiseg", "train", mirror=mirror)
    assert len(edges) == 50 == len(train_set)
    assert all(np.array_equal(edge_map(case.infection), edges[case.id]) for case in train_set)
    folder = mirror / "semiseg/Dataset/TrainingSet/LungInfection-Train/Pseudo-label"
    for path in sorted((folder / "GT").iterdir())[::100]:  # soft maps; all 1,600 were compared once
        soft, edge = (np.asarray(Image.open(folder / part / path.name).convert("L")) for part in ("GT", "Edge"))
        assert np.array_equal(edge_map(soft, "canny"), edge > 128)


# ----------------------------------------------------------------------------------------------- slices


def test_cases_become_soft_slices_and_of_a_volume_the_infected_ones():
    image = np.random.default_rng(0).normal(-600, 100, (20, 24, 4)).astype(np.float32)
    mask = np.zeros(image.shape, np.uint8)
    mask[5:9, 5:9, 1], mask[3:6, 3:6, 3], mask[0, 0, 2] = 1, 2, 3
    volume = Case("v", "p", image, mask, "HU", (1.0, 1.0, 1.0))
    first, second = soft_slices([volume])
    assert (first.id, second.id) == ("v_0001", "v_0003"), "effusion alone is no infection"
    assert first.mask.sum() == 16 and second.mask.max() == 1 and first.edge.sum() == edge_map(mask[:, :, 1]).sum()
    assert_close(first.grey, ((image[:, :, 1] + 1250) / 1500).clip(0, 1))


def test_a_slice_without_lesion_stays_and_has_no_edge():
    empty = replace(disc(0), mask=np.zeros((24, 24), np.uint8))
    (soft,) = soft_slices([empty])
    assert not soft.mask.any() and not soft.edge.any()
    history = train(tiny_net(), [empty, disc(1)], [empty], replace(SOFT, batch=2), device="cpu")
    assert np.isfinite(history.rows[-1]["train_loss"]) and np.isfinite(history.rows[-1]["val_loss"])
    scores = evaluate(tiny_net(), [empty, disc(1)], Preprocessing(size=24), "infnet")
    assert scores.cases[0]["Dice"] == 0 and not np.isnan(scores["S"]), "the tool's rule for an empty label"


def test_own_edges_are_taken_where_they_are_given():
    cases, own = discs(count=2), np.ones((24, 24), bool)
    assert soft_slices(cases, edges={case.id: own for case in cases})[1].edge.all()
    with pytest.raises(UserError, match="disc_01 has no edge among the 1 given"):
        soft_slices(cases, edges={"disc_00": own})
    with pytest.raises(UserError, match=r"disc_00: the edge is \(5, 24\), the picture \(24, 24\)"):
        soft_slices(cases, edges={case.id: own[:5] for case in cases})


@pytest.mark.parametrize("wrong", [2.0, -0.1, np.nan])
def test_a_slice_outside_0_to_1_is_refused_by_name(wrong):
    good = np.zeros((4, 4), np.float32)
    for name in ("grey", "mask", "edge"):
        with pytest.raises(UserError, match=f"Slice s7: the {name} holds .* not 0 to 1"):
            SoftSlice("s7", **({"grey": good, "mask": good, "edge": good} | {name: np.full((4, 4), wrong)}))
    with pytest.raises(UserError, match="disc_00 holds values that are not numbers"):
        soft_slices([replace(disc(0), image=np.full((24, 24), np.nan, np.float32))])


# ---------------------------------------------------------------------------------------------- batches


def batches_of(cases, recipe=SOFT, seed=0, **options):
    return SoftBatches(soft_slices(cases), recipe, Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD), seed, **options)


def test_every_mini_batch_is_seen_at_three_scales_in_turn_and_the_last_part_is_kept():
    batches = batches_of(discs(count=7), replace(INFNET_RELEASED, batch=3))
    steps = batches.plan(0)
    assert [step.scale.side for step in steps] == [256, 352, 448] * 3 and batches.steps_per_epoch == 9
    assert [step.iteration for step in steps + batches.plan(1)] == list(range(18))
    assert all(steps[k].indices == steps[k - k % 3].indices for k in range(9))
    assert sorted(steps[0].indices + steps[3].indices + steps[6].indices) == list(range(7))
    assert len(steps[8].indices) == 1 and [s.indices for s in batches.plan(1)] != [s.indices for s in steps]
    again, other = (batches_of(discs(count=7), batches.recipe, seed).plan(0) for seed in (0, 1))
    assert again == steps and other != steps


def test_with_order_pass_the_scales_are_passes_of_their_own():
    steps = batches_of(discs(count=8), replace(SOFT, feed=SoftSlices(24, order="pass"))).plan(0)
    assert [step.scale.side for step in steps] == [24, 24, 32, 32]
    assert all(sorted(a.indices + b.indices) == list(range(8)) for a, b in (steps[:2], steps[2:]))


@pytest.mark.parametrize("native", [(70, 54), (20, 30)])
def test_the_base_side_is_pils_resize_and_targets_become_soft(native):
    rng = np.random.default_rng(1)
    grey, mask = rng.integers(0, 256, native).astype(np.float32), np.zeros(native, np.uint8)
    mask[5:14, 6:19] = 1
    cases = [Case("a", "p", grey, mask, "grey", (1.0, 1.0))]
    packed = batches_of(cases, replace(SOFT, feed=SoftSlices(32, order="batch"), batch=1)).packed[0].numpy().astype(int)
    for ours, array in zip(packed, (grey, mask * 255, edge_map(mask) * 255), strict=True):
        pil = Image.fromarray(array.astype(np.uint8)).resize((32, 32), Image.Resampling.BILINEAR)
        assert np.abs(ours - np.asarray(pil).astype(int)).max() <= 1
    assert set(np.unique(packed[1])) - {0, 255}, "a mask resized smoothly has shares of lesion"


def test_a_step_is_resized_corner_to_corner_and_normalised():
    batches = batches_of(discs(count=4))
    base, other = batches.plan(0)
    images, targets = batches.load(base)
    assert images.shape == (4, 3, 24, 24) and targets.shape == (4, 2, 24, 24) and targets.dtype == torch.float32
    larger, soft = batches.load(other)
    assert_close(larger, F.interpolate(images, size=(32, 32), mode="bilinear", align_corners=True), atol=1e-5, rtol=0)
    assert_close(soft, F.interpolate(targets, size=(32, 32), mode="bilinear", align_corners=True), atol=1e-5, rtol=0)
    case = discs()[base.indices[2]]
    by_hand = (case.image / 255 - np.array(IMAGENET_MEAN)[:, None, None]) / np.array(IMAGENET_STD)[:, None, None]
    assert_close(images[2].double().numpy(), by_hand, atol=1e-5, rtol=0)
    assert_close(targets[2].numpy(), np.stack([case.infection, edge_map(case.infection)]).astype(np.float32))
    for whole, part in zip(batches.load(other), batches.load(other, [1, 3]), strict=True):
        assert torch.equal(whole[[1, 3]], part)
    assert batches_of(discs(count=4), channels=1).load(base)[0].shape == (4, 1, 24, 24)


def test_other_targets_have_another_fingerprint_and_a_run_does_not_go_on_with_them(tmp_path):
    first, again = batches_of(discs(count=4)), batches_of(discs(count=4))
    assert first.fingerprint() == again.fingerprint()
    softer = [replace(soft, mask=soft.mask * 0.9) for soft in soft_slices(discs(count=4))]
    others = SoftBatches(softer, SOFT, first.preprocessing, 0)
    train(tiny_net(), first, None, SOFT, device="cpu", out=tmp_path)
    with pytest.raises(UserError, match="another run: train_fingerprint"):
        train(tiny_net(), others, None, SOFT, device="cpu", out=tmp_path)


def test_sets_that_make_no_batch_are_one_line():
    with pytest.raises(UserError, match="no slice to learn from"):
        batches_of([])
    with pytest.raises(UserError, match="batch=4 is more than the 2 slices"):
        batches_of(discs(count=2), replace(SOFT, drop_last=True))
    with pytest.raises(UserError, match="'quick' has no soft targets"):
        batches_of(discs(), recipe("quick"))


# ------------------------------------------------------------------------------------------------- data


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """COVID-SemiSeg of one training slice, as its source lays it out; writes a mask picture and reads the set."""
    monkeypatch.setenv("COVIDSEG_MIRROR", str(tmp_path))
    monkeypatch.setenv("COVIDSEG_DATA", str(tmp_path / "home"))
    root = tmp_path / "semiseg/Dataset/TrainingSet"
    folder = root / "MultiClassInfection-Train"
    for name in ("Imgs", "GT"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(np.full((8, 6), 90, np.uint8)).save(folder / "Imgs/5.jpg")

    def read(mask):
        mask.save(folder / "GT/5.png")
        return load_dataset("semiseg").case("tr_im_0005").mask.T

    read.root = root
    return read


CLASSES = np.zeros((8, 6), np.uint8)
CLASSES[2:4, 1:3], CLASSES[5, 2:5] = 1, 2


def colours(*channels):
    """Ground-glass red, consolidation green, as VOC has them."""
    picture = np.zeros((8, 6, 3), np.uint8)
    picture[CLASSES == 1], picture[CLASSES == 2] = (128, 0, 0), (0, 128, 0)
    return np.dstack([picture, *channels])


def palette():
    picture = Image.fromarray(CLASSES).convert("P")
    picture.putdata(CLASSES.flatten().tolist())
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    return picture


@pytest.mark.parametrize(
    "picture",
    [
        lambda: Image.fromarray(CLASSES),
        lambda: Image.fromarray(np.choose(CLASSES, [0, 38, 75]).astype(np.uint8)),
        lambda: Image.fromarray(colours()),
        lambda: Image.fromarray(colours(np.full((8, 6), 255, np.uint8))),
        palette,
    ],
    ids=["classes", "greys", "RGB", "RGBA", "palette"],
)
def test_a_mask_reads_the_same_in_every_form_it_comes_in(pictures, picture):
    assert np.array_equal(pictures(picture()), CLASSES)


def test_a_mask_that_is_none_is_refused_and_says_what_it_holds(pictures):
    assert np.array_equal(pictures(Image.fromarray((CLASSES > 0) * np.uint8(255))), CLASSES > 0)
    with pytest.raises(UserError, match=r"5.png is no mask: it holds 0, 7, 14, where classes are 0 to 3"):
        pictures(Image.fromarray(CLASSES * 7))
    blurred = Image.fromarray(colours()).resize((12, 16), Image.Resampling.BILINEAR).resize((6, 8))
    with pytest.raises(UserError, match="is no mask: it holds .*, ..., where .* resized"):
        pictures(blurred)


def test_a_pair_of_two_sizes_names_both_files_and_sizes(pictures):
    with pytest.raises(UserError, match=r"5.png is \(6, 9\), its picture 5.jpg \(6, 8\): not a pair"):
        pictures(Image.fromarray(np.zeros((9, 6), np.uint8)))


def test_the_sets_own_edges_are_read_upright_by_case(pictures):
    pictures(Image.fromarray(CLASSES))
    with pytest.raises(UserError, match="Doctor-label.Edge holds no edge picture.*leave edges out"):
        semiseg_edges()
    folder = pictures.root / "LungInfection-Train/Doctor-label/Edge"
    folder.mkdir(parents=True)
    Image.fromarray(edge_map(CLASSES) * np.uint8(255)).save(folder / "5.png")
    cases = load_dataset("semiseg")
    assert np.array_equal(soft_slices(cases, edges=semiseg_edges())[0].edge, soft_slices(cases)[0].edge)
    (folder / "5.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="cannot be read as a picture"):
        semiseg_edges()
    with pytest.raises(UnknownName, match="Did you mean 'labelled'"):
        semiseg_edges("labeled")
