"""Logits recorded from the published programs of MiniSeg's benchmark, and the rule that fills a network's numbers.

Every number of a network is drawn from its place in the order of construction, so no weights need to be kept.
"""

import json
import math

import numpy as np
import torch


def fill(index, shape, kind, factor=1.0, seed_base=1000):
    """The numbers of entry ``index`` of the published program's state."""
    rng, shape = np.random.RandomState(seed_base + index), tuple(shape)
    if kind == "bn_count":
        return torch.zeros(shape, dtype=torch.int64)
    if kind in ("scale", "codewords"):  # EncNet's
        low, high = (-0.02, 0.0) if kind == "scale" else (-1.0, 1.0)
        return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))
    n = rng.standard_normal(shape)
    if kind == "weight":
        n = n * math.sqrt(2 / math.prod(shape[1:])) * factor
    else:
        spread = dict(bias=0.05, bn_weight=0.1, bn_bias=0.1, bn_mean=0.1, bn_var=0.2, prelu=0.05, gamma=0.05)[kind]
        centre = dict(bn_weight=1, bn_var=1, prelu=0.25, gamma=0.5).get(kind, 0)
        n = centre + spread * (np.abs(n) if kind == "bn_var" else n)
    return torch.from_numpy(np.asarray(n, np.float32))


def filled(model, folder, name):
    """The network with the recorded numbers, entry by entry in the order of construction; float64, eval mode."""
    facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    own = model.state_dict()
    assert [tuple(v.shape) for v in own.values()] == [tuple(shape) for _, _, shape, _ in facts["state_dict"]]
    drawn = (fill(i, s, kind, facts["conv_scale_factor"], facts["seed_base"]) for i, _, s, kind in facts["state_dict"])
    model.load_state_dict(dict(zip(own, drawn, strict=True)))
    return model.double().eval()


@torch.no_grad()
def distance(model, folder, name):
    """Largest difference from the recorded logits, as a part of the largest of them."""
    x = np.random.RandomState(7).standard_normal((1, 3, 96, 128)).astype(np.float32)
    expected = np.load(folder / f"{name}.npz")["logits"].astype(np.float64)
    answer = filled(model, folder, name)(torch.from_numpy(x).double()).numpy()
    return np.abs(answer - expected).max() / np.abs(expected).max()
