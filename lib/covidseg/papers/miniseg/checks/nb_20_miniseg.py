"""Checks of 20_miniseg: each returns "" or the sentence that helps."""

import torch

from covidseg.lessons.answers import array, number, whole
from covidseg.lessons.quiz import Choice, Question
from covidseg.papers.miniseg.network import AHSP


def ahsp_parameters(answer) -> str:
    for C, C_out in ((24, 24), (8, 24), (24, 32), (32, 64)):
        true = sum(p.numel() for p in AHSP(C, C_out).parameters())
        given = whole(answer(C, C_out))
        if given == true:
            continue
        if given == true - 3 * C_out:
            return f"For C={C}, C'={C_out} the convolutions are right; BatchNorm and PReLU are missing."
        if given == true + C_out * C_out - C_out * C_out // 4:
            return "The last 1x1 convolution is grouped: each output channel sees only the C'/4 channels of its scale."
        if given == true + 3 * C_out:
            return "The attention convolution is grouped: each of its 4 outputs sees only C'/4 channels."
        return f"For C={C}, C'={C_out} you count {given}; the block has {true}."
    return ""


def reach_in_mm(answer) -> str:
    true, answer = 16 * 16 * 0.7, number(answer)
    if abs(answer - true) < 0.3:  # 179, 179.2
        return ""
    hints = {
        true / 2: "That is from the centre tap to one outermost tap; the two outermost are twice as far apart.",
        17 * 16 * 0.7: "That is the width of the field in pixels times their size; between centres there is one less.",
        16 * 16: "Those are image pixels; each is 0.7 mm wide.",
        16 * 0.7: "Those are pixels of the map; each stands for 16 image pixels.",
    }
    near = [hint for value, hint in hints.items() if abs(answer - value) < 0.1]
    return near[0] if near else "The taps sit at -8, 0 and 8 map pixels: how wide is one of them in the image, in mm?"


def folded_pooling(answer) -> str:
    if not isinstance(answer, tuple) or len(answer) != 2 or answer[1] is None:
        return "The weights should be a tensor of shape (6, 1, 3, 3)."
    block, weight = answer
    weight = torch.as_tensor(array(weight, (6, 1, 3, 3)), dtype=torch.float32)
    S = torch.randn(1, 6, 9, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = block.dilated[0](S) + block.pool(S)
        got = torch.nn.functional.conv2d(S, weight, padding=1, groups=6)
    if torch.allclose(wanted, got, atol=1e-2):  # 0.111 for 1/9
        return ""
    if torch.allclose(got, block.dilated[0](S), atol=1e-5):
        return "This is F_1 alone: add the filter that average pooling amounts to."
    return f"The largest difference to F_0 + F_1 is {(wanted - got).abs().max():.3f}."


def shortest_time(answer) -> str:
    for macs, moved, rate, bandwidth in ((5e8, 1e9, 5e10, 1e10), (6e10, 1e9, 5e10, 1e10), (2e9, 2e9, 4e9, 5e9)):
        by_arithmetic, by_memory = macs / rate, moved / bandwidth
        true, given = max(by_arithmetic, by_memory), number(answer(macs, moved, rate, bandwidth))
        if abs(given - true) <= 0.01 * true:
            continue
        hints = {
            by_arithmetic
            + by_memory: "The processor fetches while it computes: the two times overlap, they do not add.",
            min(by_arithmetic, by_memory): "Both must be done: the slower of the two decides.",
            rate * bandwidth: "Divide the work by the rate: a product of two rates is no time.",
            1000 * true: "Seconds are asked for, not thousandths.",
            1 / true: "That is passes a second; its inverse is asked for.",
        }
        near = [hint for value, hint in hints.items() if abs(given - value) <= 0.01 * value]
        which = "arithmetic" if by_arithmetic > by_memory else "memory"
        return (
            near[0] if near else f"For {macs:g} MACs and {moved:g} bytes {which} is the limit; you give {given:.3g} s."
        )
    return ""


CHECKS = {1: ahsp_parameters, 2: reach_in_mm, 3: folded_pooling, 4: shortest_time}

QUIZ = (
    Question(
        "The text says that stage 4 has nine blocks; Table 5 prints 82.91K parameters. Which network was trained?",
        (
            Choice("The text's, with nine blocks.", "That one has 88,672 parameters, which nobody rounds to 82.91K."),
            Choice(
                "That cannot be told without the weights.",
                "It can be counted: parameters are whole numbers, and one value of N fits.",
            ),
            Choice(
                "One with seven blocks in stage 4.",
                "82,912 parameters, the printed number to the digit. Count first.",
                right=True,
            ),
        ),
    ),
    Question(
        "At some pixel A[k] is 0. What becomes of scale k there?",
        (
            Choice(
                "It passes as it is.",
                "Eqn 7 adds: the scale is multiplied by 1 + A, which is 1 here and at most 2.",
                right=True,
            ),
            Choice(
                "It is switched off.",
                "That would need a product with A alone; in Eqn 7 the scale itself stands beside the product.",
            ),
            Choice("It counts half.", "The factor is 1 + A, so it is never below 1."),
        ),
    ),
    Question(
        "You want MiniSeg faster and may slim one stage. Where is most work for fewest parameters?",
        (
            Choice(
                "In stage 4.",
                "It has 45,376 parameters and an eighth of the MACs: slimming it makes the network small, not fast.",
            ),
            Choice(
                "In stage 1.",
                "1,976 parameters, each used on 256 x 256 pixels: a quarter of all MACs. (Of the time only a tenth: "
                "measure before you slim.)",
                right=True,
            ),
            Choice("In the decoder.", "10,560 parameters and less work than stage 1: 74 million MACs against 126."),
        ),
    ),
)
