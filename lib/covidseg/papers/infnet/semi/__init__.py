"""Semi-Inf-Net: let the network label what nobody labelled, and learn from that (Inf-Net, section III-B, Algorithm 1).

>>> from covidseg import create_model, load_dataset
>>> from covidseg.papers.infnet.semi import LESSON_PLAN, label_pool, train_semi, unlabelled_slices
>>> from covidseg.papers.infnet import INFNET_LESSON, soft_slices
>>> from covidseg.training import train
>>> doctors = load_dataset("phantom", split="train", n=10, size=96)
>>> pool = unlabelled_slices(load_dataset("phantom", split="train", n=60, size=96, seed=1))  # doctest: +SKIP
>>> teacher = create_model("infnet_resnet50")                                               # doctest: +SKIP
>>> history = train(teacher, doctors, None, INFNET_LESSON)                                  # doctest: +SKIP
>>> labels = label_pool(teacher, soft_slices(doctors), pool, LESSON_PLAN, out="labels")          # doctest: +SKIP

Reading order: ``plan`` (the published run, and what can be left out), ``pool``, ``labels``, ``rounds`` (the algorithm
on one page), ``hybrid`` (the set that grows), ``two_steps`` (the training of Semi-Inf-Net), ``compare`` (what labels do
right and wrong), ``authors`` (their own 1,600 labels, and experts' masks for some).
"""

from covidseg.papers.infnet.semi.authors import authors_pool, authors_pseudo_labels, expert_masks
from covidseg.papers.infnet.semi.compare import Comparison, compare_with_truth
from covidseg.papers.infnet.semi.hybrid import HybridBatches
from covidseg.papers.infnet.semi.labels import LazySlices, PseudoLabel, load_pseudo_labels, make_label, weights_hash
from covidseg.papers.infnet.semi.plan import (
    AS_RUN,
    FAST,
    LESSON_PLAN,
    PLANS,
    QUICK_PLAN,
    Plan,
    rounds_of,
    steps_as_run,
    steps_of,
)
from covidseg.papers.infnet.semi.pool import Unlabelled, groups_of, soft_maps, unlabelled_slices
from covidseg.papers.infnet.semi.rounds import label_pool
from covidseg.papers.infnet.semi.two_steps import SemiHistories, train_semi

__all__ = [
    "AS_RUN",
    "FAST",
    "LESSON_PLAN",
    "PLANS",
    "QUICK_PLAN",
    "Comparison",
    "HybridBatches",
    "LazySlices",
    "Plan",
    "PseudoLabel",
    "SemiHistories",
    "Unlabelled",
    "authors_pool",
    "authors_pseudo_labels",
    "compare_with_truth",
    "expert_masks",
    "groups_of",
    "label_pool",
    "load_pseudo_labels",
    "make_label",
    "rounds_of",
    "soft_maps",
    "steps_as_run",
    "steps_of",
    "train_semi",
    "unlabelled_slices",
    "weights_hash",
]
