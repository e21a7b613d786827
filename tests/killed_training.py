"""Run by test_resume.py in a process of its own: trains in children and kills them.

    python killed_training.py FOLDER SEED KILLS

FOLDER/whole is an undisturbed run; FOLDER/killed the same run, killed KILLS times by SIGKILL at random moments and
resumed. Prints the number of steps that each child made.
"""

import os
import random
import signal
import sys
from pathlib import Path
from time import sleep

import torch
from tiny_training import RECIPE, discs, tiny_net

from covidseg.training import SupervisedHeads, train

EVERY = 3  # steps between two checkpoints


class Ticking(SupervisedHeads):
    """The usual loss, which also tells the parent of every step."""

    def __init__(self, pipe):
        super().__init__(torch.tensor([1.5, 4.0]), RECIPE.objective.aux_weights)
        self.pipe = pipe

    def __call__(self, outputs, target):
        if not torch.is_tensor(outputs):  # a training step, not validation
            os.write(self.pipe, b".")
        return super().__call__(outputs, target)


def child(folder: Path, epochs: int) -> tuple[int, int]:
    """Start the training of ``folder`` in a child; returns its process id and the pipe to hear its steps."""
    ear, pipe = os.pipe()
    pid = os.fork()
    if pid:
        os.close(pipe)
        return pid, ear
    recipe = RECIPE.from_dict(RECIPE.to_dict() | {"epochs": epochs})
    settings = dict(seed=5, device="cpu", out=folder, checkpoint_every=EVERY, micro_batch=3)
    train(tiny_net(), discs(0, 10), discs(20, 3), recipe, loss=Ticking(pipe), **settings)
    os._exit(0)


def finish(pid: int, ear: int) -> int:
    """Let a child run to its end; returns its steps, counted in pieces of a batch."""
    heard = 0
    while chunk := os.read(ear, 4096):
        heard += len(chunk)
    if os.waitpid(pid, 0)[1]:
        sys.exit("a child failed")
    return heard


def kill_after(pid: int, ear: int, pieces: int, pause: float) -> None:
    for _ in range(pieces):
        if not os.read(ear, 1):
            sys.exit("a child ended before it was killed")
    sleep(pause)
    os.kill(pid, signal.SIGKILL)
    if os.waitpid(pid, 0)[1] != signal.SIGKILL:
        sys.exit("a child ended before it was killed")
    os.close(ear)


def main(folder: str, seed: str, kills: str) -> None:
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # loads much of torch: here once, not in every child
    chance, kills = random.Random(int(seed)), int(kills)
    epochs = 4 + 2 * kills
    print(finish(*child(Path(folder) / "whole", epochs)))
    for _ in range(kills):
        pieces = chance.randint(2 * EVERY + 1, 7 * EVERY)
        kill_after(*child(Path(folder) / "killed", epochs), pieces, chance.uniform(0, 0.004))
        print(pieces)
    print(finish(*child(Path(folder) / "killed", epochs)))


if __name__ == "__main__":
    main(*sys.argv[1:])
