"""One thread, fixed seeds, one algorithm of cuDNN: what makes two runs of the same code give the same numbers."""

import os
import random

__all__ = ["THREAD_VARIABLES", "seed_generators", "set_seed", "set_threads"]

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def set_threads(threads: int) -> None:
    """Limit torch here, and through the environment every process started from here."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)  # first: numpy and torch read them when they load
    import torch

    torch.set_num_threads(threads)


def seed_generators(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch, the GPUs' too."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def set_seed(seed: int) -> None:
    """`seed_generators`, and cuDNN chooses the same algorithm every time."""
    import torch

    seed_generators(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
