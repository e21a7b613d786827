"""How large a run of ``40_train_one`` is in each budget: how many cases, and by which recipe."""

from dataclasses import dataclass, replace

from covidseg.errors import unknown_name
from covidseg.experiments.tables import PHANTOM

# Slices with infection in the training part and the scored part of a fold, mean over MiniSeg's five folds.
FOLD_SIZES = {"ct100": (79, 20), "semiseg": (79, 20), "p9": (319, 54), "p20": (1475, 369), "p1110": (628, 157)}


@dataclass(frozen=True)
class Settings:
    """One run. ``recipe`` : name in `covidseg.training`; ``phantom_size`` : side of the phantoms themselves.

    train_cases, val_cases : of phantoms so many are made; of a real set at most so many are used
    """

    recipe: str
    train_cases: int
    val_cases: int
    phantom_size: int


BUDGETS = {
    "smoke": Settings("quick", train_cases=8, val_cases=4, phantom_size=64),
    "lesson": Settings("lesson", train_cases=64, val_cases=32, phantom_size=96),
    "paper": Settings("released", train_cases=80, val_cases=20, phantom_size=512),
}


def settings(budget: str, dataset: str) -> Settings:
    """The settings of a budget; the paper's budget uses every slice of a real set.

    Raises UnknownName for a wrong budget.
    """
    if budget not in BUDGETS:
        raise unknown_name("budget", budget, BUDGETS)
    chosen = BUDGETS[budget]
    if budget == "paper" and dataset != PHANTOM:
        train, val = FOLD_SIZES.get(dataset, (chosen.train_cases, chosen.val_cases))
        chosen = replace(chosen, train_cases=train, val_cases=val)
    return chosen
