"""What a run would cost: from measured runs, else from multiply-accumulates; which of the two is always said."""

from dataclasses import dataclass, replace
from functools import cache
from statistics import mean

from covidseg import papers
from covidseg.data.datasets import volumes_here

PLACE = ("model", "variant", "dataset", "fold", "seed", "budget")
CHANGES = ("recipe", "epochs", "size", "backbone_weights")
# Seconds beside the training, which alone a record's cost counts. Measured on one thread:
START = 8.0  # imports, the network, the cases, the notebook's kernel
BF16 = 0.4  # of float32's seconds, on a processor that has instructions for it
SCORING = 0.3  # a slice of 512 x 512 by every protocol, under both rules to choose an epoch


@dataclass(frozen=True)
class Cost:
    """Seconds, None where nobody knows; and where the number comes from."""

    seconds: float | None
    basis: str


def estimate(run: dict, records: list[dict]) -> Cost:
    """The cost of one run of ``40_train_one``, given as its parameters: training, and what comes before and after.

    Measured: the mean of the same network's runs on the same data, budget and device, with the same changes of recipe
    and length. Else scaled: such runs of the same task, by multiply-accumulates. Else estimated: MACs x slices x epochs
    x 3, on a CPU only, for a GPU has no such number: there small networks wait for memory.
    """
    from covidseg.runs.trial import trial  # torch, which a table does without

    device = run.get("device", "cpu")
    changes = {name: run[name] for name in CHANGES if run.get(name)}
    asked = trial(*(run[name] for name in PLACE), **changes)
    known = _from_records(run, asked.changed, records, device)
    if not known and device != "cpu":
        return Cost(None, f"unknown: no run on {device} has been measured yet")
    here, whole = volumes_here(run["dataset"]) or (1, 1)
    area = (asked.data_options.get("size", 512) / 512) ** 2
    around = START + SCORING * asked.sizes.val_cases * here / whole * area
    if known:
        return replace(known, seconds=known.seconds + around)
    seconds = asked.task.effort() / asked.task.macs_per_second * here / whole
    seconds *= BF16 if asked.recipe.precision == "bf16" else 1
    part = "" if here == whole else f", {here} of {whole} volumes"
    return Cost(seconds + around, f"estimated from MACs x slices{part}, one CPU thread")


def _from_records(run: dict, changed: dict, records: list[dict], device: str) -> Cost | None:
    """The cost by what was measured on the same data, in the same budget, on the same device; None if nothing was.

    A standard run tells nothing of one with another recipe or length, so ``changed`` must be equal.
    """
    place = run["dataset"], run["budget"], device
    near = [r for r in records if _where(r) == place and r["changed"] == changed and _task(r) == _task(run)]
    same = [r["cost"]["seconds"] for r in near if (r["model"], r["variant"]) == (run["model"], run["variant"])]
    if same:
        return Cost(mean(same), f"measured on {_count(len(same), 'run')}")
    if not near:
        return None
    rate = mean(r["cost"]["seconds"] / r["macs"] for r in near)
    macs = _macs(run["model"], run["variant"])
    return Cost(rate * macs, f"scaled by MACs from {_count(len(near), 'measured run')} of other networks")


def total(costs: list[Cost]) -> Cost:
    """The sum; its basis is the least certain of all."""
    known = [cost.seconds for cost in costs if cost.seconds is not None]
    if len(known) < len(costs):
        return Cost(None, "unknown for some runs")
    seconds = sum(known)
    words = {cost.basis.split()[0] for cost in costs}  # measured, scaled, estimated
    if len(words) > 1:
        return Cost(seconds, f"in part {min(words & {'estimated', 'scaled'})}")
    return Cost(seconds, costs[0].basis if costs else "nothing to do")


def in_time(seconds: float | None) -> str:
    """Seconds in words.

    >>> in_time(8.2), in_time(95), in_time(7300), in_time(None)
    ('8 s', '2 min', '2.0 h', 'unknown')
    """
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _where(record: dict) -> tuple:
    return record["data"]["name"], record["budget"], record["cost"]["device"]


def _task(run: dict) -> tuple[str, str] | None:
    """Which paper's task a run, or a record, is; None for a row that is no more."""
    try:
        paper, row = papers.find_row(run["model"], run["variant"])
    except LookupError:
        return None
    return paper.name, row.task


@cache
def _macs(model: str, variant: str) -> int:
    """Of the counted input, as records hold them."""
    from covidseg.runs.trial import counted

    paper, row = papers.find_row(model, variant)
    return counted(row, paper.tasks[row.task]).macs


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
