"""A whole run on phantoms, from first to last step, as small as it can be; each is done once in a session."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from covidseg.data import CaseDataset
from covidseg.metrics import Scores
from covidseg.runs.record import SELECTIONS
from covidseg.runs.trial import Trial, trial
from covidseg.training.history import History

TINY = {"size": 32, "epochs": 1}


@dataclass(frozen=True)
class Done:
    """A finished run: where it lies, what it learned from, how it scored."""

    run: Trial
    folder: Path
    scored: CaseDataset
    network: nn.Module
    history: History
    scores: dict[str, Scores]  # of the last epoch, by protocol
    record: dict


def do(model: str, variant: str, dataset: str, folder: Path) -> Done:
    run = trial(model, variant, dataset, 0, 0, "smoke", **TINY)
    network, (train_set, scored) = run.network(), run.data()
    history = run.learn(network, train_set, scored, device="cpu", out=folder)
    selections = {rule: run.score(network, history, scored, rule) for rule in SELECTIONS}
    record = run.record(network, history, train_set, scored, selections, 0.0)
    return Done(run, folder, scored, network, history, selections["last"]["scores"], record)
