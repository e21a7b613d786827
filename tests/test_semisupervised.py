"""Algorithm 1: its cost, what a label tells of itself, that a killed run ends alike; Semi-Inf-Net's two steps."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from phantom_files import _picture, write_phantoms
from torch import nn
from torch.testing import assert_close

from covidseg import load_dataset
from covidseg.data.transforms import Preprocessing, Scale
from covidseg.errors import UserError
from covidseg.papers.infnet import INFNET_QUICK, InfNetLoss, SoftBatches, SoftSlice, SoftSlices
from covidseg.papers.infnet.edges import edge_map, semiseg_edges
from covidseg.papers.infnet.semi import (
    AS_RUN,
    FAST,
    LESSON_PLAN,
    QUICK_PLAN,
    HybridBatches,
    Plan,
    Unlabelled,
    authors,
    authors_pool,
    authors_pseudo_labels,
    compare_with_truth,
    expert_masks,
    groups_of,
    label_pool,
    labels,
    load_pseudo_labels,
    make_label,
    rounds,
    soft_maps,
    steps_as_run,
    steps_of,
    train_semi,
    unlabelled_slices,
    weights_hash,
)
from covidseg.papers.infnet.semi.authors import locate
from covidseg.training import Constant, CrossEntropy, Slices, train

SIDE = 16
RECIPE = replace(
    INFNET_QUICK,
    name="tiny",
    lr=0.02,
    epochs=2,
    batch=3,
    feed=SoftSlices(SIDE, order="batch"),
    scales=(Scale(SIDE, 0), Scale(12, 0)),
    val_size=SIDE,
    statistics="neutral",
    schedule=Constant(),
)
PLAN = Plan(name="tiny", group=3, recipe=RECIPE)


class Net(nn.Module):
    """One output channel, one auxiliary map and BatchNorm; answers at the input's size."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
        self.head, self.aux = nn.Conv2d(4, 1, 1), nn.Conv2d(4, 1, 1)

    def forward(self, x):
        f = self.body(x).relu()
        return (self.head(f), [self.aux(f)]) if self.training else self.head(f)


def net(seed=0):
    torch.manual_seed(seed)
    model = Net().eval()
    model.preprocessing = Preprocessing(size=SIDE)
    return model


def picture(number: int, lesion=True) -> tuple[np.ndarray, np.ndarray]:
    """Grey 0..1 and mask, 20 x 18: a bright disc on noise."""
    g = np.random.default_rng(number)
    y, x = np.mgrid[:20, :18]
    row, column = g.integers(5, 13, 2)
    mask = (((y - row) ** 2 + (x - column) ** 2) < 14) & lesion
    return np.clip(0.15 + 0.55 * mask + g.normal(0, 0.05, mask.shape), 0, 1).astype(np.float32), mask


def doctors(count=4) -> list[SoftSlice]:
    return [SoftSlice(f"d{n}", (made := picture(n))[0], made[1], edge_map(made[1])) for n in range(count)]


def pool(count=7) -> list[Unlabelled]:
    return [Unlabelled(f"u{n}", picture(100 + n)[0]) for n in range(count)]


def same(a, b) -> bool:
    """Labels alike in every bit and in what they tell of themselves."""
    facts = [[{k: v for k, v in vars(label).items() if k != "mask"} for label in labels] for labels in (a, b)]
    return facts[0] == facts[1] and all(np.array_equal(x.mask, y.mask) for x, y in zip(a, b, strict=True))


# --------------------------------------------------------------------------------------------------- cost


def test_the_published_run_takes_464_400_steps_and_the_fast_one_2_850():
    assert steps_as_run(50, 1600) == steps_of(AS_RUN, 50, 1600) == 464_400
    assert steps_of(FAST, 50, 1600) == 19 * 150 and FAST.steps % 3 == 0, "whole mini-batches at three scales"


