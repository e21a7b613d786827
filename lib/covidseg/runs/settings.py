"""How large a run of ``40_train_one`` is in each budget: how many cases, and by which recipe."""

from dataclasses import dataclass, replace

from covidseg.data.datasets import PHANTOM
from covidseg.errors import UserError, unknown_name
from covidseg.runs.networks import family

# Slices with infection in the training part and the scored part of a fold, mean over MiniSeg's five folds.
FOLD_SIZES = {"ct100": (79, 20), "semiseg": (79, 20), "p9": (319, 54), "p20": (1475, 369), "p1110": (628, 157)}
OWN_SPLIT = {"semiseg": (50, 48), PHANTOM: None}  # sets with a train and a test part of their own; phantoms: any size


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
    "miniseg": {
        "smoke": Settings("quick", train_cases=8, val_cases=4, phantom_size=64),
        "lesson": Settings("lesson", train_cases=64, val_cases=32, phantom_size=96),
        "paper": Settings("released", train_cases=80, val_cases=20, phantom_size=512),
    },
    "infnet": {
        "smoke": Settings("infnet_quick", train_cases=8, val_cases=4, phantom_size=64),
        "lesson": Settings("infnet_lesson", train_cases=64, val_cases=32, phantom_size=96),
        "paper": Settings("infnet_released", train_cases=50, val_cases=48, phantom_size=352),
    },
    "labelling": {
        "smoke": Settings("multiclass_quick", train_cases=8, val_cases=4, phantom_size=64),
        "lesson": Settings("multiclass_lesson", train_cases=64, val_cases=32, phantom_size=96),
        "paper": Settings("multiclass_released", train_cases=50, val_cases=48, phantom_size=352),
    },
}
WITH_KINDS = ("semiseg", PHANTOM)  # sets that tell ground glass from consolidation
WITH_POOL = ("semiseg", PHANTOM)  # sets with slices that nobody labelled


@dataclass(frozen=True)
class Pseudo:
    """The first step of Semi-Inf-Net: so many pseudo labels, so many epochs. On phantoms they are made by ``plan``."""

    labels: int
    epochs: int
    plan: str


PSEUDO = {  # by the recipe of the second step
    "infnet_quick": Pseudo(8, 1, "quick"),
    "infnet_lesson": Pseudo(64, 4, "lesson"),
    "infnet_short": Pseudo(400, 4, "lesson"),  # ours: eight for each of the doctors' 50, for a CPU
    "infnet_short_decayed": Pseudo(400, 4, "lesson"),
}
ALL_PSEUDO = Pseudo(1600, 99, "fast")  # code: every label, as many epochs as the second step
GUIDES = {  # recipe of a guided labelling -> of the network that guides it
    "multiclass_quick": "infnet_quick",
    "multiclass_lesson": "infnet_lesson",
    "multiclass_short": "infnet_short",
}


def settings(budget: str, dataset: str, fold: int = 1, model: str = "miniseg", variant: str = "") -> Settings:
    """The settings of a budget for a network's family; the paper's budget uses every slice of a real set.

    Raises UnknownName for a wrong budget, and UserError for a fold the set does not have (`parts`).
    """
    parts(dataset, fold)
    budgets = BUDGETS[family(model, variant)]
    if budget not in budgets:
        raise unknown_name("budget", budget, budgets)
    chosen = budgets[budget]
    if budget == "paper" and dataset != PHANTOM:
        sizes = OWN_SPLIT[dataset] if fold == 0 else FOLD_SIZES.get(dataset)
        train, val = sizes or (chosen.train_cases, chosen.val_cases)
        chosen = replace(chosen, train_cases=train, val_cases=val)
    return chosen


def parts(dataset: str, fold: int) -> tuple[str, str]:
    """Names of the splits that train and that are scored: of a fold 1..5, or for 0 the set's own train and test part.

    Raises UserError for a set that has no such part.
    """
    if fold:
        return "train", "val"
    if dataset not in OWN_SPLIT:
        raise UserError(f"fold=0 is a set's own train and test part, which {dataset} does not have: give 1 to 5.")
    return "train", "test"
