"""A run without its notebook, for a machine with torch, numpy and scipy and nothing else: a lent GPU above all."""

from pathlib import Path
from time import perf_counter

from covidseg.repeatable import set_seed, set_threads
from covidseg.runs.record import SELECTIONS, save_record
from covidseg.runs.trial import Trial, trial


def trial_of(parameters: dict) -> Trial:
    return trial(**{name: value for name, value in parameters.items() if name != "device"})


def train(parameters: dict, folder: Path) -> dict:
    """The steps of 40_train_one: train, score under both choices of the epoch, save ``result.json``.

    Training goes on from a checkpoint in the folder. Returns the results that the notebook would show.
    """
    set_threads(1)  # as `covidseg.lesson.start` does
    set_seed(parameters["seed"])
    todo = trial_of(parameters)
    network = todo.network()
    train_set, scored = todo.data()
    history = todo.learn(network, train_set, scored, device=parameters["device"], out=folder)
    begin = perf_counter()
    selections = {rule: todo.score(network, history, scored, rule) for rule in SELECTIONS}
    record = todo.record(network, history, train_set, scored, selections, begin)
    results = {
        f"{word} ({rule})": selections[rule]["scores"][protocol][name]
        for word, (protocol, name) in todo.task.headlines.items()
        for rule in SELECTIONS
    }
    save_record(record, folder / "result.json", results=results)
    return results
