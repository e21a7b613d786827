"""Speed of Inf-Net on a CPU, as two ratios: its forward pass over MiniSeg's, and our training step over a plain loop's.

    python benchmarks/infnet_speed.py                      # one thread, some minutes
    python benchmarks/infnet_speed.py --side 96 --batch 8  # a lesson's size; the forward pass stays at 352 px

forward : Inf-Net at 352 x 352 over MiniSeg at 512 x 512, eval mode, eager, one slice. It multiplies 29 times as often,
    but in dense convolutions, which a processor does some ten times faster than MiniSeg's depthwise ones
floor : the same with one large matrix product of as many multiplications in Inf-Net's place, which is about the most
    that the processor can do in float32
training : optimiser steps per second at three scales, ours over plain (aim: at least 1.0). Plain is what one writes
    first: every step reads its samples as PIL pictures, resizes them one by one, then resizes the batch to its scale,
    makes the weights anew for each of the four maps, and cuts the gradients parameter by parameter

Both sides take turns and the best round of each counts, since other work on the machine only ever slows one down. With
one thread the time is the processor's own, else the clock's. Same slices, order and weights; the pictures must agree
to a grey level, which is PIL's own rounding.
"""

import argparse
import os
from dataclasses import replace
from time import perf_counter, process_time


def main():
    options = parse()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads that spin take the core from those that work
    import torch

    torch.set_num_threads(options.threads)
    clock = process_time if options.threads == 1 else perf_counter
    ratio, floor = forward(options.passes, clock)
    print(
        f"forward, time of Inf-Net at 352 px over MiniSeg at 512 px: {ratio:.2f}  (floor here: {floor:.2f})", flush=True
    )
    ratio, apart = training(options, clock)
    print(f"training steps per second, ours over plain: {ratio:.2f}  (aim: at least 1.0)")
    print(f"their pictures differ by {apart:.1f} grey levels at most")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=352, help="base side of the training")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--native", type=int, default=512, help="side of the pictures")
    parser.add_argument("--rounds", type=int, default=2, help="of training: one mini-batch, which is three steps, each")
    parser.add_argument("--passes", type=int, default=15, help="forward passes of each network")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def forward(passes, clock):
    """Best time of Inf-Net over best time of MiniSeg, and that of a matrix product of Inf-Net's multiplications."""
    import torch

    from covidseg import create_model, profile_model

    infnet, miniseg, n = create_model("infnet").eval(), create_model("miniseg").eval(), 2048
    slice_352, slice_512, matrix = torch.randn(1, 3, 352, 352), torch.randn(1, 3, 512, 512), torch.randn(n, n)
    runs = {
        "infnet": lambda: infnet(slice_352),
        "miniseg": lambda: miniseg(slice_512),
        "product": lambda: matrix @ matrix,
    }
    best = dict.fromkeys(runs, float("inf"))
    with torch.inference_mode():
        for _ in range(passes):
            for name, run in runs.items():
                started = clock()
                run()
                best[name] = min(best[name], clock() - started)
    floor = best["product"] * profile_model(infnet, (3, 352, 352)).macs / n**3
    return best["infnet"] / best["miniseg"], floor / best["miniseg"]


def training(options, clock):
    """(best time of plain over best of ours, largest difference of their pictures in grey levels)."""
    from covidseg.data.transforms import IMAGENET_STD
    from covidseg.papers.infnet import INFNET_PAPER, SoftSlices, multi_scale

    scales = multi_scale(options.side)
    feed = SoftSlices(options.side, order="batch")
    how = replace(INFNET_PAPER, feed=feed, scales=scales, val_size=options.side, batch=options.batch)
    cases = phantoms(options.batch * 2, options.native)  # the first mini-batch warms up
    times, pictures = {"ours": [], "plain": []}, {}
    for _ in range(options.rounds):
        for name, way in (("ours", Ours), ("plain", Plain)):
            run = way(cases, how)
            steps = run.batches.plan(0)
            pictures[name] = run.batches.load(steps[0])[0] if name == "ours" else run.load(steps[0])[0]
            for step in steps[: len(scales)]:
                run.step(step)
            started = clock()
            for step in steps[len(scales) :]:
                run.step(step)
            times[name].append(clock() - started)
    apart = (pictures["ours"] - pictures["plain"]).abs().amax().item() * 255 * min(IMAGENET_STD)
    return min(times["plain"]) / min(times["ours"]), apart