@pytest.mark.parametrize("after_last", [True, False])
@pytest.mark.parametrize(
    "plan", [PLAN, replace(PLAN, group=2), replace(PLAN, steps=5, recipe=replace(RECIPE, epochs=1))]
)
def test_the_count_of_steps_is_what_a_run_makes(plan, after_last, monkeypatch):
    plan, made = replace(plan, after_last=after_last), []
    call = InfNetLoss.__call__
    monkeypatch.setattr(InfNetLoss, "__call__", lambda self, *args: made.append(1) or call(self, *args))
    label_pool(net(), doctors(), pool(5), plan, device="cpu")
    assert len(made) == steps_of(plan, 4, 5)


def test_plans_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="group=0"):
        replace(PLAN, group=0)
    with pytest.raises(UserError, match="steps=3 the recipe has one epoch"):
        replace(PLAN, steps=3)
    with pytest.raises(UserError, match="has no soft masks"):
        replace(PLAN, recipe=replace(RECIPE, feed=Slices(), objective=CrossEntropy()))
    for plan in (AS_RUN, FAST, LESSON_PLAN, QUICK_PLAN):
        assert json.loads(json.dumps(plan.to_dict()))["recipe"]["loss"] == "infnet_plain_bce"


# ------------------------------------------------------------------------------------------ pool and labels


def test_every_slice_is_in_one_group_in_an_order_of_the_seed():
    ids = [f"s{n}" for n in range(23)]
    groups = groups_of(ids, 5, seed=1)
    assert sorted(i for g in groups for i in g.ids) == sorted(ids)
    assert sorted(len(g.ids) for g in groups) == [3, 5, 5, 5, 5]
    assert sorted(g.number for g in groups) == list(range(5)) != [g.number for g in groups]
    assert groups == groups_of(ids, 5, seed=1) != groups_of(ids, 5, seed=2)
    with pytest.raises(UserError, match="2 slices under 1 names"):
        groups_of(["a", "a"], 5, 0)


def test_a_pool_knows_no_masks_and_takes_every_slice_of_a_volume():
    volume = load_dataset("phantom3d", n=1, size=(32, 32, 4))
    found = unlabelled_slices(volume)
    assert len(found) == 4 and vars(found[0]).keys() == {"id", "grey"}
    assert 0 <= found[0].grey.min() <= found[0].grey.max() <= 1


def test_a_map_is_the_sigmoid_of_logits_on_the_slices_own_grid():
    model, items = net(), pool(3)
    maps = soft_maps(model, items, batch=2)
    for item in items:
        x = torch.nn.functional.interpolate(torch.tensor(item.grey)[None, None], (SIDE, SIDE), mode="bilinear")
        with torch.no_grad():
            z = model((x.repeat(1, 3, 1, 1) - 0.5) / 0.25)
        z = torch.nn.functional.interpolate(z, item.grey.shape, mode="bilinear")
        assert_close(maps[item.id], z.sigmoid()[0, 0].numpy(), rtol=1e-5, atol=1e-6)

    class Two(Net):
        def forward(self, x):
            return torch.cat([torch.zeros_like(z := super().forward(x)), z], 1)

    two = Two().eval()
    two.load_state_dict(model.state_dict())
    for name, p in soft_maps(two, items, model.preprocessing).items():
        assert_close(p, maps[name], rtol=1e-5, atol=1e-6)


ORIGIN = {"kind": "tiny", "round": 2, "group": 7, "snapshot": "abc"}


def test_the_stretch_makes_infection_out_of_nothing_and_can_be_left_out():
    p = np.array([[0.01, 0.02], [0.06, 0.21]])
    label = make_label("x", p, **ORIGIN)
    assert label.mask.tolist() == [[0, 13], [64, 255]] and label.raised and label.stretched
    assert (label.mean, label.above_half, label.largest) == (pytest.approx(0.075), 0, 0.21)
    plain = make_label("x", p, stretch=False, **ORIGIN)
    assert plain.mask.tolist() == [[3, 5], [15, 54]] and not plain.raised and plain.mask.dtype == np.uint8
    sure = make_label("x", p * 4, **ORIGIN)
    assert not sure.raised and sure.above_half == 0.25
    assert not make_label("x", np.full((2, 2), 0.3), **ORIGIN).mask.any(), "as the published writer has it"


