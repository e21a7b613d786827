"""What a training leaves: one row per epoch, and two ways to choose the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan
from pathlib import Path

from torch import Tensor, nn

from covidseg.errors import unknown_name
from covidseg.text import csv_text
from covidseg.training.recipes import Recipe

__all__ = ["COLUMNS", "History", "best_epoch", "curves_csv"]

COLUMNS = ("epoch", "iteration", "lr", "train_loss", "val_loss", "val_miou", "val_dice", "seconds")
RULES = {
    "best": "best validation {watched}: optimistic where the scores come from the same cases",
    "last": "last epoch, chosen before any score was seen: honest",
}


@dataclass
class History:
    """rows : one dict per epoch with the `COLUMNS` (the val_ ones only where there was a validation set).

    weights : "best" and "last" -> state dict on the CPU; folder : of the checkpoints, or None
    stopped : "finished", or "early" where the recipe's patience ran out
    """

    rows: list[dict]
    recipe: Recipe
    folder: Path | None = None
    stopped: str = "finished"
    weights: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False)

    @property
    def best_epoch(self) -> int:
        """1-based; the last epoch if nothing was validated."""
        return best_epoch(self.rows, self.recipe.watch)

    @property
    def last_epoch(self) -> int:
        return self.rows[-1]["epoch"]

    def row(self, rule: str) -> dict:
        """The row that a rule, "best" or "last", chooses."""
        if rule not in RULES:
            raise unknown_name("rule to choose an epoch", rule, RULES)
        return self.rows[(self.best_epoch if rule == "best" else self.last_epoch) - 1]

    def restore(self, model: nn.Module, rule: str = "best") -> nn.Module:
        """Put the chosen epoch's weights into ``model``; returns it in eval mode."""
        self.row(rule)
        model.load_state_dict(self.weights[rule])
        return model.eval()

    def lines(self) -> list[str]:
        """Both rules in words, one line each."""
        watched = _LABELS[self.recipe.watch].removeprefix("val ")
        return [f"{rule:5}{describe(self.row(rule))}  ({why.format(watched=watched)})" for rule, why in RULES.items()]


def best_epoch(rows: list[dict], watch: str = "val_miou") -> int:
    """1-based epoch of the largest validation mIoU, or of the smallest loss. Code: of equals, the later."""
    scored, sign = [row for row in rows if watch in row and not isnan(row[watch])], -1 if watch == "val_loss" else 1
    return max(scored, key=lambda row: (sign * row[watch], row["epoch"]))["epoch"] if scored else rows[-1]["epoch"]


def describe(row: dict) -> str:
    """One epoch in one line."""
    scores = [f"{label} {row[name]:.4f}" for name, label in _LABELS.items() if name in row]
    return f"epoch {row['epoch']}: " + ", ".join(scores)


_LABELS = {"train_loss": "loss", "val_loss": "val loss", "val_miou": "val mIoU", "val_dice": "val Dice"}


def curves_csv(rows: list[dict]) -> bytes:
    """The rows as CSV, `COLUMNS` first."""
    return csv_text(rows, COLUMNS).encode()
