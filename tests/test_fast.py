"""A network rearranged for answers alone says what the network says; predict takes it only where that was seen."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from random_norms import seeded
from torch import nn

import covidseg
from covidseg import attention, inference
from covidseg.data.transforms import Preprocessing
from covidseg.ensemble import together
from covidseg.errors import UserError
from covidseg.fast import Checked, Optimized, difference, optimize
from covidseg.nn import create_model
from covidseg.nn.fast_layers import DirectConv2d
from covidseg.nn.fold import fold_norms
from covidseg.papers.miniseg.ablations import ABLATIONS, JOURNAL

ROWS = ABLATIONS | {name: JOURNAL[name] for name in ("K=2", "K=8", "N-2", "M+1")}


@pytest.fixture(autouse=True)
def the_same_networks():
    torch.manual_seed(0)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def undecided(x):
    """A MiniSeg that calls about half of the pixels of x infected, none by a hair, so that a mask can change."""
    torch.manual_seed(0)
    model = seeded(create_model("miniseg"))
    logits = model(x)
    sure = (logits[:, 1] - logits[:, 0]).flatten().sort().values
    middle = sure[len(sure) * 2 // 5 : len(sure) * 3 // 5]
    widest = middle.diff().argmax()  # a step between two pixels that rounding does not cross
    model.heads[0][-1].bias[0] += middle[widest : widest + 2].mean()
    return model


@torch.no_grad()
def apart(model, x, **how):
    return difference(model(x), optimize(model, **how)(x))


# ---------------------------------------------------------------------------------------------- the same answers


@pytest.mark.parametrize("wiring", ["official", "paper"])
@pytest.mark.parametrize("row", ROWS)
def test_every_build_of_miniseg_answers_the_same_when_rearranged(row, wiring):
    model = seeded(create_model("miniseg", wiring=wiring, **ROWS[row].options))
    measured = apart(model, noise(1, 3, 53, 38))  # odd sides: borders and halves of every stage count
    assert measured.logits < 1e-5 and measured.changed == 0


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (3, 3, 33, 90), (2, 3, 1, 17)])
def test_any_side_and_batch_and_classes_and_channels(shape):
    assert apart(seeded(create_model("miniseg")), noise(*shape)).exact
    other = seeded(create_model("miniseg", num_classes=4, in_channels=1))
    assert apart(other, noise(*shape)[:, :1]).exact


def test_both_memory_orders_give_the_same():
    model, x = optimize(seeded(create_model("miniseg"))), noise(2, 3, 40, 40)
    torch.testing.assert_close(model(x), model(x.contiguous(memory_format=torch.channels_last)))


@pytest.mark.parametrize("name", ["enet", "lednet", "espnetv2", "segnet"])
def test_other_networks_lose_their_norms_and_keep_their_answer(name):
    torch.manual_seed(0)
    model = seeded(create_model(name))
    x = noise(1, inference.input_channels(model), 96, 96)
    fast = optimize(model)
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (model, fast)]
    assert norms[1] < norms[0]
    with torch.no_grad():
        measured = difference(inference.main_output(model(x)), fast(x))
    assert measured.logits < 1e-4 and measured.changed <= 2  # pixels of noise may be undecided


def test_a_network_of_volumes_answers_the_same():
    model = seeded(create_model("unet3d"))
    assert apart(model, noise(1, 1, 16, 16, 16)).exact


class Two(nn.Module):
    """A convolution whose answer is read by a norm and again without it, and one that only a norm reads."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.second, self.other = nn.Conv2d(4, 2, 3, bias=False), nn.BatchNorm2d(2)

    def forward(self, x):
        y = self.first(x)
        return self.other(self.second(self.norm(y) + y))


def test_a_norm_is_folded_only_where_nobody_else_reads_the_convolution():
    model, x = seeded(Two()), noise(1, 3, 9, 9)
    folded = fold_norms(model, x)
    assert isinstance(folded.norm, nn.BatchNorm2d) and isinstance(folded.other, nn.Identity)
    assert isinstance(model.other, nn.BatchNorm2d) and not model.first._forward_hooks
    torch.testing.assert_close(folded(x), model(x))
    assert fold_norms(nn.Conv2d(3, 2, 3), x) is None