def test_a_label_learns_as_it_is_with_the_edge_of_the_published_script():
    p = np.zeros((20, 20))
    p[5:12, 6:15] = np.linspace(0.3, 0.9, 9)
    label = make_label("x", p, **ORIGIN)
    soft = label.soft_slice(np.zeros((20, 20)))
    assert np.array_equal(np.rint(soft.mask * 255), label.mask)
    assert np.array_equal(soft.edge != 0, edge_map(label.mask > 128, "canny")) and soft.edge.any()


# -------------------------------------------------------------------------------------------- the algorithm


def test_the_rounds_are_algorithm_1_written_out_a_second_time():
    model, seed = net(), 5
    found = label_pool(model, doctors(), pool(), PLAN, seed=seed, device="cpu")

    mine, hybrid, by_id = net(), doctors(), {u.id: u for u in pool()}
    expected = []
    for number, group in enumerate(groups_of(list(by_id), PLAN.group, seed)):
        snapshot = weights_hash(mine.state_dict())
        for name in group.ids:
            p = soft_maps(mine, [by_id[name]], mine.preprocessing)[name].astype(float)
            grey = ((p - p.min()) / (p.max() - p.min()) * 255 + 0.5).astype(np.uint8)
            expected.append((name, number, group.number, snapshot, grey))
            edge = edge_map(grey > 128, "canny")
            hybrid.append(SoftSlice(name, by_id[name].grey, grey / np.float32(255), edge))
        round_seed = rounds._seed(seed, number)
        fresh = SoftBatches(hybrid, RECIPE, mine.preprocessing, round_seed)
        train(mine, fresh, None, RECIPE, seed=round_seed, device="cpu")
    assert [(x.source, x.round, x.group, x.snapshot) for x in found] == [e[:4] for e in expected]
    assert all(np.array_equal(x.mask, e[4]) for x, e in zip(found, expected, strict=True))
    assert sorted(x.source for x in found) == sorted(by_id) and {x.kind for x in found} == {"tiny"}
    assert len({x.snapshot for x in found}) == 3, "every round has weights of its own"
    assert found[0].snapshot == weights_hash(net().state_dict()) == weights_hash(model.state_dict()), "left alone"


def test_a_pool_or_a_model_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match="4 slices under 2 names"):
        label_pool(net(), doctors(), pool(2) * 2, PLAN, device="cpu")
    model = net()
    model.preprocessing = Preprocessing(size=24)
    with pytest.raises(UserError, match="trained at 24 px, plan 'tiny' fine-tunes at 16"):
        label_pool(model, doctors(), pool(), PLAN, device="cpu")


def test_batches_that_grow_are_those_of_the_grown_set():
    growing = HybridBatches(doctors(), RECIPE, Preprocessing(size=SIDE), 3)
    before = growing.fingerprint()
    growing.make_room(5)
    assert growing.fingerprint() == before
    growing.add(doctors(7)[4:])
    whole = SoftBatches(doctors(7), RECIPE, Preprocessing(size=SIDE), 3)
    assert growing.plan(1) == whole.plan(1) and growing.steps_per_epoch == whole.steps_per_epoch
    for step in whole.plan(0):
        assert all(torch.equal(a, b) for a, b in zip(growing.load(step), whole.load(step), strict=True))
    assert growing.fingerprint() != before


def test_a_fixed_number_of_steps_runs_on_over_passes():
    batches = HybridBatches(doctors(), RECIPE, Preprocessing(size=SIDE), 3)
    batches.steps = 7  # a pass has 4
    steps = [*batches.plan(0), *batches.plan(1)]
    assert [s.iteration for s in steps] == list(range(14)) and batches.steps_per_epoch == 7
    whole = SoftBatches(doctors(), RECIPE, Preprocessing(size=SIDE), 3)
    assert [s.indices for s in steps] == [s.indices for e in range(4) for s in whole.plan(e)][:14]


class Killed(BaseException):
    """No `except Exception` catches it."""


