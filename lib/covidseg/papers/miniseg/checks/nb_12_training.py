"""Checks of 12_training: a learning rate, three curves to read, gradients that add up."""

import numpy as np
import torch
from torch import nn

from covidseg.lessons.answers import numbers
from covidseg.lessons.quiz import Choice, Question
from covidseg.papers.miniseg.recipes import MINISEG
from covidseg.training import SupervisedHeads, learning_rate

# ------------------------------------------------------------------------------------- 1: the rate at an iteration

STEPS = 4 * (79 // 5)  # an epoch of COVID-19-CT100, fold 1: four passes, the incomplete batch left out
TOTAL = MINISEG.epochs * STEPS


def rate_and_iteration(answer) -> str:
    rate, iteration = numbers(answer, 2)
    right = learning_rate(MINISEG, 60 * STEPS, STEPS)
    below = next(i for i in range(TOTAL) if learning_rate(MINISEG, i, STEPS) < 1e-4)
    if abs(rate - right) > 0.005 * right:
        slips = {
            1e-3 * (1 - 60 / 80): "The power 0.9 is missing from the first number.",
            1e-3 * (1 - 61 / 80) ** 0.9: "Epoch 61 begins when 60 epochs are over: iterations are counted from 0.",
            1e-3: "The rate of the first number is the one of the step mode; poly falls in every iteration.",
        }
        near = [text for value, text in slips.items() if abs(rate - value) < 0.005 * value]
        return near[0] if near else f"The rate is not {rate:.4g}: put it = 60 * {STEPS} into lr * (1 - it / T)^power."
    if iteration == below:
        return ""
    if abs(iteration - below) == 1:
        return f"You are one iteration off: at {iteration:.0f} the rate is {_rate(iteration):.5g}."
    slips = {
        4 * 16: "The incomplete batch at the end of a pass is left out: 79 slices give 15 steps, not 16.",
        15: "An epoch of the released recipe is four passes, so T is four times what you used.",
    }
    for steps, text in slips.items():
        if abs(iteration - (1 - 0.1 ** (1 / 0.9)) * 80 * steps) < 1.5:
            return text
    if abs(iteration - 0.9 * TOTAL) < 1.5:
        return "The power 0.9 is missing: solve (1 - it / T)^0.9 < 0.1 for it."
    return f"At iteration {iteration:.0f} the rate is {_rate(iteration):.4g}; T is {TOTAL}."


def _rate(iteration: float) -> float:
    return learning_rate(MINISEG, int(np.clip(iteration, 0, TOTAL)), STEPS)


# ------------------------------------------------------------------------------------------- 2: three runs to read

WORDS = ("healthy", "overfitting", "learning rate too large")


def _runs() -> dict[str, dict[str, list[float]]]:
    """Three invented trainings of 30 epochs, loss per epoch. Drawn by formula: nothing here was measured."""
    t = np.arange(30)
    jitter = 0.012 * np.sin(2.4 * t) + 0.008 * np.sin(5.1 * t)
    leaps = 0.22 * np.sin(1.9 * t) * np.cos(0.7 * t) + 0.35 * (t % 11 == 6)
    return {
        "A": {"training": 0.86 - 0.004 * t + leaps, "validation": 0.9 + 1.3 * np.roll(leaps, 1)},
        "B": {"training": 0.02 + 0.78 * np.exp(-t / 7) + 0.3 * jitter, "validation": _u_turn(t) + jitter},
        "C": {"training": 0.24 + 0.58 * np.exp(-t / 6) + jitter, "validation": 0.29 + 0.55 * np.exp(-t / 6) - jitter},
    }


def _u_turn(t):
    return 0.33 + 0.5 * np.exp(-t / 4) + 0.018 * np.maximum(t - 8, 0)


RUNS = _runs()
READ = {"A": "learning rate too large", "B": "overfitting", "C": "healthy"}
REASONS = {
    "A": "In run A the loss leaps and hardly falls, on the cases it trains on as well: what sends every step too far?",
    "B": "In run B the training loss goes to zero: look at what the validation loss does after epoch 9.",
    "C": "In run C both losses fall together and level off side by side.",
}


def reading(answer) -> str:
    if not isinstance(answer, dict) or set(answer) != set(READ):
        return "Give a dict with one word for each of the runs A, B and C."
    for run, word in answer.items():
        if word not in WORDS:
            return f"Run {run}: {word!r} is none of {', '.join(map(repr, WORDS))}."
    wrong = [run for run in READ if answer[run] != READ[run]]
    return REASONS[wrong[0]] if wrong else ""


# -------------------------------------------------------------------------------------- 3: gradients that add up


def accumulation(answer) -> str:
    for count, size, weight, slip in (
        (6, 2, None, "each piece's loss is a mean over its own pixels only: weigh it by its share of the batch"),
        (5, 2, None, "the last piece holds one slice, the others two: they cannot all count the same"),
        (6, 2, torch.tensor([1.4, 6.0]), "with class weights a share is criterion.mass(piece) / criterion.mass(batch)"),
    ):
        complaint = _accumulates(answer, count, size, SupervisedHeads(weight, (1.0,)), slip)
        if complaint:
            return complaint
    return ""


def _accumulates(answer, count, size, criterion, slip) -> str:
    net, x, target = _toy(count)
    net.zero_grad()
    criterion(net(x), target).backward()
    wanted = _gradients(net)
    for p in net.parameters():
        p.grad = torch.ones_like(p)  # what an earlier step left
    seen = []
    hook = net.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    try:
        answer(net, criterion, x, target, size)
    finally:
        hook.remove()
    where = f"{count} slices in pieces of {size}{', class weights' if criterion.weight is not None else ''}"
    if not seen:
        return "Your function never calls net(...)."
    if sum(seen) != count:
        return f"For {where} the network saw {sum(seen)} slices in all, not {count}."
    if max(seen) > size:
        return f"For {where} the network saw {max(seen)} slices at a time; {size} are allowed."
    if any(p.grad is None for p in net.parameters()):
        return f"For {where} a parameter has no gradient: is backward() called for every piece?"
    return _compare(_gradients(net), wanted, where, slip)


def _compare(got, wanted, where, slip) -> str:
    if torch.allclose(got, wanted, rtol=1e-3, atol=1e-5):
        return ""
    if torch.allclose(got - 1, wanted, rtol=1e-3, atol=1e-5):
        return "The gradients of the step before are still in them: call net.zero_grad() first, and once."
    if not torch.isfinite(got).all():
        return f"For {where} gradients are no finite numbers (NaN or infinity)."
    ratio = float(got @ wanted / (wanted @ wanted))
    if ratio > 1.5:
        return f"For {where} the gradients are about {ratio:.1f} times too large: {slip}."
    return f"For {where} the gradients differ by {float((got - wanted).norm() / wanted.norm()):.0%}: {slip}."


def _toy(count: int):
    """A network without BatchNorm, so that slices do not depend on their neighbours; lesions of growing size."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    target = (torch.arange(256).reshape(16, 16) < 40 * torch.arange(count)[:, None, None]).long()  # B, H, W
    return net, torch.randn(count, 1, 16, 16) + target[:, None], target


def _gradients(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters()])


CHECKS = {1: rate_and_iteration, 2: reading, 3: accumulation}

QUIZ = (
    Question(
        (
            "U-Net has 131 times MiniSeg's multiply-accumulates, and on one GPU it takes nine times as "
            "long. Where does the factor go?"
        ),
        (
            Choice(
                "The authors' GPU is too weak for U-Net.",
                "A weak GPU would make U-Net slower still, and the factor larger.",
            ),
            Choice(
                (
                    "MiniSeg waits for memory: its depthwise filters, norms and sums fetch and store much for "
                    "each product."
                ),
                "MACs are not seconds. U-Net's dense filters compute while MiniSeg's maps travel.",
                right=True,
            ),
            Choice(
                "The MACs of the two were counted by different rules.",
                "One counter counted both. It counts products, and says nothing of how fast they are done.",
            ),
        ),
    ),
    Question(
        "Two networks, one run each, differ by 0.05 of Dice on a fold of eight slices. What do you know?",
        (
            Choice(
                "The one with the higher Dice is the better network.",
                "Four seeds of one and the same network lie up to 0.2 apart on this page.",
            ),
            Choice("The split leaks.", "A leak lifts both scores; it does not part them."),
            Choice(
                "Nothing yet: the difference is smaller than what another seed does to either.",
                "More seeds, more cases, and the difference case by case: then ask again.",
                right=True,
            ),
        ),
    ),
    Question(
        "The loss is multiplied by 65,536 before float16 runs backward. What does that change?",
        (
            Choice(
                (
                    "Small gradients stay above float16's smallest number; the step is the same, because they are"
                    " divided again."
                ),
                "Unscaled, about half of the gradients above were rounded to zero.",
                right=True,
            ),
            Choice(
                "The learning rate is 65,536 times as large.",
                "The gradients are divided by the same number before the update, so the rate is what it was.",
            ),
            Choice(
                "float16 gets finer digits.",
                "It keeps its ten bits. Scaling moves numbers to where the format has room.",
            ),
        ),
    ),
)
