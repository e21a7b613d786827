"""What takes the steps: Adam, AdamW or SGD, as the recipe says."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from covidseg.training.recipes import Recipe

__all__ = ["optimizer_for"]


def optimizer_for(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """For all parameters of the model, where they lie; its rate is set anew before every step."""
    settings: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if {p.device.type for p in model.parameters()} <= {"cpu", "cuda"}:
        settings["fused"] = True  # one kernel instead of ten for each of hundreds of small tensors
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=recipe.momentum, **settings)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(model.parameters(), **settings)