def test_optimising_does_not_wait_for_torchs_compiler():
    code = "import sys, torch; from covidseg.fast import optimize; from covidseg import create_model;"
    code += "optimize(create_model('enet')); print('torch._dynamo' in sys.modules)"  # its import takes seconds
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False"]


def test_a_convolution_that_runs_twice_keeps_its_norm():
    conv, norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
    model = seeded(nn.Sequential(conv, norm, conv))
    assert fold_norms(model, noise(1, 3, 4, 4)) is None


def test_a_direct_convolution_is_torchs_with_gradients_and_without():
    conv, x = DirectConv2d(6, 6, 3, 1, 2, 2, groups=6), noise(2, 6, 11, 8)
    expected = nn.functional.conv2d(x, conv.weight, conv.bias, 1, 2, 2, 6)
    torch.testing.assert_close(conv(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(conv(x), expected)
    conv(x).sum().backward()
    assert conv.weight.grad is not None


# ---------------------------------------------------------------------------------------------- what a copy is


def test_the_copy_shares_nothing_with_the_network_and_leaves_it_as_it_was():
    model = seeded(create_model("miniseg")).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = optimize(model)
    assert model.training and all(p.requires_grad for p in model.parameters())
    wanted = fast(noise(1, 3, 32, 32))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(fast(noise(1, 3, 32, 32)), wanted)
    assert set(before) == set(model.state_dict())


def test_the_copy_refuses_training_and_gradients():
    fast = optimize(create_model("miniseg"))
    assert fast.eval() is fast and not fast.training
    with pytest.raises(UserError, match="only answers: train the network itself"):
        fast.train()
    with pytest.raises(UserError, match="gives no gradients"):
        fast(noise(1, 3, 32, 32).requires_grad_())
    assert not any(p.requires_grad for p in fast.parameters())


def test_optimising_twice_is_optimising_once():
    model = create_model("miniseg")
    fast = optimize(model)
    assert optimize(fast) is fast
    with pytest.raises(UserError, match="optimised already"):
        optimize(fast, half=True)


def test_a_copy_survives_a_pickle_with_what_predict_reads_from_it():
    model = seeded(create_model("miniseg"))
    model.preprocessing = Preprocessing(size=48)
    again, x = pickle.loads(pickle.dumps(optimize(model))), noise(1, 3, 32, 32)
    assert isinstance(again, Optimized) and again.preprocessing == Preprocessing(size=48)
    assert difference(model(x), again(x)).exact


def test_networks_asked_together_are_optimised_one_by_one():
    pair = together([seeded(create_model("miniseg"), seed) for seed in (0, 1)])
    x = noise(1, 3, 40, 40)
    fast = optimize(pair)
    assert all(isinstance(member, Optimized) for member in fast.members)
    assert difference(pair(x), fast(x)).exact


def test_half_precision_is_near_and_its_distance_is_measured():
    x = noise(2, 3, 32, 32)
    measured = apart(undecided(x), x, half=True)
    assert 1e-4 < measured.logits < 0.2 and 0 < measured.changed < measured.pixels / 4 and not measured.exact
    assert "of 2048 mask pixels changed" in str(measured)


def test_the_difference_of_two_answers():
    a, b = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    a[0, 1, 0, 0], b[0, 1, 0, 1] = 4.0, 2.0
    assert difference(a, b).changed == 2 and difference(a, b).logits == 1.0
    assert difference(a[:, 1:], b[:, 1:]).changed == 2 and difference(a, a).exact
    assert not difference(a, a * torch.nan).exact
    with pytest.raises(ValueError):
        difference(a, a[:, :1])


# ---------------------------------------------------------------------------------------------- predict

PLAIN = Preprocessing(size=32, mean=(0, 0, 0), std=(1, 1, 1))


def volume(slices=8):
    return np.random.default_rng(0).normal(-600, 400, (32, 32, slices))


def used(monkeypatch):
    """The networks that `Checked` settled on."""
    settled, forward = [], Checked.forward

    def watching(self, x):
        answer = forward(self, x)
        settled.append(self.fast)
        return answer

    monkeypatch.setattr(Checked, "forward", watching)
    return settled


@pytest.mark.parametrize("name, batch", [("miniseg", 1), ("miniseg", 3), ("enet", 2)])
def test_predict_asks_the_optimised_copy_and_the_mask_stays(monkeypatch, name, batch):
    x = torch.stack([PLAIN.apply(volume()[:, :, z], "HU") for z in range(8)])
    settled, model = used(monkeypatch), undecided(x) if name == "miniseg" else seeded(create_model(name))
    plain = covidseg.predict(model, volume(), PLAIN, batch=batch, optimize=False)
    assert not settled and (name != "miniseg" or 0.02 < plain.mean() < 0.98)
    assert np.array_equal(covidseg.predict(model, volume(), PLAIN, batch=batch), plain)
    assert len(settled) == -(-8 // batch) and all(isinstance(net, Optimized) for net in settled)


def test_networks_together_are_checked_one_by_one_and_still_vote(monkeypatch):
    settled = used(monkeypatch)
    pair = together([seeded(create_model("miniseg"), seed) for seed in (0, 1)])
    plain = covidseg.predict(pair, volume(), PLAIN, optimize=False)
    votes = pair.predictor.marked.copy()
    assert np.array_equal(covidseg.predict(pair, volume(), PLAIN), plain) and len(settled) == 16
    assert np.array_equal(pair.predictor.marked, votes) and all(isinstance(net, Optimized) for net in settled)


class Wrong(nn.Conv2d):
    """A network whose copy says something else."""

    def rearranged(self):
        return nn.Conv2d(3, 2, 1)


class Broken(nn.Conv2d):
    def rearranged(self):
        raise KeyError("a part that another version had")


@pytest.mark.parametrize("kind", [Wrong, Broken])
def test_a_copy_that_answers_otherwise_is_not_used(monkeypatch, kind):
    torch.manual_seed(0)
    settled, model = used(monkeypatch), kind(3, 2, 1)
    plain = covidseg.predict(model, volume(), PLAIN, optimize=False)
    assert np.array_equal(covidseg.predict(model, volume(), PLAIN), plain)
    assert settled and all(net is model for net in settled)


def test_new_weights_are_seen_by_the_next_call():
    model = seeded(create_model("miniseg"))
    covidseg.predict(model, volume(), PLAIN)
    with torch.no_grad():
        model.heads[0][-1].bias.copy_(torch.tensor([-100.0, 100.0]))
    assert covidseg.predict(model, volume(), PLAIN).all()


def test_who_listens_to_the_networks_parts_hears_every_slice(monkeypatch):
    settled, model, heard = used(monkeypatch), seeded(create_model("miniseg")), []
    hook = model.stages[0].register_forward_hook(lambda *_: heard.append(1))
    covidseg.predict(model, volume(), PLAIN)
    hook.remove()
    assert len(heard) == 8 and not settled
    covidseg.predict(model, volume(), PLAIN)
    assert "A/E_2_1" in attention.capture(model, noise(1, 3, 32, 32))


def test_one_slice_is_not_worth_a_copy(monkeypatch):
    settled = used(monkeypatch)
    covidseg.predict(seeded(create_model("miniseg")), volume()[:, :, 0], PLAIN)
    assert not settled


def test_scores_are_of_the_network_itself(monkeypatch):
    from covidseg.data.case import Case
    from covidseg.training.evaluation import evaluate

    settled, mask = used(monkeypatch), np.zeros((32, 32, 8), np.uint8)
    mask[8:16, 8:16] = 1
    case = Case("a", "", volume().astype(np.float32), mask, "HU", (1.0, 1.0, 1.0))
    evaluate(seeded(create_model("miniseg")), [case], PLAIN)
    assert not settled
