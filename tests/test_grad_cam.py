"""Grad-CAM and Grad-CAM++ against their closed forms, the papers' equations written out, and every network."""

import numpy as np
import pytest
import torch
from toy_volumes import toy

from covidseg.attention import grad_cam, map_names, predicted_region
from covidseg.errors import UnknownName, UserError
from covidseg.nn import card, create_model, list_models
from covidseg.nn.layers import input_channels

UNNAMED = ("unetplusplus3d", "vnet")  # MONAI's
METHODS = pytest.mark.parametrize("plus_plus", [False, True], ids=["Grad-CAM", "Grad-CAM++"])


class Tiny(torch.nn.Module):
    """A feature map X behind a ReLU, and a head that is linear, or goes on with a ReLU in between."""

    def __init__(self, classes=1, linear=True, conv=torch.nn.Conv2d, side=False):
        super().__init__()
        self.first = torch.nn.Sequential(conv(1, 4, 3, padding=1), torch.nn.ReLU())
        middle = [] if linear else [conv(4, 6, 3, padding=1), torch.nn.ReLU(inplace=True)]
        self.head = torch.nn.Sequential(*middle, conv(4 if linear else 6, classes, 1))
        self.side = conv(4, 1, 1)
        self.flat = torch.nn.Flatten()

    def forward(self, x):
        X = self.first(x)
        shift = 0 * self.flat(X).sum()  # on the way, and no picture
        return self.head(X) + shift, self.side(X)

    def named_maps(self):
        return {"X": (self.first, None), "side": (self.side, None), "flat": (self.flat, None), "P": (self.head, None)}


@pytest.fixture(autouse=True)
def same_weights():
    torch.manual_seed(0)


def tiny(seed=0, **options):
    torch.manual_seed(seed)
    return Tiny(**options).eval()


