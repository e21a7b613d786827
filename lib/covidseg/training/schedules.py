"""Learning rates as plain functions of the iteration: nothing to keep, so nothing to lose when a run is resumed."""

from covidseg.training.recipes import Recipe

__all__ = ["learning_rate", "poly", "step"]


def poly(lr: float, iteration: int, total: int, power: float) -> float:
    """lr * (1 - it / T)^power: MiniSeg, "Implementation details".

    iteration : 0-based, running through all passes of all epochs; total : T, iterations of the whole training
    """
    return lr * (1 - iteration / total) ** power


def step(lr: float, epoch: int, every: int, factor: float) -> float:
    """lr * factor^(epoch div every): the other mode of MiniSeg's code (0.5 every 100 epochs, so never in 80)."""
    return lr * factor ** (epoch // every)


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
    return recipe.lr