def test_killed_before_or_after_any_file_a_run_ends_with_the_same_bits(tmp_path, monkeypatch):
    def run(folder, **options):
        return label_pool(net(), doctors(), pool(5), plan, out=folder, device="cpu", **options)

    plan = replace(PLAN, group=2, steps=3, recipe=replace(RECIPE, epochs=1))
    whole = run(tmp_path / "whole")
    assert same(whole, label_pool(net(), doctors(), pool(5), plan, device="cpu")), "as in memory"
    files = 0

    def mortal(write, at, after):
        def writing(*given):
            nonlocal files
            files += 1
            if files == at and not after:
                raise Killed
            write(*given)
            if files == at:
                raise Killed

        return writing

    for at in range(1, 11):  # plan.json; then three rounds: masks, facts, weights
        for after in (False, True):
            files, folder = 0, tmp_path / f"{at}{after}"
            for module in (labels, rounds):
                for name in ("write_atomically", "write_text"):
                    monkeypatch.setattr(module, name, mortal(getattr(module, name), at, after))
            with pytest.raises(Killed):
                run(folder)
            monkeypatch.undo()
            assert same(run(folder), whole), f"killed {'after' if after else 'before'} file {at}"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_killed_by_sigkill_in_the_middle_of_a_fine_tuning(tmp_path):
    def run(folder, **options):
        return label_pool(net(), doctors(), pool(), PLAN, out=folder, device="cpu", **options)

    pid = os.fork()
    if not pid:
        steps = 0

        class Dying(InfNetLoss):
            def __call__(self, outputs, target):
                nonlocal steps
                steps += 1
                if steps == 20:  # of 12 + 16 + 20: in the second round
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().__call__(outputs, target)

        try:
            run(tmp_path / "killed", loss=Dying("plain"))
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert {p.name for p in (tmp_path / "killed").glob("round*.json")} == {"round_0000.json", "round_0001.json"}
    seen = []
    resumed = run(tmp_path / "killed", report=lambda number, found: seen.append(number))
    assert same(resumed, run(tmp_path / "whole")) and seen == [0, 1, 2]


def test_a_finished_run_is_read_not_made_again(tmp_path, monkeypatch):
    first = label_pool(net(), doctors(), pool(), PLAN, out=tmp_path, device="cpu")
    monkeypatch.setattr(rounds, "train", None)
    monkeypatch.setattr(rounds, "soft_maps", None)
    assert same(label_pool(net(), doctors(), pool(), PLAN, out=tmp_path, device="cpu"), first)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"plan": replace(PLAN, stretch=False)}, "plan"),
        ({"seed": 1}, "seed"),
        ({"model": net(9)}, "first_weights"),
        ({"labelled": doctors(3)}, "labelled"),
        ({"pool": pool(6)}, "pool"),
    ],
    ids=["plan", "seed", "model", "labelled", "pool"],
)
def test_a_folder_of_another_run_is_refused(tmp_path, change, word):
    plan = replace(PLAN, after_last=False, group=7)
    label_pool(net(), doctors(), pool(), plan, out=tmp_path, device="cpu")
    given = {"model": net(), "labelled": doctors(), "pool": pool(), "plan": plan} | change
    with pytest.raises(UserError, match=f"belongs to another run: its {word} differs"):
        label_pool(**given, out=tmp_path, device="cpu")


def test_labels_come_back_from_their_folder_with_the_slices_they_belong_to(tmp_path):
    items = [*pool(4), Unlabelled("eight_bit", np.arange(360, dtype=np.uint8).reshape(20, 18) / np.float32(255))]
    made = label_pool(net(), doctors(), items, replace(PLAN, group=2, after_last=False), out=tmp_path, device="cpu")
    back, greys = load_pseudo_labels(tmp_path), {item.id: item.grey for item in items}
    assert [s.id for s in back] == [m.source for m in made]
    for soft, label in zip(back, made, strict=True):
        assert np.array_equal(soft.grey, greys[soft.id]), "bit for bit, whatever the picture was"
        assert np.array_equal(np.rint(soft.mask * 255), label.mask)
    facts = json.loads((tmp_path / "round_0001.json").read_text())
    assert (
        facts[0]["round"] == 1
        and facts[0]["source"] == next(m.source for m in made if m.round)
        and len(facts[0]["snapshot"]) == 64
    )
    (tmp_path / "round_0001.npz").write_bytes(b"half")
    with pytest.raises(UserError, match="round_0001.npz or its .json is damaged"):
        load_pseudo_labels(tmp_path)
    with pytest.raises(UserError, match="holds no pseudo labels"):
        load_pseudo_labels(tmp_path / "nothing")


