"""Checks of 21_infnet: each returns "" or the sentence that helps."""

import torch

from covidseg.lessons.answers import MISSING, kind, numbers, whole
from covidseg.lessons.quiz import Choice, Question
from covidseg.nn.layers import resize
from covidseg.papers.infnet.network import RA
from covidseg.papers.infnet.wiring import OFFICIAL, RAUnit

# ------------------------------------------------------------------------------------------ 1: reverse attention


def reverse_attention(answer) -> str:
    for seed, sides in ((0, (8, 10)), (1, (6, 7))):
        draw = torch.Generator().manual_seed(seed)
        f, S = torch.randn(2, 3, *sides, generator=draw), 3 * torch.randn(2, 1, 4, 5, generator=draw)
        with torch.no_grad():
            given = answer(f.clone(), S.clone())
        if said := _reversed(given, f, S):
            return said
    return ""


def _reversed(given, f, S) -> str:
    if given is None:
        return MISSING
    if not torch.is_tensor(given):
        return f"The answer should be a tensor like f; it is {kind(given)}."
    if given.shape != f.shape:
        return f"For f of shape {tuple(f.shape)} the answer has shape {tuple(given.shape)}; it should be that of f."
    if not torch.isfinite(given).all():
        return "The answer holds values that are no finite numbers (NaN or infinity)."
    up = resize(S, f.shape[-2:])
    corners = torch.nn.functional.interpolate(S, f.shape[-2:], mode="bilinear", align_corners=True)
    right, early = f * (1 - up.sigmoid()), f * (1 - resize(S.sigmoid(), f.shape[-2:]))
    slips = {
        "": right,
        "This keeps what was found and erases the rest: subtract the sigmoid from 1.": f * up.sigmoid(),
        "This is the weight A alone, repeated; multiply the feature by it.": (1 - up.sigmoid()).expand_as(f),
        "S holds logits, not probabilities: take the sigmoid before you subtract.": f * (1 - up),
        "Resize the logits first and take the sigmoid then, as the code does.": early,
        "Resize with half-pixel centres (`resize`), not with aligned corners.": f * (1 - corners.sigmoid()),
    }
    for sentence, value in slips.items():
        if torch.allclose(given.float(), value, atol=1e-5):
            return sentence
    return f"The largest difference to f * (1 - sigmoid(S)) is {(given - right).abs().max():.3f}."


# ------------------------------------------------------------------------------------------ 2: parameters of a unit

UNITS = ((2048, 256, 5, 3, 1), (1024, 64, 3, 2, 3), (512, 64, 3, 2, 3), (96, 16, 3, 4, 1))  # R_5, R_4, R_3, one of ours
EDGE = 64


def unit_parameters(answer) -> str:
    for C, width, kernel, convs, last in UNITS:
        unit = RAUnit(width=width, kernel=kernel, convs=convs, last=last)
        with torch.device("meta"):
            true = sum(p.numel() for p in RA(C, EDGE, unit, OFFICIAL).parameters())
        given = whole(answer(C, width, kernel, convs, last))
        if given == true:
            continue
        slips = {
            2 * (convs + 1) * width + 2: "The convolutions are right; each BatchNorm has two numbers per channel.",
            2: "Only the last BatchNorm is missing: the map's one channel has two numbers.",
            2 * width: "One BatchNorm is missing.",
            EDGE * width * kernel**2: "The first of the convolutions reads the 64 channels of e_att as well.",
            width * last**2 + 2: "The last convolution, to one channel, and its BatchNorm are missing.",
            C * width + 2 * width: "The squeeze from C to width channels is missing.",
            -((convs + 1) * width + 1): "The convolutions have no bias: the BatchNorm behind each would take it away.",
            -(convs - 1) * EDGE * width * kernel**2: "e_att joins once, before the first of the convolutions.",
        }
        hint = slips.get(true - given, f"you count {given:,}; the unit has {true:,}.")
        return f"For C={C}, width={width}, kernel={kernel}, convs={convs}, last={last}: {hint}"
    return ""


# ------------------------------------------------------------------------------------------ 3: the string "none"


def two_losses(answer) -> str:
    for seed in (1, 2):
        draw = torch.Generator().manual_seed(seed)
        bce, w = torch.rand(3, 1, 6, 7, generator=draw), 1 + 5 * torch.rand(3, 1, 6, 7, generator=draw)
        w[0] *= 4  # an image must not count more because its weights are large
        pair = answer(bce.clone(), w.clone())
        if isinstance(pair, tuple | list):
            if len(pair) != 2:
                return "Return two values: (published, meant)."
            if any(value is None for value in pair):
                return "One of the two numbers is still missing."
            if any(torch.is_tensor(value) and value.numel() != 1 for value in pair):
                return "Both should be one number: average over the images at the end."
        if said := _losses(*numbers(pair, 2), bce, w):
            return said
    return ""


def _losses(published: float, meant: float, bce, w) -> str:
    each = (w * bce).sum((1, 2, 3)) / w.sum((1, 2, 3))
    if abs(meant - each.mean()) > 5e-4:
        if abs(meant - bce.mean()) < 5e-4:
            return "What you call meant is the plain mean: there the weights cancel. Weigh each pixel, then sum."
        if abs(meant - (w * bce).sum() / w.sum()) < 5e-4:
            return "Divide per image: with one sum over the batch, an image with large weights counts more than others."
        if abs(meant - (w * bce).mean()) < 5e-4:
            return "The weighted sum should be divided by the sum of the weights, not by the number of pixels."
        return f"For the meant loss you get {meant:.4f}; it is {each.mean():.4f}."
    if abs(published - bce.mean()) > 5e-4:
        if abs(published - each.mean()) < 5e-4:
            return "The published number still depends on w. Average the BCE over all pixels first, then weigh."
        return f"For the published loss you get {published:.4f}; it is {bce.mean():.4f}."
    return ""


CHECKS = {1: reverse_attention, 2: unit_parameters, 3: two_losses}

QUIZ = (
    Question(
        "The paper weighs border pixels in the BCE. What did the published program train with?",
        (
            Choice(
                "The weighted BCE of the paper.",
                (
                    "The program averages first, so the weights stand above and below the fraction and cancel: "
                    "0.169, as without."
                ),
            ),
            Choice(
                'Plain BCE: `reduce="none"` counts as yes, and one number comes back instead of a picture.',
                "The IoU term keeps its weights; of the BCE's nothing is left.",
                right=True,
            ),
            Choice("No BCE at all.", "It is there, at full strength; only its weights are gone."),
        ),
    ),
    Question(
        "The coarser map says +30 everywhere. What can still move the next map, in the order of the code?",
        (
            Choice(
                "Nothing.", "That is Equation 2 as printed, which erases after joining. The erratum turned it round."
            ),
            Choice("The feature of this level.", "It is multiplied by A = 0 before anything else."),
            Choice(
                "The edge feature.",
                "It joins after the erasing, so a border that was drawn too far out can be pulled in.",
                right=True,
            ),
        ),
    ),
    Question(
        "Inf-Net's published maps score 0.682 in Table II and 0.738 if you cut them at 0.5. Which number is wrong?",
        (
            Choice(
                "Neither: the table's is a mean over 256 thresholds.",
                "A soft map loses by that, however well it is placed. Name the rule with the number.",
                right=True,
            ),
            Choice("The table's.", "It is what the paper's tool gives, and its rule is stated by the tool."),
            Choice(
                "The second: 0.5 is an arbitrary cut.",
                "It is a choice, and so is a mean over all cuts. Both are right by their own rule.",
            ),
        ),
    ),
)
