"""What is known of a data set before any of it is read: what its cases have, how large its folds are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from covidseg.data.case import CaseDataset

__all__ = ["PROPERTIES", "DataSet"]

PROPERTIES = {
    "kinds": "ground glass told from consolidation",
    "lung": "lung masks",
    "pool": "slices that nobody labelled",
    "volumes": "whole volumes",
}


@dataclass(frozen=True)
class DataSet:
    """One set. ``load`` : (split, fold, **options) -> CaseDataset

    has : of PROPERTIES, what its cases or the set have, as a task may need it
    fold_sizes : slices with infection in the training and the scored part of a fold, mean over the papers' five folds
    own_split : sizes of its own train and test part; () for any size; None where it has none
    made_of : other sets whose files it may take its cases from
    synthetic : computed, not patients; size and number of its cases are options
    unseen : what is scored is looked at once, after the training; no epoch is chosen on it
    """

    load: Callable[..., CaseDataset]
    has: frozenset[str] = frozenset()
    fold_sizes: tuple[int, int] | None = None
    own_split: tuple[int, ...] | None = None
    made_of: tuple[str, ...] = ()
    synthetic: bool = False
    unseen: bool = False