# ------------------------------------------------------------------------------------------- the two steps


def test_semi_training_is_one_training_after_the_other(tmp_path):
    pseudo = [make_label(u.id, u.grey, **ORIGIN).soft_slice(u.grey) for u in pool()]
    second = replace(RECIPE, epochs=1, lr=0.005)
    model = net()
    histories = train_semi(model, pseudo, doctors(), first=RECIPE, second=second, seed=2, device="cpu", out=tmp_path)
    mine = net()
    for slices, recipe in ((pseudo, RECIPE), (doctors(), second)):
        train(mine, SoftBatches(slices, recipe, Preprocessing(size=SIDE), 2), None, recipe, seed=2, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), mine.state_dict().values(), strict=True))
    assert (len(histories.pseudo.rows), len(histories.labelled.rows)) == (2, 1)
    again = net()
    train_semi(again, pseudo, doctors(), first=RECIPE, second=second, seed=2, device="cpu", out=tmp_path)
    assert weights_hash(again.state_dict()) == weights_hash(model.state_dict())
    with pytest.raises(UserError, match="train_fingerprint"):
        train_semi(net(), pseudo[1:], doctors(), first=RECIPE, second=second, seed=2, device="cpu", out=tmp_path)


# ------------------------------------------------------------------------------------------------- compare


def test_labels_are_compared_by_hand():
    truth = np.zeros((4, 4), bool)
    truth[0, :2] = True
    p = np.where(truth, 0.9, 0.1)
    p[0, 1], p[3, 3] = 0.1, 0.6
    seen = make_label("a", p, stretch=False, **ORIGIN)
    alarm = make_label("b", np.arange(16).reshape(4, 4) / 100, **(ORIGIN | {"round": 0}))
    silent = make_label("c", np.full((4, 4), 0.2), stretch=False, **(ORIGIN | {"round": 0}))
    truths = {"a": truth, "b": np.zeros((4, 4)), "c": np.zeros((4, 4))}
    compared = compare_with_truth([seen, alarm, silent, make_label("z", p, **ORIGIN)], truths)
    rows = {row["source"]: row for row in compared.rows}
    assert rows["a"]["dice"] == pytest.approx(2 * 1 / (2 + 2)) and rows["a"]["false_share"] == 1 / 16
    assert rows["b"]["alarm"] and rows["b"]["raised"] and rows["b"]["false_share"] == 8 / 16  # 8/15 and more of 1
    assert not rows["c"]["alarm"] and "z" not in rows
    assert compared.summary() == {
        "labels": 3,
        "with_lesion": 1,
        "dice": pytest.approx(0.5),
        "lesion_free": 2,
        "alarms": 0.5,
        "false_share": 0.25,
    }
    first, third = compared.by_round()
    assert (first["round"], first["alarms"], third["round"], third["dice"]) == (0, 0.5, 2, pytest.approx(0.5))
    assert np.isnan(first["dice"])
    soft = SoftSlice("a", np.zeros((4, 4)), seen.mask / 255, np.zeros((4, 4)))
    assert compare_with_truth([soft], truths).rows[0] == rows["a"] | {"round": None}
    with pytest.raises(UserError, match="None of the labels has a truth"):
        compare_with_truth([seen], {"other": truth})
    with pytest.raises(UserError, match="Slice a: the label is"):
        compare_with_truth([seen], {"a": truth[:2]})


# -------------------------------------------------------------------------------------- the authors' labels


def test_a_crop_is_found_where_it_was_cut_whatever_its_greys():
    g = np.random.default_rng(3)
    image = np.cumsum(np.cumsum(g.normal(size=(60, 70)), 0), 1)
    row, column, correlation = locate(image, np.exp(image[13:40, 22:60] / 50) + g.normal(0, 0.01, (27, 38)))
    assert (row, column) == (13, 22) and correlation > 0.8
    with pytest.raises(UserError, match="cannot lie in"):
        locate(image, np.zeros((61, 3)))


