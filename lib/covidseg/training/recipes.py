"""Recipes: everything that decides what a network learns, as frozen data; each line says who chose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from covidseg.data.transforms import LUNG, MINISEG_SCALES, Scale, Window
from covidseg.errors import UserError, unknown_name

__all__ = [
    "INFNET_CONSTANT",
    "INFNET_LESSON",
    "INFNET_PAPER",
    "INFNET_QUICK",
    "INFNET_RELEASED",
    "INFNET_SHORT",
    "INFNET_SHORT_DECAYED",
    "LESSON",
    "MINISEG",
    "MINISEG_PAPER",
    "MINISEG_RELEASED",
    "PHANTOM",
    "QUICK",
    "RECIPES",
    "SHORT",
    "Recipe",
    "at_side",
    "multi_scale",
    "recipe",
]

CHOICES = {
    "optimizer": ("adam", "adamw", "sgd"),
    "schedule": ("poly", "step", "compounding", "constant"),
    "loss": ("miniseg", "infnet", "infnet_plain_bce"),
    "order": ("pass", "batch"),
    "statistics": ("fold", "imagenet", "neutral"),
    "target": ("infection", "classes"),
    "augment": ("miniseg", "wide", "none"),
}
# Settings that only Inf-Net's recipes use. Where they say nothing, to_dict leaves them out: a record of MiniSeg reads
# as it did before there were any, so old and new runs of one recipe compare.
INFNET_SETTINGS = ("loss", "order", "base_side", "clamp", "momentum")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained. What changes speed but not the result (device, precision...) is no part of it.

    optimizer : "adam" (L2 is added to the gradient), "adamw" (decoupled) or "sgd" with ``momentum``
    schedule : "poly", lr * (1 - it / T)^power for every iteration; "step", lr * step_factor^(epoch // step_epochs);
        "compounding", Inf-Net's code: at the start of every epoch the rate of the one before is multiplied by
        step_factor^(epoch // step_epochs), epochs counted from 1; "constant"
    loss : "miniseg", class-weighted cross-entropy on class numbers; "infnet", weighted BCE + weighted IoU on soft
        masks, and BCE on their edges; "infnet_plain_bce", the same with the plain BCE that Inf-Net's code computes
    scales : one epoch is one pass over the cases for each; a Scale is (side in pixels, largest crop margin)
    order : "pass", the scales one after the other, each a pass over all cases; "batch", every mini-batch at all scales
        before the next. base_side : slices are resized to it first and once, then to the scales; None: not at all
    clamp : every element of the gradient is cut to -clamp..clamp; None leaves it
    batch : cases per optimiser step; drop_last : leave the incomplete batch at the end of a pass out
    augment : "miniseg" (symmetric crop, upside down), "wide" (zoom, tilt, mirror, greys; see `augment_wide`) or "none"
    statistics : mean and std of the input from the training "fold", of "imagenet", or "neutral" (0.5, 0.25)
    window : of HU images; antialias : blur before shrinking, which small networks need on large slices
    target : "infection" (0/1) or "classes" (0..3)
    class_weights : weigh classes by 1 / ln(1.10 + p_c); aux_weights : deep supervision, main output first
    val_size : side at which the validation fold is scored
    patience : stop after so many epochs without a better validation mIoU; None trains to the end
    Raises UserError for a value that cannot be meant.
    """

    name: str
    lr: float
    epochs: int
    batch: int
    scales: tuple[Scale, ...]
    weight_decay: float = 0.0
    optimizer: str = "adam"
    schedule: str = "poly"
    loss: str = "miniseg"
    order: str = "pass"
    base_side: int | None = None
    clamp: float | None = None
    momentum: float = 0.9
    power: float = 0.9
    step_epochs: int = 100
    step_factor: float = 0.5
    augment: str = "miniseg"
    drop_last: bool = True
    statistics: str = "fold"
    window: Window = LUNG
    antialias: bool = False
    target: str = "infection"
    class_weights: bool = True
    aux_weights: tuple[float, ...] = (1.0, 0.4, 0.4, 0.4)
    val_size: int = 512
    patience: int | None = None

    def __post_init__(self):
        scales = tuple(Scale(*(int(v) for v in scale)) for scale in self.scales)  # JSON gives lists
        object.__setattr__(self, "scales", scales)
        object.__setattr__(self, "window", Window(*(float(v) for v in self.window)))
        object.__setattr__(self, "aux_weights", tuple(float(w) for w in self.aux_weights))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise unknown_name(f"{name} of a recipe", getattr(self, name), allowed)
        for name in ("lr", "epochs", "batch", "val_size"):
            self._refuse(name, not getattr(self, name) > 0, "must be above 0")
        self._refuse("weight_decay", not self.weight_decay >= 0, "must not be negative")
        self._refuse("patience", self.patience is not None and self.patience < 1, "must be 1 or more, or None")
        self._refuse("scales", not scales, "holds no pass: an epoch would be empty")
        too_far = any(side < 1 or bound < 0 or 2 * bound >= side for side, bound in scales)
        self._refuse("clamp", self.clamp is not None and not self.clamp > 0, "must be above 0, or None")
        self._refuse("base_side", self.soft and not (self.base_side or 0) > 0, "must be the side Inf-Net resizes to")
        self._refuse("base_side", not self.soft and self.base_side is not None, "belongs to Inf-Net's losses alone")
        unfit = self.soft and (self.augment, self.target) != ("none", "infection")
        self._refuse("loss", unfit, 'knows no augmentation and no classes: augment="none", target="infection"')
        self._refuse("scales", too_far, "crops more than there is: margins must stay below half the side")

    def _refuse(self, name: str, wrong: bool, why: str) -> None:
        if wrong:
            raise UserError(f"Recipe {self.name!r}: {name}={getattr(self, name)!r} {why}.")

    @property
    def soft(self) -> bool:
        """Whether the targets are soft masks with their edges (Inf-Net) instead of class numbers."""
        return self.loss != "miniseg"

    @property
    def num_classes(self) -> int:
        """Classes of the target, the background included."""
        return 2 if self.target == "infection" else 4

    def to_dict(self) -> dict:
        """Plain numbers and lists, ready for JSON and for a weights-only checkpoint."""
        plain = asdict(self) | {"scales": [list(scale) for scale in self.scales]}
        plain |= {"aux_weights": list(self.aux_weights), "window": list(self.window)}
        silent = [f.name for f in fields(self) if f.name in INFNET_SETTINGS and plain[f.name] == f.default]
        return {name: value for name, value in plain.items() if name not in silent}

    @classmethod
    def from_dict(cls, values: Mapping) -> Recipe:
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise unknown_name("setting of a recipe", name, known)
        return cls(**values)