def random(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scaled(L):
    """(B, ...) -> each case over its largest value."""
    return np.stack([one / one.max() if one.max() > 0 else one for one in np.maximum(L, 0)])


# ------------------------------------------------------------------------------------------- the equations


def linear_parts(model, x):
    """A (B, C, h, w), the weights v (K, C) of the head, and the logits, as float64 arrays."""
    with torch.no_grad():
        A, logits = model.first(x), model(x)[0]
    v = model.head[-1].weight.flatten(1)
    return A.double().numpy(), v.detach().double().numpy(), logits.double().numpy()


def test_under_a_linear_head_grad_cam_is_the_logit_without_its_bias():
    model, x = tiny(), random(2, 1, 8, 6)
    _, _, logits = linear_parts(model, x)
    expected = scaled(logits[:, 0] - model.head[-1].bias.item())  # any region: it only scales all weights alike
    for region in (None, np.eye(8, 6) > 0):
        np.testing.assert_allclose(grad_cam(model, x, "X", region=region, plus_plus=False), expected, atol=1e-6)


def test_under_a_linear_head_grad_cam_plus_plus_has_a_closed_form_too():
    """g is v_k on the n pixels of the region: w_k = n relu(v_k) / (2 + v_k sum A_k)."""
    model, x = tiny(classes=3), random(2, 1, 8, 6)
    region = np.zeros((8, 6), bool)
    region[2:5, 1:4] = True
    A, v, _ = linear_parts(model, x)
    for k in range(3):
        w = np.maximum(v[k], 0) / (2 + np.maximum(v[k], 0) * A.sum((2, 3)))  # B, C; n goes with the maximum
        expected = scaled(np.einsum("bc,bchw->bhw", w, A))
        np.testing.assert_allclose(grad_cam(model, x, "X", class_index=k, region=region), expected, atol=1e-6)


def test_alpha_of_eqn_19_is_eqn_10_with_true_derivatives_of_the_exponential():
    """Second and third derivatives by autograd, element by element, on a network that goes on after the map."""
    model, x = tiny(3, linear=False).double(), random(1, 1, 4, 5).double()
    A = model.first(x).detach().requires_grad_()
    region = predicted_region(model(x)[0], 0)
    assert 0 < region.sum() < region.numel()
    score = (model.head(A)[:, 0] * region).sum()
    one = torch.autograd.grad(score.exp(), A, create_graph=True)[0]
    w = torch.zeros(A.shape[1]).double()
    for k, i, j in np.ndindex(*A.shape[1:]):
        if one[0, k, i, j] <= 0:
            continue
        two = torch.autograd.grad(one[0, k, i, j], A, create_graph=True)[0][0, k, i, j]
        three = torch.autograd.grad(two, A, retain_graph=True)[0][0, k, i, j]
        w[k] += one[0, k, i, j].item() * (two / (2 * two + A[0, k].sum() * three)).item()  # Eqns 5 and 10
    assert (w > 0).sum() >= 2
    expected = scaled(torch.einsum("c,bchw->bhw", w, A).detach().numpy())
    np.testing.assert_allclose(grad_cam(model, x, "X"), expected, atol=1e-5)


def test_grad_cam_weighs_each_channel_by_the_mean_of_its_gradient():
    model, x = tiny(3, classes=3, linear=False), random(2, 1, 7, 5)
    A = model.first(x).detach().requires_grad_()
    g = torch.autograd.grad(model.head(A)[:, 2].sum(), A)[0].mean((2, 3))
    expected = scaled((g[..., None, None] * A).sum(1).detach().numpy())
    cam = grad_cam(model, x, "X", class_index=2, region=np.ones((7, 5)), plus_plus=False)
    np.testing.assert_allclose(cam, expected, atol=1e-6)


def test_the_region_is_by_default_what_the_network_predicts():
    model, x = tiny(3, classes=3, linear=False), random(2, 1, 8, 8)
    model.head[-1].bias.data -= model(x)[0].detach().mean((0, 2, 3))  # each class somewhere
    found = predicted_region(model(x)[0], 1)
    assert all(0 < one.sum() < 64 for one in found)
    both = [grad_cam(model, x, "X", region=region) for region in (None, found, found.numpy(), np.ones((8, 8)))]
    assert np.array_equal(both[0], both[1]) and np.array_equal(both[0], both[2])
    assert not np.allclose(both[0], both[3], atol=1e-3)


def test_where_nothing_is_predicted_the_whole_slice_is_the_region_of_that_case_alone():
    model = tiny(3, linear=False)
    x = random(2, 1, 8, 8)
    x[1] *= 0.1
    logits = model(x)[0].detach()
    assert logits[0].max() > logits[1].max()
    model.head[-1].bias.data -= (logits[0].max() + logits[1].max()) / 2  # the second case just predicts none
    found = predicted_region(model(x)[0], 0)
    assert found[0].any() and not found[1].any()
    found[1] = True
    assert np.array_equal(grad_cam(model, x, "X"), grad_cam(model, x, "X", region=found))


def test_a_map_that_speaks_against_the_class_everywhere_stays_zero():
    model, x = tiny(), random(2, 1, 8, 8)
    model.head[-1].weight.data = -model.head[-1].weight.data.abs()
    for plus_plus in (False, True):
        assert not grad_cam(model, x, "X", plus_plus=plus_plus).any()
    assert not grad_cam(tiny(), x, "X", region=np.zeros((8, 8))).any()  # an empty region moves nothing


def test_a_map_with_negative_sums_keeps_alpha_within_one_half():
    """Its printed denominator, 2 + g sum A, would be 0 for the first channel: A = -1 on 2 pixels, g = 1."""
    model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Conv2d(2, 1, 1, bias=False))
    model.named_maps = lambda: {"A": (model[0], None)}
    model[1].weight.data[:] = torch.tensor([1.0, 1.0])[:, None, None]
    x = torch.tensor([[[[-1.0, -1.0]], [[3.0, 1.0]]]])  # w = 2 / (2 + 2), and 2 / (2 + 4)
    np.testing.assert_allclose(grad_cam(model, x, "A", region=np.ones((1, 2))), [[[1, 0]]], atol=1e-7)
    x[0, 0, 0, 1] = 2  # w = 2 / (2 + 3): L = 3/5, 17/15
    np.testing.assert_allclose(grad_cam(model, x, "A", region=np.ones((1, 2))), [[[9 / 17, 1]]], atol=1e-6)


@METHODS
def test_cases_of_a_batch_do_not_see_each_other(plus_plus):
    model, x = create_model("miniseg").eval(), random(2, 3, 32, 32)
    both = grad_cam(model, x, "D_2", plus_plus=plus_plus)
    alone = [grad_cam(model, one[None], "D_2", plus_plus=plus_plus)[0] for one in x]
    np.testing.assert_allclose(both, alone, atol=1e-4)


# ------------------------------------------------------------------------------------------- every network