@pytest.fixture(scope="module")
def small_mirror(tmp_path_factory):
    """A P20 volume of phantoms, and crops of it as COVID-SemiSeg has them: renumbered, transposed, upside down."""
    root = tmp_path_factory.mktemp("mirror")
    write_phantoms(root / "p20", "p20", n=1, size=64, slices=5)
    write_phantoms(root / "semiseg", "semiseg", n=1, size=64)
    folder = root / "semiseg/Dataset/TrainingSet/LungInfection-Train/Pseudo-label"
    volume = load_dataset("p20", infected_only=False, mirror=root)
    for z in (1, 2, 3):
        case = volume[z]
        grey = np.rint(np.clip((case.image + 1100) / 1400, 0, 1) * 255).astype(np.uint8)
        name = f"Data-1_coronacases_org_001_{z - 1}"  # FIRST is 1 here
        box = np.s_[10:50, 5 + z : 60]
        _picture(folder / "Imgs" / f"{name}.jpg", grey[box][::-1])
        soft = (case.infection * 200 + 30).astype(np.uint8)
        _picture(folder / "GT" / f"{name}.png", soft[box][::-1])
    return root


def test_the_authors_labels_stay_soft_and_experts_masks_fall_into_place(small_mirror, monkeypatch):
    monkeypatch.setattr(authors, "FIRST", {"coronacases_001": 1})
    monkeypatch.setattr(authors, "SIDES", {"coronacases": 64})
    ids = [f"Data-1_coronacases_org_001_{k}" for k in range(3)]
    shipped = authors_pseudo_labels(small_mirror)
    assert len(shipped) == 4 and shipped.ids[:3] == ids and [s.id for s in shipped[1:3]] == ids[1:]
    assert set(np.rint(np.unique(shipped[1].mask) * 255)) <= {30, 230}
    truth = expert_masks(small_mirror, upright=True)
    volume = load_dataset("p20", infected_only=False, mirror=small_mirror)
    assert list(truth) == ids
    for k, name in enumerate(ids):
        assert np.array_equal(truth[name], volume[k + 1].infection[10:50, 6 + k : 60])
    as_stored = expert_masks(small_mirror)
    assert np.array_equal(as_stored[ids[0]], truth[ids[0]][::-1])
    for upright, masks in ((False, as_stored), (True, truth)):
        compared = compare_with_truth(authors_pseudo_labels(small_mirror, ids=ids, upright=upright), masks)
        assert compared.summary()["dice"] == 1 and any(row["lesion"] for row in compared.rows)
    greys = authors_pool(small_mirror, ids=ids[:1], upright=True)
    assert np.array_equal(greys[0].grey, authors_pseudo_labels(small_mirror, ids=ids[:1], upright=True)[0].grey)
    with pytest.raises(UserError, match="no unlabelled slice called 'x'"):
        authors_pseudo_labels(small_mirror, ids=["x"])


def test_the_shipped_labels_are_stretched_and_agree_with_experts_where_we_have_them(mirror):
    shipped = authors_pseudo_labels(mirror)
    assert len(shipped) == 1600
    some = shipped[::160]
    edges = semiseg_edges("unlabelled", mirror)
    for soft, upright in zip(some, authors_pseudo_labels(mirror, upright=True)[::160], strict=True):
        assert (soft.mask.min(), soft.mask.max()) == (0, 1) and len(np.unique(soft.mask)) > 20
        assert np.array_equal(upright.edge != 0, edges[soft.id])
    ids = ["Data-1_coronacases_org_003_30", "Data-1_radiopaedia_org_covid-19-pneumonia-27_86410_0-dcm_4"]
    compared = compare_with_truth(authors_pseudo_labels(mirror, ids=ids), expert_masks(mirror, ids=ids))
    assert [row["source"] for row in compared.rows] == ids
    assert all(row["dice"] > 0.7 for row in compared.rows), "they could not, were the slices or places wrong"
