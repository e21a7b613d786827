"""Infection-guided labelling: input, targets (true and published), training, classes on the slice's grid, Table III."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from covidseg import create_model, load_dataset
from covidseg.data.case import Case
from covidseg.data.transforms import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, Scale
from covidseg.errors import UserError
from covidseg.papers import recipes
from covidseg.papers.infnet.labelling import (
    LABELLING_LESSON,
    LABELLING_PAPER,
    LABELLING_QUICK,
    LABELLING_RELEASED,
    LABELLING_REPAIRED,
    GuidedSlice,
    MultiClassBatches,
    MultiClassLoss,
    Setting,
    assemble,
    guided_slices,
    label_infection,
    one_hot,
    plain_slices,
    predicted_priors,
    published_decode,
    published_index,
    published_one_hot,
    published_target,
    score_classes,
    three_classes,
    train_labelling,
    xavier_uniform,
)
from covidseg.training import Constant, Recipe, SliceBatches, Slices
from covidseg.training.optimizers import optimizer_for

SIDE = 32
TINY = Setting(
    recipe=replace(
        LABELLING_QUICK.recipe,
        name="tiny",
        lr=0.05,
        epochs=25,
        batch=4,
        scales=(Scale(SIDE, 0),),
        val_size=SIDE,
        feed=Slices("none", "classes"),
    )
)


class Labeller(nn.Module):
    """One 1x1 convolution after another: enough to tell grey from white where the prior is high."""

    def __init__(self, channels=6):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(channels, 8, 1), nn.ReLU(), nn.Conv2d(8, 3, 1))

    def forward(self, x):
        return self.net(x)


def labeller(channels=6, seed=0):
    torch.manual_seed(seed)
    return Labeller(channels)


def lesions(number: int, consolidation=True, effusion=False) -> Case:
    """A grey disc, GGO, and a white one, consolidation, on dark noise, with equally bright tissue that is healthy."""
    g = np.random.default_rng(number)
    y, x = np.mgrid[:SIDE, :SIDE]
    row, column = g.integers(8, 12), g.integers(8, 24)
    mask = (((y - row) ** 2 + (x - column) ** 2) < 20) * 1
    mask = np.where(((y - row - 12) ** 2 + (x - column) ** 2 < 16) & consolidation, 2, mask)
    mask = np.where((y > 28) & effusion, 3, mask)
    image = np.array([20, 110, 220, 220])[mask] + g.integers(0, 20, mask.shape)
    image[:, :3] = 220  # ribs
    return Case(f"case_{number:02d}", "", image.astype(np.float32), mask.astype(np.uint8), "grey", (1.0, 1.0))


CASES = [lesions(n, consolidation=n % 4 != 3) for n in range(8)]


# ------------------------------------------------------------------------------------------------ targets


def test_the_true_one_hot_marks_every_pixel_once():
    classes = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (2, 5, 7)))
    hot = one_hot(classes)
    assert hot.shape == (2, 3, 5, 7) and hot.dtype == torch.float32
    for b, r, c in np.ndindex(2, 5, 7):
        assert hot[b, :, r, c].tolist() == [float(classes[b, r, c] == k) for k in range(3)]
    with pytest.raises(UserError, match="holds class 38"):
        one_hot(torch.tensor([[0, 38]]))


def two_discs() -> np.ndarray:
    """Classes at 512 x 512: a GGO disc and a consolidation disc."""
    y, x = np.mgrid[:512, :512]
    mask = ((y - 180) ** 2 + (x - 160) ** 2 < 60**2) * 1
    return np.where((y - 300) ** 2 + (x - 330) ** 2 < 45**2, 2, mask)


def bilinear(image: np.ndarray, side: int) -> np.ndarray:
    """Half-pixel bilinear resize of a square in double precision, a pixel at a time along each axis."""
    at = np.clip((np.arange(side) + 0.5) * len(image) / side - 0.5, 0, len(image) - 1)
    low, part = np.floor(at).astype(int), at - np.floor(at)
    high = np.minimum(low + 1, len(image) - 1)
    rows = image[low] * (1 - part)[:, None] + image[high] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, high] * part


def test_the_published_target_has_pixels_with_no_class_and_with_two():
    classes = two_discs()
    grey = np.rint(bilinear(np.array([0, 38, 75])[classes], 352)).astype(int)
    assert len(np.unique(grey)) == 63, "three greys before the resize"
    flat = [0] * (3 * 352 * 352)
    for pixel, value in enumerate(grey.ravel().tolist()):
        flat[3 * pixel + {38: 1, 75: 2}.get(value, value) - 1] = 1
    expected = np.array(flat, np.uint8).reshape(352, 352, 3)
    hot = published_one_hot(grey.astype(np.uint8))
    assert np.array_equal(hot, expected)
    marks = hot.sum(-1)
    assert ((marks == 0).sum(), (marks == 2).sum()) == (360, 211), "of 123,904"
    ours = published_target(classes, 352)
    assert np.array_equal(ours, expected.transpose(2, 0, 1)[[2, 0, 1]]), "background, GGO, consolidation"
    assert (one_hot(torch.from_numpy(classes)).sum(0) == 1).all()


def test_in_the_published_one_hot_background_lands_one_pixel_to_the_left():
    hot = published_one_hot(np.array([[0, 75, 0]]))
    assert hot[0].tolist() == [[0, 0, 0], [0, 1, 1], [0, 0, 1]]
    # pixel 0 marks channel 2 of the last one; pixel 1 is consolidation, and marked background by pixel 2; 0 has none
    assert published_one_hot(np.array([[40, 0]]))[0].tolist() == [[0, 0, 1], [0, 0, 0]], "grey 40 falls 13 pixels on"


def test_the_published_pictures_lose_a_class_when_another_is_absent():
    there = np.array([[0, 1, 2]])
    assert published_decode(published_index(there)).tolist() == [[0, 1, 2]], "all three: right"
    assert published_decode(published_index(np.array([[0, 2, 2]]))).tolist() == [[0, 1, 1]], "consolidation as GGO"
    assert published_decode(published_index(np.zeros((2, 2), int))).tolist() == [[1, 1], [1, 1]], "healthy: all GGO"
    assert published_decode(published_index(np.array([[0, 1]]))).tolist() == [[0, 1]]


def test_effusion_is_background_and_other_values_are_refused():
    assert three_classes(np.array([[0, 1, 2, 3]])).tolist() == [[0, 1, 2, 0]]
    with pytest.raises(UserError, match="0 to 75"):
        three_classes(np.array([[0, 75]]))


# -------------------------------------------------------------------------------------------------- input


def test_the_prior_is_normalised_as_if_it_were_a_picture():
    greys, priors = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    preprocessing = Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    for channels, of_prior in ((6, 3), (4, 1), (2, 1)):
        x = assemble(greys, priors, preprocessing, channels)
        assert x.shape == (2, channels, 4, 4)
        for k in range(channels):
            part, i = (greys, k) if k < channels - of_prior else (priors, k - channels + of_prior)
            assert_close(x[:, k], (part[:, 0] - IMAGENET_MEAN[i]) / IMAGENET_STD[i])
    with pytest.raises(UserError, match="this one has 3.*in_channels=6"):
        assemble(greys, priors, preprocessing, 3)


def test_a_run_goes_on_only_with_the_priors_it_began_with(tmp_path):
    cases = [lesions(k) for k in range(4)]
    setting = replace(TINY, recipe=replace(TINY.recipe, epochs=1))
    train_labelling(Labeller(), guided_slices(cases), setting, out=tmp_path)
    other = {case.id: np.zeros(case.mask.shape) for case in cases}
    with pytest.raises(UserError, match="another run: train_fingerprint"):
        train_labelling(Labeller(), guided_slices(cases, other), setting, out=tmp_path)


def test_a_network_that_nobody_guides_reads_the_slice_alone():
    cases = [lesions(k) for k in range(4)]
    greys, preprocessing = torch.rand(2, 1, 4, 4), Preprocessing()
    alone = assemble(greys, None, preprocessing, 3)
    assert_close(alone, assemble(greys, torch.rand(2, 1, 4, 4), preprocessing, 6)[:, :3])
    with pytest.raises(UserError, match="6 input channels, so it wants a prior"):
        assemble(greys, None, preprocessing, 6)
    torch.manual_seed(0)
    model = Labeller(3)
    history = train_labelling(model, plain_slices(cases), TINY, scored=plain_slices(cases))
    assert history.rows[-1]["train_loss"] < history.rows[0]["train_loss"]
    found = label_infection(model, cases[0].image, None, intensity="grey")
    assert found.shape == cases[0].mask.shape and found.max() <= 2
    with pytest.raises(UserError, match="wants a prior"):
        train_labelling(Labeller(6), plain_slices(cases), TINY)
    with pytest.raises(UserError, match="Some slices have a prior and some have none"):
        train_labelling(Labeller(6), plain_slices(cases) + guided_slices(cases), TINY)


def test_the_scores_after_an_epoch_are_those_of_the_whole_sets_pixels():
    cases = [lesions(k) for k in range(3)]
    torch.manual_seed(0)
    model = Labeller()
    setting = replace(TINY, recipe=replace(TINY.recipe, epochs=1))
    row = train_labelling(model, guided_slices(cases), setting, scored=guided_slices(cases)).rows[-1]
    found = np.stack([label_infection(model, c.image, c.infection, intensity="grey") for c in cases])  # on 32 x 32
    truth = np.stack([three_classes(case.mask) for case in cases])
    assert found.shape[-1] == SIDE, "the cases are as large as the recipe's side, so nothing is resized"
    both, one = [(found == k) & (truth == k) for k in range(3)], [(found == k) | (truth == k) for k in range(3)]
    iou = [b.sum() / max(o.sum(), 1) for b, o in zip(both, one, strict=True)]
    dice = [2 * both[k].sum() / max((found == k).sum() + (truth == k).sum(), 1) for k in (1, 2)]
    assert row["val_miou"] == pytest.approx(np.mean(iou)) and row["val_dice"] == pytest.approx(np.mean(dice))


def test_the_prior_is_the_true_mask_or_what_is_given():
    case = lesions(0, effusion=True)
    (true,) = guided_slices([case])
    assert np.array_equal(true.prior, case.infection) and true.classes.max() == 2 and true.prior.dtype == np.float32
    soft = np.full(case.mask.shape, 0.25)
    (given,) = guided_slices([case], {case.id: soft})
    assert (given.prior == 0.25).all() and np.array_equal(given.classes, true.classes)
    with pytest.raises(UserError, match="case_00 has no prior"):
        guided_slices([case], {})
    with pytest.raises(UserError, match=r"case_00: the prior is \(2, 2\)"):
        guided_slices([case], {case.id: soft[:2, :2]})
    with pytest.raises(UserError, match="case_00: the prior holds 0.25 to 7"):
        guided_slices([case], {case.id: np.where(case.mask, 7, soft)})


def test_predicted_priors_are_a_networks_maps_stretched_as_the_published_files_are():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.full((1, 1, 1, 1), 0.5))

        def forward(self, x):
            return x[:, :1] * self.weight

    preprocessing, case = Preprocessing(size=SIDE), lesions(3)
    (plain,) = predicted_priors(Half(), [case], stretch=False, preprocessing=preprocessing).values()
    assert_close(plain, (1 / (1 + np.exp(-(case.image / 255 - 0.5) / 0.25 / 2))).astype(np.float32))
    priors = predicted_priors(Half(), [case], preprocessing=preprocessing)
    assert (priors[case.id].min(), priors[case.id].max()) == (0, 1)
    assert_close(priors[case.id], (plain - plain.min()) / np.ptp(plain))
    assert guided_slices([case], priors)[0].prior.max() == 1


def test_of_a_volume_the_infected_slices_are_taken():
    case = lesions(0)
    image, mask = (np.stack([array, array], -1) for array in (case.image, case.mask))
    mask[..., 0] = 0
    assert [s.id for s in guided_slices([Case("v", "", image, mask, "grey", (1.0,) * 3)])] == ["v_0001"]


def batches(setting=TINY, **options):
    return MultiClassBatches(guided_slices(CASES), setting.recipe, Preprocessing(size=SIDE), 3, **options)


def test_a_batch_holds_six_channels_and_whole_classes_at_any_size():
    recipe = replace(TINY.recipe, scales=(Scale(20, 0),))
    made = MultiClassBatches(guided_slices(CASES), recipe, Preprocessing(size=20), 3)
    step = made.plan(0)[0]
    x, target = made.load(step)
    assert x.shape == (4, 6, 20, 20) and target.shape == (4, 20, 20) and target.dtype == torch.int64
    assert set(target.unique().tolist()) == {0, 1, 2}
    assert torch.equal(made.load(step, [2])[0][0], x[2])
    assert (x[:, 0] == x[:, 1]).all() and (x[:, 3] == x[:, 5]).all(), "three equal channels each"
    near = ((x[:, 3] * 0.25 + 0.5) > 0.5) == (target > 0)
    assert near.float().mean() > 0.95, "the prior lies where the classes are"
    assert len(made.plan(0)) == made.steps_per_epoch == 2 and isinstance(made, SliceBatches)


def test_prior_and_slice_are_augmented_together():
    recipe = replace(TINY.recipe, scales=(Scale(SIDE, 6),), feed=Slices("miniseg", "classes"))
    made = MultiClassBatches(guided_slices(CASES), recipe, Preprocessing(size=SIDE), 3, 2)
    moved = 0
    for step in (*made.plan(0), *made.plan(1)):
        x, target = made.load(step)
        inside = x[:, 1] * 0.25 + 0.5 > 0.5
        assert (inside == (target > 0)).float().mean() > 0.97
        moved += sum(not np.array_equal(t, CASES[i].mask) for t, i in zip(target, step.indices, strict=True))
    assert moved > 4


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="There is no slice"):
        MultiClassBatches([], TINY.recipe, Preprocessing(size=SIDE), 0)
    with pytest.raises(UserError, match="kind of target"):
        batches(targets="publisht")
    with pytest.raises(UserError, match="augment='miniseg'"):
        batches(replace(TINY, recipe=replace(TINY.recipe, feed=Slices("miniseg", "classes"))), targets="published")
    with pytest.raises(UserError, match="only loss='bce'"):
        Setting(recipe=TINY.recipe, targets="published")
    with pytest.raises(UserError, match="class_weights belong"):
        Setting(recipe=LABELLING_LESSON.recipe, loss="bce")
    with pytest.raises(UserError, match="statistics"):
        Setting(recipe=replace(TINY.recipe, statistics="fold"))
    with pytest.raises(UserError, match="is none for labelling"):
        Setting(recipe=recipes()["infnet_quick"])
    with pytest.raises(UserError, match="summed"):
        MultiClassLoss("sum")
    with pytest.raises(UserError, match="class 3 is none"):
        GuidedSlice("x", np.zeros((2, 2)), np.full((2, 2), 3), np.zeros((2, 2)))


# ----------------------------------------------------------------------------------------------- learning


def test_the_losses_are_their_formulas():
    g = np.random.default_rng(1)
    z, y = g.normal(size=(2, 3, 4, 5)), g.integers(0, 3, (2, 4, 5))
    hot = np.moveaxis(np.eye(3)[y], -1, 1)
    p = 1 / (1 + np.exp(-z))
    bce = -(hot * np.log(p) + (1 - hot) * np.log(1 - p))
    ce = -(hot * (z - np.log(np.exp(z).sum(1, keepdims=True)))).sum(1)
    logits, target = torch.from_numpy(z).float(), torch.from_numpy(y)
    assert MultiClassLoss("bce")(logits, target).item() == pytest.approx(bce.mean(), rel=1e-5)
    assert MultiClassLoss("bce")(logits, torch.from_numpy(hot)).item() == pytest.approx(bce.mean(), rel=1e-5)
    assert MultiClassLoss("cross-entropy")((logits, []), target).item() == pytest.approx(ce.mean(), rel=1e-5)
    assert MultiClassLoss("summed")(logits, target).item() == pytest.approx(ce.sum() / 2, rel=1e-5)
    w = np.array([1.0, 5.0, 7.0])
    weighted = (w[y] * ce).sum() / w[y].sum()
    loss = MultiClassLoss("cross-entropy", torch.tensor(w).float())
    assert loss(logits, target).item() == pytest.approx(weighted, rel=1e-5)
    assert loss.mass(target).item() == pytest.approx(w[y].sum()) and MultiClassLoss().mass(target) == 2


def unweighted(recipe):
    return replace(recipe, objective=replace(recipe.objective, class_weights=False))


def test_pieces_of_a_batch_learn_what_the_batch_learns():
    setting = replace(TINY, recipe=replace(TINY.recipe, epochs=1))
    for s in (setting, replace(setting, loss="summed", recipe=unweighted(setting.recipe))):
        nets = [labeller(), labeller()]
        for net, pieces in zip(nets, (None, 3), strict=True):
            train_labelling(net, guided_slices(CASES), s, device="cpu", micro_batch=pieces)
        for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_published_settings():
    sgd = optimizer_for(labeller(), LABELLING_RELEASED.recipe)
    assert isinstance(sgd, torch.optim.SGD)
    assert [sgd.defaults[k] for k in ("lr", "momentum", "weight_decay")] == [1e-2, 0.7, 0]
    r = LABELLING_RELEASED.recipe
    assert (r.epochs, r.batch, r.val_size, r.schedule, LABELLING_RELEASED.loss) == (200, 16, 352, Constant(), "bce")
    paper = optimizer_for(labeller(), LABELLING_PAPER.recipe).defaults
    assert [paper[k] for k in ("lr", "momentum", "weight_decay")] == [1e-10, 0.99, 5e-4]
    assert LABELLING_PAPER.recipe.val_size == 512 and LABELLING_PAPER.loss == "summed"
    assert (LABELLING_RELEASED.targets, LABELLING_REPAIRED.targets) == ("published", "true")


def test_a_recipe_that_says_nothing_of_momentum_reads_as_before():
    assert "momentum" not in recipes()["released"].to_dict() and LABELLING_RELEASED.recipe.to_dict()["momentum"] == 0.7
    assert Recipe.from_dict(LABELLING_RELEASED.recipe.to_dict()) == LABELLING_RELEASED.recipe
    assert optimizer_for(labeller(), replace(LABELLING_RELEASED.recipe, momentum=0.9)).defaults["momentum"] == 0.9


def test_xavier_draws_within_its_bound():
    net = xavier_uniform(labeller())
    for layer in (net.net[0], net.net[2]):
        o, i = layer.weight.shape[:2]
        assert layer.weight.abs().max() <= (6 / (o + i)) ** 0.5 and (layer.bias == 0).all()


def learned(channels=6, setting=TINY):
    net = labeller(channels)
    history = train_labelling(net, guided_slices(CASES), setting, device="cpu", seed=1)
    assert history.rows[-1]["train_loss"] < history.rows[0]["train_loss"]
    return net


def test_with_the_prior_a_network_tells_consolidation_from_equally_bright_tissue():
    net = learned()
    case = lesions(50)
    classes = label_infection(net, case.image, case.infection, intensity="grey")
    assert classes.dtype == np.uint8 and (classes == case.mask).mean() > 0.99
    healthy = label_infection(net, case.image, np.zeros_like(case.image), intensity="grey")
    assert (healthy == 0).all(), "explicit classes: a slice without any stays background"
    no_ggo = lesions(51)
    prior = no_ggo.mask == 2
    assert set(np.unique(label_infection(net, no_ggo.image, prior, intensity="grey"))) == {0, 2}


def test_the_published_target_can_be_learned_and_answers_in_our_order():
    setting = replace(TINY, loss="bce", targets="published", recipe=replace(unweighted(TINY.recipe), epochs=40))
    net, case = learned(2, setting), lesions(50)
    found = label_infection(net, case.image, case.infection, intensity="grey")
    assert (found == case.mask).mean() > 0.9 and (found == 1).any() and (found[case.mask == 0] == 0).mean() > 0.9


def test_labels_lie_on_the_slices_own_grid():
    net = learned(4)
    case = lesions(50)
    large = Case("l", "", *(np.kron(a, np.ones((3, 2), a.dtype)) for a in (case.image, case.mask)), "grey", (1.0, 1.0))
    found = label_infection(net, large.image, large.infection, intensity="grey")
    assert found.shape == (96, 64) and (found == large.mask).mean() > 0.97
    with pytest.raises(UserError, match=r"got \(32, 32\), \(4, 4\)"):
        label_infection(net, case.image, np.zeros((4, 4)))
    with pytest.raises(UserError, match="the prior holds 0 to 255"):
        label_infection(net, case.image, case.infection * 255)
    with pytest.raises(UserError, match="not numbers"):
        label_infection(net, np.where(case.mask == 1, np.nan, case.image), case.infection)


@pytest.mark.parametrize(("channels", "options"), [(6, {}), (2, {"width": 4})])
def test_the_multiclass_unet_trains_and_labels(channels, options):
    setting = replace(
        LABELLING_QUICK, recipe=replace(LABELLING_QUICK.recipe, epochs=1, batch=2, scales=(Scale(32, 1),), val_size=32)
    )
    net = create_model("multiclass_unet", in_channels=channels, **({"width": 8} | options))
    cases = load_dataset("phantom", split="train", n=2, size=48)
    history = train_labelling(net, guided_slices(cases), setting, device="cpu")
    assert np.isfinite(history.rows[0]["train_loss"])
    found = label_infection(net, cases[0].image, cases[0].infection)
    assert found.shape == (48, 48) and found.max() <= 2


# ------------------------------------------------------------------------------------------------- scores


def test_consolidation_is_scored_over_the_slices_that_have_it_and_over_all():
    truths = [case.mask for case in CASES]  # 6 of 8 hold consolidation
    maps = [np.roll(mask, 1, 0) for mask in truths]
    scores = score_classes(maps, truths, [case.id for case in CASES])
    few, every = scores.containing["consolidation"], scores.all["consolidation"]
    assert (few.n["Dice"], few.undefined["Dice"], every.n["Dice"]) == (6, 2, 8)
    for name in ("Dice", "Sen", "Spec"):  # as Table III is 48/38 of what the tool prints
        assert every[name] * 8 / 6 == pytest.approx(few[name])
    assert every["MAE"] < few["MAE"] and scores.all["GGO"].means == scores.containing["GGO"].means
    hits = [[((m == 2) & (t == 2)).sum() for m, t in zip(maps, truths, strict=True)]]
    sizes = np.array([(t == 2).sum() for t in truths])
    by_hand = np.array(hits[0])[sizes > 0] / sizes[sizes > 0]
    # thresholds 1 .. 1/255 show the mask, threshold 0 the whole slice
    assert few["Sen"] == pytest.approx((by_hand.mean() * 255 + 1) / 256)
    rows = {(row["class"], row["slices"]): row for row in scores.rows()}
    assert len(rows) == 6
    for rule in ("slices with the class", "all slices"):
        mean = (rows["GGO", rule]["Dice"] + rows["consolidation", rule]["Dice"]) / 2
        assert rows["average", rule]["Dice"] == pytest.approx(mean)
    assert rows["consolidation", "slices with the class"]["n"] == 6


def test_a_class_that_no_slice_has_is_missing_where_it_cannot_be_scored():
    truths = [(case.mask == 1).astype(np.uint8) for case in CASES[:2]]
    scores = score_classes(truths, truths)
    assert "consolidation" not in scores.containing and scores.all["consolidation"]["Dice"] == 0
    assert [row["class"] for row in scores.rows()] == ["GGO", "GGO", "consolidation", "average"]


# ---------------------------------------------------------------------------------------------- real slices


def test_38_of_the_48_test_slices_hold_consolidation(mirror):
    test = load_dataset("semiseg", split="test", mirror=mirror)
    truths = [case.mask for case in test]
    scores = score_classes(truths, truths, test.ids)
    rows = {(row["class"], row["slices"]): row["n"] for row in scores.rows()}
    assert rows["consolidation", "slices with the class"] == 38 and rows["consolidation", "all slices"] == 48
    assert scores.all["consolidation"]["Sen"] == pytest.approx(38 / 48), "the largest the shipped tool can print"


def test_the_shipped_prior_of_the_training_slices_is_the_true_infection(mirror):
    from covidseg.scans.pictures import read_picture

    train = load_dataset("semiseg", split="train", mirror=mirror)
    folder = mirror / "semiseg/Dataset/TrainingSet/MultiClassInfection-Train/Prior"
    for case in train[:10]:
        shipped = read_picture(folder / f"{int(case.id.rpartition('_')[2])}.png")[0].T > 128
        (ours,) = guided_slices([case])
        assert np.array_equal(shipped, ours.prior > 0.5)
