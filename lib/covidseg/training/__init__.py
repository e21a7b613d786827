"""Training: a recipe says what, `train` does it, a run folder keeps it.

>>> from covidseg import create_model, load_dataset
>>> from covidseg.papers import recipe
>>> from covidseg.training import train
>>> train_set, val_set = (load_dataset("phantom", split=s, n=8, size=64) for s in ("train", "val"))
>>> history = train(create_model("NAME"), train_set, val_set, recipe("quick"))            # doctest: +SKIP
>>> history.best_epoch, history.last_epoch                                                # doctest: +SKIP

Reading order: ``recipes`` and ``parts`` (what is decided), ``loop`` (one page), ``batches`` (from cases to tensors),
the engine's own parts (``schedules``, ``optimizers``, ``feeds``, ``patches``, ``objective``), ``evaluation``, ``task``,
``history``; then the machinery: ``devices``, ``checkpoints``, ``run_folder``, ``interrupt``. The recipes themselves are
the papers'.
"""

from covidseg.training.batches import SliceBatches, SliceCache, Step, fit_preprocessing
from covidseg.training.checkpoints import load_checkpoint, save_checkpoint
from covidseg.training.evaluation import evaluate
from covidseg.training.feeds import Slices
from covidseg.training.history import History
from covidseg.training.loop import train
from covidseg.training.objective import CrossEntropy, SupervisedHeads
from covidseg.training.parts import Batches
from covidseg.training.patches import Patches
from covidseg.training.recipes import Recipe, at_side, learning_rate
from covidseg.training.schedules import Constant, Poly, Stairs

__all__ = [
    "Batches",
    "Constant",
    "CrossEntropy",
    "History",
    "Patches",
    "Poly",
    "Recipe",
    "SliceBatches",
    "SliceCache",
    "Slices",
    "Stairs",
    "Step",
    "SupervisedHeads",
    "at_side",
    "evaluate",
    "fit_preprocessing",
    "learning_rate",
    "load_checkpoint",
    "save_checkpoint",
    "train",
]
