"""Checks of 26_model_zoo: what a printed number allows, what attention costs, which speeds cannot be."""

from covidseg.lessons.answers import names, number, numbers
from covidseg.lessons.quiz import Choice, Question

PRINTS = {  # as printed -> the least and the largest number of parameters that are printed so
    "82.91K": (82_905, 82_915),
    "0.92M": (915_000, 925_000),
    "2.17M": (2_216_960, 2_227_200),
    "8.43M": (8_627_200, 8_637_440),
    "64.03M": (65_561_600, 65_571_840),
}


def printed_range(answer) -> str:
    for text, (low, high) in PRINTS.items():
        a, b = numbers(answer(text), 2)
        if abs(a - low) <= 1 and abs(b - high) <= 1:
            continue
        plain = float(text[:-1]) * {"K": 1e3, "M": 1e6}[text[-1]]
        if abs((a + b) / 2 - plain) < 1 < abs(plain - (low + high) / 2):
            return f"{text}: from a million parameters on, this table's M is 1,024,000."
        if abs((a + b) / 2 - (low + high) / 2) <= 2:
            return f"{text}: the middle is right; two printed decimals leave half a unit of the last one on each side."
        if text == "0.92M" and abs((a + b) / 2 - 0.92 * 1_024_000) < 1:
            return "0.92M: below a million parameters the table divides by 1,000,000."
        return f"{text} can be anything from {low:,} to {high:,}; you say {a:,.0f} to {b:,.0f}."
    return ""


def attention_macs(answer) -> str:
    for H, W, stride, C_k, C_v in ((512, 512, 8, 64, 512), (256, 128, 8, 32, 32), (512, 512, 16, 64, 512)):
        N = (H // stride) * (W // stride)
        true, given = N * N * (C_k + C_v), number(answer(H, W, stride, C_k, C_v))
        if abs(given - true) < 0.5:
            continue
        slips = {
            N * N * C_k: "That is Q K alone: the weighted sums of V are a second product.",
            N * N * C_v: "That is A V alone: first each pixel is compared with each, over C_k channels.",
            N * (C_k + C_v): "Each of the N = h w pixels looks at all N of them: N x N pairs.",
            H * W * H * W * (C_k + C_v): "The attention sees the small map: both sides are divided by the stride.",
            2 * true: "A multiply-accumulate counts once: these are floating-point operations.",
        }
        near = [text for value, text in slips.items() if abs(given - value) < 0.5]
        return near[0] if near else f"For {H} x {W} at stride {stride} it is {true:,}; you say {given:,.0f}."
    return ""


SLOW = {"FCN-8s", "SegNet", "DeepLabv3+"}


def impossible_speeds(answer) -> str:
    given = names(answer)
    extra, missed = sorted(given - SLOW), sorted(SLOW - given)
    if extra:
        return (
            f"{extra[0]} does about as many MACs a second as the other rows: look at the figure of frames times FLOPs."
        )
    return f"{len(missed)} more: its bar is far shorter than the others'." if missed else ""


CHECKS = {1: printed_range, 2: attention_macs, 3: impossible_speeds}

QUIZ = (
    Question(
        "Table 5 puts PSPNet on ResNet50 and prints 64.03M. Built on ResNet-50 it has 45.49M. What now?",
        (
            Choice("The table's M is 1,024,000.", "It is, and that moves a number by 2.4 %. Here 40 % are missing."),
            Choice(
                "The row is of ResNet-101, which has 64.03M to the digit.",
                "The text and the count are about two networks; believe the count.",
                right=True,
            ),
            Choice("Counters of parameters differ.", "A sum of sizes has no freedom. Counters of operations have."),
        ),
    ),
    Question(
        "ShuffleNetV2 has more MACs than MiniSeg and takes a third of its time on one core. How can that be?",
        (
            Choice(
                "It has fewer parameters.",
                "It has more of them. How many numbers are stored does not set the time of a pass.",
            ),
            Choice(
                "The clock was read on a busy machine.",
                "Both ran in turn in the same minute, and the fastest pass counts.",
            ),
            Choice(
                "It starts fewer operators and works on smaller maps.",
                "MiniSeg starts 661 operators that write 324 MB, at 1.5 MACs a byte: it waits.",
                right=True,
            ),
        ),
    ),
    Question(
        "Which of these networks segments lesions best?",
        (
            Choice(
                "The map of sizes cannot say.",
                (
                    "Parameters, MACs and seconds are costs. Quality needs equal training: that is "
                    "`31_miniseg_benchmark`."
                ),
                right=True,
            ),
            Choice(
                "One on the upper edge of the map, which works most.",
                "Work is a cost. Large maps help with borders, perhaps; no axis here shows it.",
            ),
            Choice(
                "One with a long reach.",
                "A lesion of eight pixels is found by looking closely; far is no virtue in itself.",
            ),
        ),
    ),
)