MINISEG_RELEASED = Recipe(
    name="released",
    optimizer="adam", lr=1e-3, weight_decay=1e-4,  # paper and code; the decay is coupled L2, on every parameter
    epochs=80, batch=5,                            # paper and code
    schedule="poly", power=0.9,                    # paper; code: per iteration, not per epoch
    scales=MINISEG_SCALES,                         # code: four passes an epoch, so 320 in all; the paper is silent
    augment="miniseg",                             # paper "standard cropping and random flipping"; details: code
    drop_last=True,                                # code
    statistics="fold",                             # code
    class_weights=True,                            # code; the paper is silent
    aux_weights=(1.0, 0.4, 0.4, 0.4),              # code; the paper gives no weights
    val_size=512,                                  # paper and code
)  # fmt: skip
MINISEG_PAPER = replace(
    MINISEG_RELEASED,
    name="paper",
    scales=(Scale(512, 16),),                      # the text read plainly: one pass of 512 px is an epoch
)  # fmt: skip
MINISEG = MINISEG_RELEASED
SHORT = replace(
    MINISEG_RELEASED,
    name="short",
    scales=(Scale(256, 8),), val_size=256,         # ours: one pass at half the side, for a CPU
)  # fmt: skip
LESSON = replace(
    MINISEG_PAPER,
    name="lesson",
    lr=6e-3, epochs=28, batch=8,                   # ours: 224 steps on 64 phantoms must do
    scales=(Scale(96, 3),), val_size=96,           # ours: two minutes on two CPU cores; 3 of 96 is about 16 of 512
)  # fmt: skip
QUICK = replace(
    LESSON,
    name="quick",
    epochs=2, batch=4, scales=(Scale(64, 2),), val_size=64,  # ours, for tests and for the smoke budget: seconds
)  # fmt: skip

