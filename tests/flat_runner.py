"""Runs a `FlatNetwork` with torch's functions: its list stated a second time, to check it without a browser."""

import torch
from torch.nn import functional as F


def run_flat(flat, image: torch.Tensor, off=()) -> dict[int, torch.Tensor]:
    """image : (C, H, W). Every result by its number, (C, H, W) each; ``off`` : switches."""
    results, numbers = {0: image[None]}, torch.from_numpy(flat.numbers)
    for op in flat.ops:
        inputs = [results[i] for i in op["in"]]
        results[op["out"]] = _one(op, inputs, numbers) * (op.get("switch") not in off)
    return {number: result[0] for number, result in results.items()}


def _one(op, inputs, numbers):
    x = inputs[0]
    if op["op"] == "conv":
        weight, bias = (numbers[first : first + count] for first, count in (op["w"], op["b"]))
        weight = weight.view(len(bias), -1, op["kernel"], op["kernel"])
        return F.conv2d(x, weight, bias, op["stride"], op["padding"], op["dilation"], op["groups"])
    if op["op"] == "prelu":
        first, count = op["slope"]
        return F.prelu(x, numbers[first : first + count])
    return {
        "pool": lambda: F.avg_pool2d(x, op["kernel"], op["stride"], op["padding"]),
        "add": lambda: x + inputs[1],
        "gate": lambda: x + x * inputs[1],
        "sigmoid": lambda: x.sigmoid(),
        "cat": lambda: torch.cat(inputs, 1),
        "part": lambda: x[:, op["first"] : op["first"] + op["count"]],
        "resize": lambda: F.interpolate(x, inputs[1].shape[-2:], mode="bilinear", align_corners=False),
    }[op["op"]]()
