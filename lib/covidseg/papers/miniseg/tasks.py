"""What MiniSeg's runs, its ablations' and its rivals' learn: infection or not, scored as the authors do and by ours."""

from covidseg.paper import Budget
from covidseg.training.task import Task

__all__ = ["Infection"]


class Infection(Task):
    """Budgets of MiniSeg's Tables 2 to 4 and 6.

    A CPU thread trains MiniSeg at 4.6e9 multiply-accumulates a second at 256 x 256, but at 0.8e9 at 96 x 96 with the
    phantoms made on the way: its depthwise convolutions wait for memory, its many small operations cost more than their
    arithmetic. The estimate lies between (EPYC with AVX-512).
    """

    budgets = {
        "smoke": Budget("quick", train_cases=8, val_cases=4, phantom_size=64),
        "lesson": Budget("lesson", train_cases=64, val_cases=32, phantom_size=96),
        "paper": Budget("released", train_cases=80, val_cases=20, phantom_size=512),
    }
    protocols = {"clean": {}, "miniseg": {"empty_truth": "count"}}  # a lesion of a few pixels may vanish when resized
    headlines = {"mIoU": ("miniseg", "mIoU"), "DSC": ("miniseg", "DSC")}
    macs_per_second = 1.5e9
