"""Run by test_training.py under torchrun: the processes train one tiny network together. Argument: the run folder."""

import sys

import torch
from tiny_training import RECIPE, discs, tiny_net

from covidseg.training import train

torch.set_num_threads(1)
train(tiny_net(plain=True), discs(), discs(20, 3), RECIPE, seed=3, device="cpu", out=sys.argv[1], micro_batch=1)
torch.distributed.barrier()  # the first is still saving when the second has nothing left to do
print("trained", flush=True)