PHANTOM = replace(
    MINISEG_PAPER,
    name="phantom",                                # ours: learns on phantoms, is used on patients
    lr=3e-3, epochs=6, batch=8,                    # ours: 450 steps on 600 phantoms of 256 px
    scales=(Scale(128, 0),), val_size=128,         # ours: a phantom has no detail below two millimetres worth learning
    augment="wide",                                # ours: what phantoms lack in variety, zoom and greys must supply
    window=Window(-400, 1400), antialias=True,     # ours: about the greys in which CT100 is published
)  # fmt: skip


def multi_scale(base: int, factors: tuple[float, ...] = (0.75, 1, 1.25)) -> tuple[Scale, ...]:
    """Inf-Net's scales around a base side, rounded to multiples of 32 (code), without any crop.

    >>> [scale.side for scale in multi_scale(352)]
    [256, 352, 448]
    """
    return tuple(Scale(round(base * factor / 32) * 32, 0) for factor in factors)


INFNET_RELEASED = Recipe(
    name="infnet_released",
    optimizer="adam", lr=1e-4, weight_decay=0.0,   # paper and code
    epochs=99, batch=24,                           # code: epochs 1 to 99, the snapshot "100" is the 99th; paper 100, 16
    schedule="compounding",                        # code; the paper has a constant rate. It is 1e-7 at epoch 52
    step_epochs=50, step_factor=0.1,               # code
    loss="infnet_plain_bce",                       # code: the weights of the BCE cancel; the paper weighs it
    base_side=352, scales=multi_scale(352),        # paper, "Semi-supervised Inf-Net", and code
    order="batch",                                 # code
    clamp=0.5,                                     # code; the paper is silent
    augment="none", drop_last=False,               # code
    statistics="imagenet", antialias=True,         # code: PIL's resize
    class_weights=False, aux_weights=(1.0,) * 5,   # paper and code: every map weighs 1
    val_size=352,                                  # paper and code, where they test
)  # fmt: skip
INFNET_PAPER = replace(
    INFNET_RELEASED,
    name="infnet_paper",
    epochs=100, batch=16, schedule="constant",     # paper, "Training Settings"
    loss="infnet",                                 # paper, Eqn 4 and the text below it
)  # fmt: skip
INFNET_CONSTANT = replace(
    INFNET_RELEASED,
    name="infnet_constant",
    schedule="constant",                           # ours: what the vanishing rate alone changes
)  # fmt: skip
INFNET_SHORT = replace(
    INFNET_CONSTANT,
    name="infnet_short",                           # ours: real slices on a CPU
    lr=5e-4, epochs=20, batch=8,                   # ours: from first weights of chance, not from ImageNet's
    schedule="poly",                               # ours: a short training should end on a small rate
    base_side=192, scales=(Scale(192, 0),), val_size=192,  # ours: one scale, half the side
)  # fmt: skip
INFNET_SHORT_DECAYED = replace(
    INFNET_SHORT,
    name="infnet_short_decayed",
    schedule="compounding", step_epochs=10,        # ours: the published fall of the rate, at half of this training, too
)  # fmt: skip
INFNET_LESSON = replace(
    INFNET_SHORT,
    name="infnet_lesson",
    lr=2e-3, epochs=8,                             # ours: a minute on one CPU core
    base_side=96, scales=(Scale(96, 0),), val_size=96,
)  # fmt: skip
INFNET_QUICK = replace(
    INFNET_LESSON,
    name="infnet_quick",
    epochs=2, batch=4, base_side=64, scales=multi_scale(64, (1, 1.5)), val_size=64,  # ours, for tests: seconds
)  # fmt: skip

RECIPES = {
    r.name: r
    for r in (
        MINISEG_RELEASED, MINISEG_PAPER, SHORT, LESSON, PHANTOM, QUICK,
        INFNET_RELEASED, INFNET_PAPER, INFNET_CONSTANT, INFNET_SHORT, INFNET_SHORT_DECAYED,
        INFNET_LESSON, INFNET_QUICK,
    )
}  # fmt: skip


def at_side(recipe: Recipe, side: int) -> Recipe:
    """The recipe at one other scale, for training and for scoring."""
    if recipe.soft:
        return replace(recipe, base_side=side, scales=(Scale(side, 0),), val_size=side)
    return replace(recipe, scales=(Scale(side, side // 32),), val_size=side)


def recipe(name: str, **changes) -> Recipe:
    """The recipe of that name with some settings changed. Raises UnknownName for a wrong name or setting.

    >>> recipe("quick", epochs=3).epochs
    3
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return Recipe.from_dict({field.name: getattr(RECIPES[name], field.name) for field in fields(Recipe)} | changes)
