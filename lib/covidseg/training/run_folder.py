"""The folder of a run: what is written when, and what a resumed run takes from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from covidseg.errors import UserError
from covidseg.files import alone, write_atomically
from covidseg.provenance import peak_memory_mb, provenance
from covidseg.text import plain
from covidseg.training.checkpoints import fits_model, load_checkpoint, save_checkpoint, training_of
from covidseg.training.devices import Team
from covidseg.training.history import History, curves_csv
from covidseg.training.parts import Batches
from covidseg.training.recipes import Recipe

__all__ = ["RunFolder", "alone_in"]


class Run(Protocol):
    """What the folder asks of a training under way, which is `covidseg.training.loop.Training`."""

    model: nn.Module
    recipe: Recipe
    seed: int
    device: torch.device
    team: Team
    train_set: Any
    val_set: Any
    batches: Batches
    rows: list[dict[str, Any]]
    best: dict[str, Tensor]
    best_is_new: bool

    def best_epoch(self) -> int: ...

    def weights(self) -> dict[str, Tensor]: ...

    def snapshot(self) -> dict[str, Any]: ...

    def restore(self, weights: dict[str, Tensor], snapshot: dict[str, Any]) -> None: ...


class RunFolder:
    """The run folder: last.pt, best.pt, curves.csv, run.json, each whole at every moment."""

    def __init__(self, folder: str | Path, name: str, options: dict, run: Run, settings: dict) -> None:
        self.folder, self.name, self.options, self.run = Path(folder), name, options, run
        self.last, self.best = self.folder / "last.pt", self.folder / "best.pt"
        self.curves, self.record = self.folder / "curves.csv", self.folder / "run.json"
        self.identity: dict[str, Any] = {
            "recipe": run.recipe.to_dict(),
            "seed": run.seed,
            "train_fingerprint": _fingerprint(run.train_set),
            "val_fingerprint": _fingerprint(run.val_set),
        }
        usual = (None, run.recipe.precision)
        self.identity |= {key: value for key, value in settings.items() if value not in usual}
        self.earlier: dict | None = None  # provenance of the part that a resumed run goes on from

    def open(self, resume: bool) -> None:
        """Go on from last.pt, or begin afresh."""
        if resume and self.last.exists():
            self._restore()
        elif self.run.team.leads:
            for path in (self.last, self.best, self.curves):
                path.unlink(missing_ok=True)
        if self.run.team.leads:
            self.begun = {"model": self.name, "options": self.options, **self.identity}
            self.begun |= {"provenance": provenance(self.run.device), "resumed_from": self.earlier}
            self._write_record({"state": "running"})

    def _restore(self) -> None:
        record, run = load_checkpoint(self.last), self.run
        state = training_of(self.last, record)
        self.earlier = state.get("provenance")
        try:
            self._same_run(record)
            if state["iteration"] > run.recipe.epochs * run.batches.steps_per_epoch:
                raise ValueError(f"it counts {state['iteration']} steps, more than the run has")
            run.restore(record["state"], state)
        except UserError:
            raise
        except Exception as error:  # optimiser, scaler and generators each refuse what is not theirs in their own way
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{self.last} is damaged ({reason}). Take another file.") from error
        if run.rows:
            run.best = self._best_state(record["state"], state.get("best"))
            write_atomically(self.curves, lambda file: file.write(curves_csv(run.rows)))

    def _best_state(self, last_state: dict, pending: dict | None) -> dict:
        """What best.pt holds, or should hold, if a kill came between last.pt and best.pt: the last epoch's weights.

        pending : weights of an earlier epoch, which last.pt kept because best.pt did not hold them yet
        """
        epoch = self.run.best_epoch()
        if self.best.exists():
            best = load_checkpoint(self.best)
            row = best["about"].get("row")
            if isinstance(row, dict) and row.get("epoch") == epoch:
                fits_model(self.best, best["state"], self.run.model)
                return best["state"]
        self.run.best_is_new = True
        return pending or last_state

    def _same_run(self, record: dict) -> None:
        way_out = "choose another folder"
        if (record["model"], record["options"]) != (self.name, self.options):
            other = f"{record['model']} {record['options'] or ''}".strip()
            raise UserError(f"{self.last} belongs to another network ({other}): {way_out}.")
        fits_model(self.last, record["state"], self.run.model)
        stored, current = _flat(record["training"]["identity"]), _flat(self.identity)
        for key in dict.fromkeys([*current, *stored]):
            if stored.get(key) != current.get(key):
                raise UserError(
                    f"{self.last} belongs to another run: {key} is {_short(stored.get(key))} there, "
                    f"{_short(current.get(key))} here; {way_out}."
                )

    def save_last(self) -> None:
        run = self.run
        training = {"identity": self.identity, "provenance": self.begun["provenance"]} | run.snapshot()
        self._save(self.last, run.weights(), run.rows[-1] if run.rows else {}, training)
        write_atomically(self.curves, lambda file: file.write(curves_csv(run.rows)))

    def save_best(self) -> None:
        self._save(self.best, self.run.best, self.run.rows[self.run.best_epoch() - 1], None)

    def _save(self, path: Path, state: dict, row: dict, training: dict | None) -> None:
        about: dict[str, Any] = {
            "label": f"{self.name}, recipe {self.run.recipe.name}, epoch {row.get('epoch', 0)}",
            "row": row,
        }
        about |= {"data": getattr(self.run.train_set, "name", None), "fold": getattr(self.run.train_set, "fold", None)}
        save_checkpoint(
            path,
            model=self.name,
            options=self.options,
            preprocessing=self.run.batches.preprocessing.to_dict(),
            state=state,
            about=about,
            training=training,
        )

    def close(self, history: History) -> None:
        rules = {rule: history.row(rule) for rule in ("best", "last")}
        cost = {
            "seconds": sum(row["seconds"] for row in history.rows),
            "peak_memory_mb": peak_memory_mb(self.run.device),
        }
        self._write_record({"state": history.stopped, "selections": rules, "cost": cost})

    def _write_record(self, more: dict) -> None:
        text = json.dumps(plain(self.begun | more), indent=1, allow_nan=False) + "\n"
        write_atomically(self.record, lambda file: file.write(text.encode()))


@contextmanager
def alone_in(files: RunFolder | None) -> Iterator[None]:
    """Hold the run's folder for the block: two trainings in one would take turns at overwriting the other's weights.

    Raises UserError where another training of this machine is at it; a killed one holds nothing.
    """
    if files is None or not files.run.team.leads:
        yield
        return
    # by its place: a folder that was renamed under a training that still lives is another training's now
    place = sha256(str(files.folder.resolve()).encode()).hexdigest()[:8]
    busy = f"Another training is writing into {files.folder}: give this one another folder."
    with alone(files.folder / f".training-{place}.lock", busy):
        try:
            yield
        finally:
            for left in files.folder.glob(".training-*.lock"):
                with suppress(OSError):
                    left.unlink()


def _fingerprint(cases: Any) -> str | None:
    return cases.fingerprint() if hasattr(cases, "fingerprint") else None


def _flat(values: dict, prefix: str = "") -> dict:
    """Nested dicts as one, the names joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _short(value: object) -> str:
    return f"{value[:8]}..." if isinstance(value, str) and len(value) > 20 else repr(value)
