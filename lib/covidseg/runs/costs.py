"""What a run would cost: from measured runs, else from multiply-accumulates; which of the two is always said."""

from dataclasses import dataclass
from functools import cache
from statistics import mean

from covidseg.runs.networks import SEMI, family, is_guided, is_semi, variant_options
from covidseg.runs.settings import ALL_PSEUDO, GUIDES, PSEUDO, settings

# Multiply-accumulates per second of training on one CPU thread (EPYC with AVX-512, CPU time). MiniSeg's depthwise
# convolutions wait for memory: 4.6e9 at 256 x 256, but 0.8e9 at 96 x 96 with the phantoms made on the way, where its
# many small operations cost more than their arithmetic; so the estimate lies between. Inf-Net's compute: 28e9 at 96.
# A GPU has no such number: there small networks wait for memory, so measure one run.
CPU_RATES = {"miniseg": 1.5e9, "infnet": 28e9, "labelling": 28e9}
BACKWARD = 3  # a training step costs about three forward passes


@dataclass(frozen=True)
class Cost:
    """Seconds, None where nobody knows; and where the number comes from."""

    seconds: float | None
    basis: str


def estimate(run: dict, records: list[dict]) -> Cost:
    """The cost of one run of ``40_train_one``, given as its parameters.

    Measured: the mean of the same network's runs on the same data, budget and device. Else scaled: runs of networks
    of its family there, by multiply-accumulates. Else estimated: MACs x slices x epochs x 3, on a CPU only.
    """
    device = run.get("device", "cpu")
    if any(run.get(name) for name in ("epochs", "recipe", "size")):  # a standard run's record tells nothing of another
        records = []
    kin = family(run["model"], run["variant"])
    near = [r for r in records if _where(r) == (run["dataset"], run["budget"], device) and not r["changed"]]
    near = [r for r in near if family(r["model"], r["variant"]) == kin]
    same = [r["cost"]["seconds"] for r in near if (r["model"], r["variant"]) == (run["model"], run["variant"])]
    if same:
        return Cost(mean(same), f"measured on {_count(len(same), 'run')}")
    macs = _macs(run["model"], run["variant"])
    if near:
        rate = mean(r["cost"]["seconds"] / r["macs"] for r in near)
        return Cost(rate * macs, f"scaled by MACs from {_count(len(near), 'measured run')} of other networks")
    if device != "cpu":
        return Cost(None, f"unknown: no run on {device} has been measured yet")
    seconds = macs * _passes(run) / CPU_RATES[kin]
    if is_guided(run["model"], run["variant"]):
        seconds += estimate(_guide_of(run), []).seconds
    return Cost(seconds, "estimated from MACs x slices, one CPU thread")


def _guide_of(run: dict) -> dict:
    how = run.get("recipe") or settings(run["budget"], run["dataset"], run["fold"], run["model"], run["variant"]).recipe
    return run | {"model": "infnet", "variant": SEMI, "recipe": GUIDES.get(how, "infnet_released"), "epochs": None}


def total(costs: list[Cost]) -> Cost:
    """The sum; its basis is the least certain of all."""
    if any(cost.seconds is None for cost in costs):
        return Cost(None, "unknown for some runs")
    seconds = sum(cost.seconds for cost in costs)
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


@cache
def _macs(model: str, variant: str) -> int:
    """At 512 x 512, as records hold them."""
    from covidseg.nn import create_model
    from covidseg.profiling import profile_model

    options = variant_options(model, variant)
    return profile_model(create_model(model, **options), (options.get("in_channels", 3), 512, 512)).macs


def _passes(run: dict) -> float:
    """How many forward passes of one 512 x 512 slice a run amounts to."""
    from covidseg.runs.trial import recipe_for
    from covidseg.training import at_side

    chosen = settings(run["budget"], run["dataset"], run["fold"], run["model"], run["variant"])
    how = recipe_for(run.get("recipe") or chosen.recipe, run["model"], run["variant"])
    how = at_side(how, run["size"]) if run.get("size") else how
    one_pass = BACKWARD * sum((scale.side / 512) ** 2 for scale in how.scales)  # of one slice
    scoring = chosen.val_cases * (how.val_size / 512) ** 2
    passes = (run.get("epochs") or how.epochs) * (chosen.train_cases * one_pass + scoring)
    if is_semi(run["model"], run["variant"]):
        first = PSEUDO.get(how.name, ALL_PSEUDO)
        passes += first.labels * first.epochs * one_pass
    return passes


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