def phantoms(count, side):
    """Phantoms as 8-bit greys."""
    import numpy as np

    from covidseg.data import Case, CaseDataset, load_dataset
    from covidseg.data.transforms import to_grey

    made = {}
    for case in load_dataset("phantom", "train", n=count, size=side):
        grey = np.round(to_grey(case.image, "HU") * 255).astype(np.float32)
        made[case.id] = Case(case.id, case.patient, grey, case.infection.astype(np.uint8), "grey", case.spacing)
    return CaseDataset("pictures", list(made), [case.patient for case in made.values()], made.__getitem__)


class Ours:
    """The kit's own steps, without checkpoints and validation."""

    def __init__(self, cases, how):
        import torch

        from covidseg import create_model
        from covidseg.training.devices import Precision, Team
        from covidseg.training.loop import Training

        torch.manual_seed(0)
        device = torch.device("cpu")
        self.run = Training(create_model("infnet"), cases, None, how, 0, device, Team(), None, None)
        self.run.prepare(Precision("float32", device), False, None)
        self.batches = self.run.batches

    def step(self, step):
        self.run.learn(step)


class Plain:
    """The published loop in plain words, with the BCE the paper means."""

    def __init__(self, cases, how):
        import torch
        from PIL import Image

        from covidseg import create_model
        from covidseg.data.transforms import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
        from covidseg.papers.infnet import SoftBatches, soft_slices
        from covidseg.papers.infnet.edges import edge_map

        torch.manual_seed(0)
        self.model, self.side = create_model("infnet").train(), how.feed.base_side
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=how.lr)
        self.batches = SoftBatches(soft_slices(cases), how, Preprocessing(), 0)  # for the order of the slices
        self.mean, self.std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
        layers = [(case.image, case.infection * 255, edge_map(case.infection) * 255) for case in cases]
        self.pictures = [[Image.fromarray(layer.astype("uint8")) for layer in slices] for slices in layers]

    def sample(self, index):
        import numpy as np
        import torch
        from PIL import Image

        picture, mask, edge = self.pictures[index]
        layers, size = (picture.convert("RGB"), mask, edge), (self.side, self.side)
        small = [layer.resize(size, Image.Resampling.BILINEAR) for layer in layers]
        image, mask, edge = (torch.from_numpy(np.asarray(p, np.float32) / 255) for p in small)
        return (image.permute(2, 0, 1) - self.mean) / self.std, mask[None], edge[None]

    def load(self, step):
        import torch
        from torch.nn import functional as F

        layers = [torch.stack(part) for part in zip(*(self.sample(index) for index in step.indices), strict=True)]
        if step.scale.side != self.side:
            size = (step.scale.side,) * 2
            layers = [F.interpolate(part, size=size, mode="bilinear", align_corners=True) for part in layers]
        return layers

    def step(self, step):
        from torch.nn import functional as F

        image, mask, edge = self.load(step)
        S_3, (S_4, S_5, S_g, S_e) = self.model(image)
        loss = F.binary_cross_entropy_with_logits(S_e, edge) + sum(self.of_map(S, mask) for S in (S_3, S_4, S_5, S_g))
        self.optimizer.zero_grad()
        loss.backward()
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.data.clamp_(-0.5, 0.5)
        self.optimizer.step()

    def of_map(self, S, G):
        from torch.nn import functional as F

        w = 1 + 5 * (F.avg_pool2d(G, 31, stride=1, padding=15) - G).abs()
        bce = F.binary_cross_entropy_with_logits(S, G, reduction="none")
        bce = (w * bce).sum((2, 3)) / w.sum((2, 3))
        p = S.sigmoid()
        both, sizes = (p * G * w).sum((2, 3)), ((p + G) * w).sum((2, 3))
        return (bce + 1 - (both + 1) / (sizes - both + 1)).mean()


if __name__ == "__main__":
    main()
