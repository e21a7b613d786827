"""Learning rates as plain functions of the iteration: nothing to keep, so nothing to lose when a run is resumed."""

from covidseg.training.recipes import Recipe

__all__ = ["compounding", "learning_rate", "poly", "step"]


def poly(lr: float, iteration: int, total: int, power: float) -> float:
    """lr * (1 - it / T)^power: MiniSeg, "Implementation details".

    iteration : 0-based, running through all passes of all epochs; total : T, iterations of the whole training
    """
    return lr * (1 - iteration / total) ** power


def step(lr: float, epoch: int, every: int, factor: float) -> float:
    """lr * factor^(epoch div every): the other mode of MiniSeg's code (0.5 every 100 epochs, so never in 80)."""
    return lr * factor ** (epoch // every)


def compounding(lr: float, epoch: int, every: int, factor: float) -> float:
    """lr * product of factor^(k div every) for k = 1..epoch: Inf-Net's code, which decays the rate it decayed before.

    epoch : counted from 1, as there. The exponents add up: 0 for the first ``every`` - 1 epochs, then 1, 2, 3, ...,
    and two more with each epoch after 2 * ``every`` - 1. The text has a constant rate.

    >>> [f"{compounding(1e-4, epoch, 50, 0.1):.0e}" for epoch in (49, 50, 51, 52, 99)]
    ['1e-04', '1e-05', '1e-06', '1e-07', '1e-54']
    """
    rounds, rest = divmod(epoch, every)
    return lr * factor ** (every * rounds * (rounds - 1) // 2 + rounds * (rest + 1))


def learning_rate(recipe: Recipe, iteration: int, steps_per_epoch: int) -> float:
    """Learning rate of one iteration (0-based, over the whole training).

    >>> from covidseg.training.recipes import MINISEG
    >>> learning_rate(MINISEG, 0, 60), round(learning_rate(MINISEG, 2400, 60), 6)  # half way: 1e-3 * 0.5^0.9
    (0.001, 0.000536)
    """
    if recipe.schedule == "poly":
        return poly(recipe.lr, iteration, recipe.epochs * steps_per_epoch, recipe.power)
    if recipe.schedule == "step":
        return step(recipe.lr, iteration // steps_per_epoch, recipe.step_epochs, recipe.step_factor)
    if recipe.schedule == "compounding":
        return compounding(recipe.lr, iteration // steps_per_epoch + 1, recipe.step_epochs, recipe.step_factor)
    return recipe.lr
