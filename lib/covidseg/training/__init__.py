"""Training: a recipe says what, `train` does it, a run folder keeps it.

>>> from covidseg import create_model, load_dataset
>>> from covidseg.training import QUICK, train
>>> train_set, val_set = (load_dataset("phantom", split=s, n=8, size=64) for s in ("train", "val"))
>>> history = train(create_model("miniseg"), train_set, val_set, QUICK)   # doctest: +SKIP
>>> history.best_epoch, history.last_epoch                                # doctest: +SKIP

Reading order: ``recipes`` (what is decided, and by whom), ``loop`` (one page), ``batches`` (from cases to tensors),
``soft_batches`` (the same for Inf-Net, which learns soft masks), ``schedules``, ``objective``, ``evaluation``,
``history``; then the machinery: ``devices``, ``checkpoints``, ``run_folder``, ``interrupt``.
"""

from covidseg.training.batches import SliceBatches, SliceCache, Step, fit_preprocessing
from covidseg.training.checkpoints import load_checkpoint, save_checkpoint
from covidseg.training.evaluation import evaluate
from covidseg.training.history import History
from covidseg.training.loop import train
from covidseg.training.objective import InfNetLoss, MiniSegLoss
from covidseg.training.recipes import (
    INFNET_CONSTANT,
    INFNET_LESSON,
    INFNET_PAPER,
    INFNET_QUICK,
    INFNET_RELEASED,
    INFNET_SHORT,
    LESSON,
    MINISEG,
    MINISEG_PAPER,
    MINISEG_RELEASED,
    PHANTOM,
    QUICK,
    RECIPES,
    Recipe,
    at_side,
    recipe,
)
from covidseg.training.schedules import learning_rate
from covidseg.training.soft_batches import SoftBatches, SoftSlice, edge_map, soft_slices

__all__ = [
    "INFNET_CONSTANT",
    "INFNET_LESSON",
    "INFNET_PAPER",
    "INFNET_QUICK",
    "INFNET_RELEASED",
    "INFNET_SHORT",
    "LESSON",
    "MINISEG",
    "MINISEG_PAPER",
    "MINISEG_RELEASED",
    "QUICK",
    "RECIPES",
    "History",
    "InfNetLoss",
    "PHANTOM",
    "MiniSegLoss",
    "Recipe",
    "SliceBatches",
    "SliceCache",
    "SoftBatches",
    "SoftSlice",
    "Step",
    "at_side",
    "edge_map",
    "evaluate",
    "fit_preprocessing",
    "learning_rate",
    "load_checkpoint",
    "recipe",
    "save_checkpoint",
    "soft_slices",
    "train",
]