def on_the_way(name, model):
    """Three maps spread over a network; of side outputs, which do not lead to the answer, none."""
    wanted = [n for n in map_names(model) if n.rpartition("/")[2][0] in "EXYDfG"]
    wanted = [n for n in wanted if not n.startswith("lungs/")] or map_names(model)
    return dict.fromkeys([wanted[0], wanted[len(wanted) // 2], wanted[-1]])


@pytest.mark.parametrize("name", [name for name in list_models() if name not in UNNAMED])
def test_every_network_answers_finite_maps(name):
    model = create_model(name)
    for p in model.parameters():
        if p.ndim >= 4 and not p.detach().any():  # starts at zero, so that nothing would pass
            torch.nn.init.normal_(p, std=0.1)
    x = random(1, input_channels(model), *((64, 64) if card(name).dimensions == 2 else (32, 32, 16)))
    for map_name in on_the_way(name, model):
        cam = grad_cam(model, x, map_name)
        assert cam.ndim == card(name).dimensions + 1 and cam.dtype == np.float32
        assert np.isfinite(cam).all() and cam.min() >= 0 and (cam.max() == 1 or not cam.any()), map_name


@pytest.mark.parametrize("name", UNNAMED)
def test_a_network_that_names_no_maps_is_refused(name):
    with torch.device("meta"):
        model = create_model(name)
    with pytest.raises(UserError, match="names no inner maps"):
        grad_cam(model, random(1, 6, 64, 64), "X_1")


@METHODS
def test_volumes_have_maps_with_depth(plus_plus):
    cam = grad_cam(toy(), random(2, 1, 16, 16, 8), "X_1", plus_plus=plus_plus)
    assert cam.shape == (2, 16, 16, 8) and [one.max() for one in cam] == [1, 1]


def test_a_linear_head_over_a_volume_gives_the_logit_without_its_bias():
    model, x = tiny(conv=torch.nn.Conv3d), random(1, 1, 6, 5, 4)
    _, _, logits = linear_parts(model, x)
    expected = scaled(logits[:, 0] - model.head[-1].bias.item())
    np.testing.assert_allclose(grad_cam(model, x, "X", plus_plus=False), expected, atol=1e-6)


# ------------------------------------------------------------------------------------------- nothing is left behind


def test_frozen_weights_and_a_caller_without_gradients_change_nothing():
    model, x = create_model("miniseg").eval(), random(1, 3, 32, 32)
    expected = grad_cam(model, x, "D_1")
    with torch.no_grad():
        assert np.array_equal(grad_cam(model, x, "D_1"), expected)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert np.array_equal(grad_cam(model, x.clone(), "D_1"), expected)
    model.requires_grad_(False)
    with torch.no_grad():
        np.testing.assert_allclose(grad_cam(model, x, "D_1"), expected, atol=1e-5)


@METHODS
def test_mode_gradients_buffers_and_input_are_left_as_they_were(plus_plus):
    model, x = create_model("miniseg").train(), random(2, 3, 32, 32)
    model.stages[0].eval()  # frozen by somebody
    modes = [part.training for part in model.modules()]
    model.stages[1].requires_grad_(False)
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    before, given = {k: v.clone() for k, v in model.state_dict().items()}, x.clone()
    grad_cam(model, x, "D_1", plus_plus=plus_plus)
    assert [part.training for part in model.modules()] == modes
    assert all(
        a is b if b is None else torch.equal(a, b)
        for a, b in zip((p.grad for p in model.parameters()), grads, strict=True)
    )
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(x, given) and not x.requires_grad
    assert not any(part._forward_hooks for part in model.modules())


def test_after_an_error_nothing_is_left_behind_either():
    model = create_model("miniseg").train()
    with pytest.raises(UserError, match="P_2"):
        grad_cam(model, random(1, 3, 32, 32), "P_2")
    assert all(part.training and not part._forward_hooks for part in model.modules())


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["lungs/E_2", "lungs/D_1", "lungs/P_1"])
def test_the_first_network_of_a_cascade_is_refused_in_one_line(name):
    model = create_model("chsnet", width=4)
    with pytest.raises(UserError, match=f"No gradient of the answer reaches map '{name}'") as refusal:
        grad_cam(model, random(1, 1, 32, 32), name)
    assert "\n" not in str(refusal.value)
    model.infection.head.weight.data.abs_()
    assert grad_cam(model, random(1, 1, 32, 32), "infection/D_1").max() == 1


def test_a_map_without_gradient_or_without_pictures_is_refused():
    model, x = tiny(), random(1, 1, 8, 8)
    with pytest.raises(UserError, match="'side'.*Choose a map"):
        grad_cam(model, x, "side")
    with pytest.raises(UserError, match=r"'flat' has shape \(1, 256\)"):
        grad_cam(model, x, "flat")


def test_names_classes_regions_and_numbers_that_do_not_fit_are_refused():
    model, x = tiny(classes=3), random(2, 1, 8, 8)
    with pytest.raises(UnknownName, match="No map is called 'Y'"):
        grad_cam(model, x, "Y")
    with pytest.raises(UserError, match="names no inner maps"):
        grad_cam(torch.nn.Conv2d(1, 1, 1), x, "X")
    for k in (3, -1):
        with pytest.raises(UserError, match=f"class_index is {k}; the logits have the classes 0 to 2"):
            grad_cam(model, x, "X", class_index=k)
    for shape in ((4, 4), (1, 8, 8), (3, 8, 8), (2, 3, 8, 8)):
        with pytest.raises(UserError, match=r"region has shape .* want \(8, 8\)"):
            grad_cam(model, x, "X", region=np.ones(shape))
    x[1, 0, 3, 3] = float("nan")
    with pytest.raises(UserError, match="The input holds values that are not numbers"):
        grad_cam(model, x, "X")
    model.head[-1].bias.data[0] = float("inf")
    with pytest.raises(UserError, match="The answer of the network holds"):
        grad_cam(model, random(1, 1, 8, 8), "X")
