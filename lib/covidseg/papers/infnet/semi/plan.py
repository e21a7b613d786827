"""How pseudo labels are made: Algorithm 1 as it was run, a form that is hundreds of times shorter, and their cost.

What `FAST` leaves out, and why labels should not be the worse for it:
- Groups of 80 instead of 5. In the published run two networks that follow each other have learned from sets that
  differ in 5 slices, and no label is ever revised: little is gained by asking 320 of them.
- 150 steps a round instead of nine passes over a set that grows: the first rounds of the published run have 108 steps,
  the last 2,808, nearly all of them on labels the network made itself.
- No fine-tuning after the last round: it labels nothing.
- Every slice is resized once (`HybridBatches`), not again in each of 320 rounds; this changes no number.

Measured on phantoms alone (MiniSeg, 64 pixels, 10 labelled and 50 unlabelled slices, five seeds): Dice of the labels
is 0.484 as run (K = 5, 459 steps) and 0.517 in a fast form (K = 20, 48 steps), better in each seed, by 0.015 to 0.061;
with 144 steps it is 0.496. But labelling all slices at once with the first network, without any fine-tuning, gives
0.550. In that setting the rounds do harm, more with more steps, and the fast form is better because it does less of it.
Whether they help a network with ImageNet's weights on CT, only a run on CT can say.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from covidseg.errors import UserError
from covidseg.papers.infnet.feed import is_soft
from covidseg.papers.infnet.recipes import INFNET_CONSTANT, INFNET_LESSON, INFNET_QUICK
from covidseg.training.recipes import Recipe
from covidseg.training.schedules import Constant

__all__ = ["AS_RUN", "FAST", "LESSON_PLAN", "PLANS", "QUICK_PLAN", "Plan", "rounds_of", "steps_as_run", "steps_of"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One way through Algorithm 1 (Inf-Net, section III-B).

    name : kept with every label, e.g. "as run"
    group : K, slices that get a label in one round
    recipe : of the fine-tuning that closes a round; one of Inf-Net's. Adam starts afresh every time
    steps : optimiser steps of one fine-tuning, drawn from the whole set; None: ``recipe.epochs`` passes over it
    after_last : also fine-tune after the last round, as was done, though no label is made with the outcome
    stretch : a map is stretched until its largest value is 1 (code). Its strongest pixel then is infection, however
        weak it was, also in a slice without any. False keeps the probability as it is
    Raises UserError for a value that cannot be meant.
    """

    name: str
    group: int
    recipe: Recipe
    steps: int | None = None
    after_last: bool = True
    stretch: bool = True

    def __post_init__(self):
        if self.group < 1 or (self.steps is not None and self.steps < 1):
            raise UserError(f"Plan {self.name!r}: group={self.group} and steps={self.steps} must be 1 or more.")
        if not is_soft(self.recipe):
            raise UserError(
                f"Plan {self.name!r}: recipe {self.recipe.name!r} has no soft masks; take one of Inf-Net's."
            )
        if self.steps is not None and self.recipe.epochs != 1:
            raise UserError(f"Plan {self.name!r}: with steps={self.steps} the recipe has one epoch: that many steps.")

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return asdict(self) | {"recipe": self.recipe.to_dict()}


AS_RUN = Plan(
    name="as run",
    group=5,                                    # paper and code: K = 5, so 320 rounds for 1,600 slices
    recipe=replace(
        INFNET_CONSTANT,
        name="infnet_pseudo",
        epochs=9, lr=3e-4, batch=16,            # code: the loop counts 1 to 9; paper: batch 16
                                                # code: its decay begins at epoch 50, so the rate is constant
    ),
    after_last=True, stretch=True,              # code
)  # fmt: skip
FAST = replace(
    AS_RUN,
    name="fast",
    group=80, steps=150,                        # ours: 20 rounds; 50 mini-batches of 16 at three scales in each
    recipe=replace(AS_RUN.recipe, name="infnet_pseudo_fast", epochs=1),
    after_last=False,                           # ours: what it learns there labels nothing
)  # fmt: skip
LESSON_PLAN = replace(
    FAST,
    name="lesson",                              # ours: phantoms, a minute on a CPU
    group=20, steps=24,
    recipe=replace(INFNET_LESSON, name="infnet_pseudo_lesson", epochs=1, lr=3e-4, schedule=Constant()),
)  # fmt: skip
QUICK_PLAN = replace(
    LESSON_PLAN,
    name="quick",
    group=4, steps=4,
    recipe=replace(INFNET_QUICK, name="infnet_pseudo_quick", epochs=1, lr=3e-4, schedule=Constant()),
)  # fmt: skip
PLANS = {plan.name: plan for plan in (AS_RUN, FAST, LESSON_PLAN, QUICK_PLAN)}


def rounds_of(n_unlabelled: int, k: int = 5) -> int:
    """Groups of ``k`` that a pool makes; the last may be smaller.

    >>> rounds_of(1600)
    320
    """
    return -(-n_unlabelled // k)


def steps_of(plan: Plan, n_labelled: int, n_unlabelled: int) -> int:
    """Optimiser steps of a plan.

    >>> steps_of(AS_RUN, 50, 1600), steps_of(FAST, 50, 1600)
    (464400, 2850)
    """
    rounds, recipe = rounds_of(n_unlabelled, plan.group), plan.recipe
    tuned = rounds if plan.after_last else rounds - 1
    if plan.steps is not None:
        return tuned * plan.steps
    sizes = (n_labelled + min(plan.group * (number + 1), n_unlabelled) for number in range(tuned))
    per_pass = (size // recipe.batch if recipe.drop_last else -(-size // recipe.batch) for size in sizes)
    return recipe.epochs * len(recipe.scales) * sum(per_pass)


def steps_as_run(
    n_labelled: int, n_unlabelled: int, k: int = 5, *, epochs: int = 9, batch: int = 16, scales: int = 3
) -> int:
    """Optimiser steps of Algorithm 1 as run: the sum over rounds i of epochs * scales * ceil((labelled + k i) / batch).

    The set that every round passes through grows, so the cost grows with the square of the pool.

    >>> steps_as_run(50, 1600)
    464400
    """
    sizes = (n_labelled + min(k * i, n_unlabelled) for i in range(1, rounds_of(n_unlabelled, k) + 1))
    return epochs * scales * sum(-(-size // batch) for size in sizes)
