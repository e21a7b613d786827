"""Training speed of MiniSeg: this kit, a plain loop over the same network, and the network without any data.

    python benchmarks/training_throughput.py --side 512 --threads 1
    python benchmarks/training_throughput.py --side 512 --threads 2 --rounds 3

plain : the authors' style; every sample's PNG files are read anew, its three channels normalised, resized and augmented
    one by one; default memory order and optimiser
kit : `covidseg.training`; slices decoded once, one channel resized, channels last, fused optimiser
dummy : the kit's loop on tensors that lie ready in memory: what remains if data cost nothing

All three see the same slices in the same order from the same weights, so the losses of plain and kit must agree. The
three take turns and the best round of each counts, since other work on the machine only ever slows one down. With one
thread the time is the processor's own (others cannot steal it), else the clock's. Compare ratios, not slices/s.
"""

import argparse
import os
import tempfile
from pathlib import Path
from time import perf_counter, process_time

from _history import option, save


def main():
    options = parse()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads that spin take the core from those that work
    import torch

    torch.set_num_threads(options.threads)
    clock = process_time if options.threads == 1 else perf_counter
    with tempfile.TemporaryDirectory() as folder:
        ways = {"plain": Plain, "kit": Kit, "dummy": Dummy}
        cases = phantoms(options.steps * options.batch, options.native, Path(folder))
        rounds = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                rounds[name].append(way(cases, Path(folder), recipe_of(options), options.device).run(clock))
    show(options, rounds)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512, help="pixels of the training slices")
    parser.add_argument("--native", type=int, default=512, help="pixels of the files")
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps per round, after one to warm up")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    option(parser)
    return parser.parse_args()


def recipe_of(options):
    from covidseg.data.transforms import Scale
    from covidseg.papers import recipe

    return recipe("paper", scales=(Scale(options.side, 16),), batch=options.batch, epochs=2, val_size=options.side)


def phantoms(count, side, folder):
    """Phantoms as the 8-bit pictures that MiniSeg's authors read, also written as PNG into ``folder``."""
    import numpy as np
    from PIL import Image

    from covidseg.data import Case, CaseDataset, load_dataset
    from covidseg.data.transforms import to_grey

    made = {}
    for case in load_dataset("phantom", "train", n=count, size=side):
        grey = np.round(to_grey(case.image, "HU") * 255).astype(np.uint8)
        Image.fromarray(grey).convert("RGB").save(folder / f"{case.id}.png")
        Image.fromarray(case.infection.astype(np.uint8) * 255).save(folder / f"{case.id}_mask.png")
        mask = case.infection.astype(np.uint8)
        made[case.id] = Case(case.id, case.patient, grey.astype(np.float32), mask, "grey", case.spacing)
    return CaseDataset("pictures", list(made), [case.patient for case in made.values()], made.__getitem__)


class Kit:
    """The kit's own steps, without checkpoints and validation."""

    def __init__(self, cases, folder, recipe, device):
        import torch

        from covidseg import create_model
        from covidseg.training.devices import Precision, Team
        from covidseg.training.loop import Training

        torch.manual_seed(0)
        self.device = torch.device(device)
        self.cases, self.folder = cases, folder
        self.run_state = Training(create_model("miniseg"), cases, None, recipe, 0, self.device, Team(), None, None)
        self.run_state.prepare(Precision("float32", self.device), False, None)
        self.plan = self.run_state.batches.plan(0)

    def run(self, clock):
        """(seconds per slice, losses); the first step warms up and is not timed."""
        import torch

        torch.manual_seed(0)
        losses, spent = [self.step(self.plan[0])], 0.0
        for step in [*self.plan[1:], *self.run_state.batches.plan(1)[:1]]:
            started = clock()
            losses.append(self.step(step))
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            spent += clock() - started
        return spent / (len(self.plan) * len(self.plan[0].indices)), losses

    def step(self, step):
        before = float(self.run_state.loss_sum)
        self.run_state.learn(step)
        return float(self.run_state.loss_sum) - before


class Dummy(Kit):
    """The kit's loop, with batches that lie ready in memory."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        ready = self.run_state.batches.load(self.plan[0])
        self.run_state.batches.load = lambda step, positions: ready


class Plain(Kit):
    """What one writes first: open, normalise, resize, augment, stack; sample by sample, epoch by epoch."""

    def __init__(self, *arguments):
        import torch

        from covidseg import create_model

        super().__init__(*arguments)  # for the order of the slices, the loss and the schedule
        torch.manual_seed(0)
        self.model = create_model("miniseg").to(self.device).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, weight_decay=1e-4)

    def sample(self, step, position):
        import numpy as np
        import torch
        from PIL import Image

        from covidseg.papers.miniseg.augment import training_sample
        from covidseg.training.batches import generator_for

        name = self.cases.ids[step.indices[position]]
        picture = np.asarray(Image.open(self.folder / f"{name}.png"), np.float32) / 255
        mask = np.asarray(Image.open(self.folder / f"{name}_mask.png")) // 255
        statistics = self.run_state.batches.preprocessing
        picture = (picture - np.float32(statistics.mean)) / np.float32(statistics.std)
        image = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
        generator = generator_for(0, "augment", step.iteration, position)
        return training_sample(image, torch.from_numpy(mask), step.scale, generator)

    def step(self, step):
        import torch

        from covidseg.training import learning_rate

        images, masks = zip(*(self.sample(step, position) for position in range(len(step.indices))), strict=True)
        images, masks = torch.stack(images).to(self.device), torch.stack(masks).to(self.device)
        self.optimizer.param_groups[0]["lr"] = learning_rate(self.run_state.recipe, step.iteration, len(self.plan))
        loss = self.run_state.loss(self.model(images), masks)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def show(options, rounds):
    best = {name: min(seconds for seconds, _ in results) for name, results in rounds.items()}
    apart = max(abs(a - b) / a for a, b in zip(rounds["plain"][0][1], rounds["kit"][0][1], strict=True))
    print(f"MiniSeg, batch {options.batch}, {options.side} px, {options.threads} threads, {options.device}")
    for name, seconds in best.items():
        print(f"  {name:6}{1 / seconds:8.2f} slices/s")
    print(f"kit over plain     {best['plain'] / best['kit']:.2f}")
    print(f"kit over dummy     {best['dummy'] / best['kit']:.2f}  (1.00: data cost nothing)")
    print(f"losses differ by   {apart:.1e} of their value at most")
    of = f"{options.side} px, {options.threads} thread{'s' if options.threads > 1 else ''}"
    ratio, data = best["plain"] / best["kit"], best["dummy"] / best["kit"]
    save(options, f"training, {of}", ratio, reference="a plain loop", asked=2.0, device=options.device)
    save(options, f"training data, {of}", data, reference="tensors that lie ready", device=options.device)


if __name__ == "__main__":
    main()
