"""The training loop: `train` on one page, its parts below in the order in which they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from covidseg.data.case import Case
from covidseg.errors import UserError
from covidseg.files import make_folder
from covidseg.nn.layers import input_channels
from covidseg.progress import progress
from covidseg.training.checkpoints import keep_randomness, random_state, set_random_state
from covidseg.training.devices import Precision, Team, as_user_error, join_team, memory_format
from covidseg.training.history import History, best_epoch
from covidseg.training.interrupt import Interrupt
from covidseg.training.optimizers import optimizer_for
from covidseg.training.parts import Batches, Loss, Step, Validation
from covidseg.training.recipes import Recipe
from covidseg.training.run_folder import RunFolder

__all__ = ["Training", "train"]

LOOK_EVERY = 20  # steps between two looks at the loss on a GPU: each look waits for it
# seconds; checkpoints that take longer (33 million parameters make 380 MB) are not written after every epoch
SLOW_SAVE = 0.5
SAVE_SHARE = 0.1  # but as often as they take this share of the time


def train(
    model: nn.Module,
    train_set: Sequence[Case] | Batches,
    val_set: Sequence[Case] | None,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str | torch.device = "auto",
    out: str | Path | None = None,
    resume: bool = True,
    name: str | None = None,
    options: dict | None = None,
    loss: Loss | None = None,
    validation: Validation | None = None,
    precision: str | None = None,
    compile: bool = False,
    micro_batch: int | None = None,
    checkpoint_every: int = 100,
    report: Callable[[dict], None] | None = None,
) -> History:
    """Train ``model`` in place by a recipe; it ends with the last epoch's weights, in eval mode, on ``device``.

    train_set, val_set : cases; slices, or volumes of which the infected slices are taken. train_set may also be
        `Batches`, as a `Feed` makes them
    seed : order, augmentation, dropout. The first weights are the caller's: seed before building the model
    out : folder for last.pt (goes on from here), best.pt, curves.csv and run.json; None keeps all in memory
    resume : go on from out/last.pt if it is there; on a CPU the run then ends with the same bits as if never stopped
    name, options : how `create_model` built the model, so that the checkpoints can be loaded by themselves
    loss : function (outputs, targets) -> scalar; by default the recipe's objective
    validation : function (model in eval mode) -> {"val_miou": ...} instead of the standard one
    precision : "float32", "bf16", "fp16"; else the recipe's. compile : torch.compile (minutes before the first step)
    micro_batch : at most so many slices at a time; their gradients add up to the batch's. BatchNorm sees the pieces
    report : called with the row of every finished epoch

    Started by ``torchrun``, the processes share every batch. Ctrl-C finishes the step, saves, and raises
    KeyboardInterrupt. Raises UserError, one line, for a setting that cannot be, a folder of another run, a loss that
    is not finite, and memory that does not suffice.
    """
    team, device = join_team(device)
    _at_least_one(micro_batch=micro_batch, checkpoint_every=checkpoint_every)
    settings = {"precision": precision, "micro_batch": micro_batch}
    numbers = Precision(precision or recipe.precision, device)
    if out:
        make_folder(out)  # before the cases are read: a folder that cannot be made is named at once
    with as_user_error(device, lambda: "the cases in memory"):
        run = Training(model, train_set, val_set, recipe, seed, device, team, loss, validation)
    run.files = RunFolder(out, name or type(model).__name__, options or {}, run, settings) if out else None
    with keep_randomness(seed, device), as_user_error(device, run.doing), Interrupt() as interrupt:
        if run.files:
            run.files.open(resume)
        run.prepare(numbers, compile, micro_batch)
        for step in progress(run.steps_left(), f"Training {name or 'the network'}", total=run.count_left()):
            run.learn(step)
            if run.iteration % run.batches.steps_per_epoch == 0:
                row = run.close_epoch()
                if run.due() or interrupt.came:
                    run.save()
                if report and team.leads:
                    report(row)
            elif interrupt.came or run.iteration % checkpoint_every == 0:
                run.save()
            interrupt.obey()
    return run.finish()


class Training:
    """A training under way: what changes from step to step, and the steps."""

    def __init__(
        self,
        model: nn.Module,
        train_set: Sequence[Case] | Batches,
        val_set: Sequence[Case] | None,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        team: Team,
        loss: Loss | None,
        validation: Validation | None,
    ) -> None:
        self.model, self.recipe, self.seed, self.device, self.team = model.to(device), recipe, seed, device, team
        self.train_set, self.val_set = train_set, val_set
        if hasattr(train_set, "plan"):
            self.batches = cast(Batches, train_set)
        else:
            self.batches = recipe.feed.batches(train_set, recipe, seed, input_channels(model), device)
        self.loss = loss or recipe.objective.loss(model, self.batches, recipe, device)
        self.validation = validation or self._standard_validation(val_set)
        self.optimizer = optimizer_for(model, recipe)
        self.format = memory_format(device, model)
        self.files: RunFolder | None = None
        self.scaler_state: dict[str, Any] | None = None  # of a resumed run, until `prepare`
        self.doing_now: Step | None = None
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}  # empty before the first epoch
        self.iteration, self.loss_sum = 0, torch.zeros((), device=device)
        self.best_is_new, self.seconds, self.clock = False, 0.0, perf_counter()
        self.saved_at, self.saving = self.clock, 0.0  # when the last checkpoint was written, and how long it took

    def prepare(self, precision: Precision, compile: bool, micro_batch: int | None) -> None:
        """The network as the steps call it. After a resume, for the wrapped copies share the loaded weights."""
        self.autocast, self.micro_batch = precision.autocast, micro_batch
        self.scaler = precision.scaler
        if self.scaler_state:
            self.scaler.load_state_dict(self.scaler_state)
        self.model.to(memory_format=self.format)  # type: ignore[call-overload]  # torch's types leave this out
        self.team_model = self.team.wrap(self.model, self.device)
        self.net = cast(nn.Module, torch.compile(self.team_model)) if compile else self.team_model
        self.clock = perf_counter()

    def steps_left(self) -> Iterator[Step]:
        """Every step from here to the end of the last epoch, or to the epoch in which patience runs out."""
        epoch, done = divmod(self.iteration, self.batches.steps_per_epoch)
        while epoch < self.recipe.epochs and not self.out_of_patience():
            yield from islice(self.batches.plan(epoch), done, None)
            epoch, done = epoch + 1, 0

    def count_left(self) -> int:
        return self.recipe.epochs * self.batches.steps_per_epoch - self.iteration

    def out_of_patience(self) -> bool:
        patience = self.recipe.patience
        return patience is not None and bool(self.rows) and len(self.rows) - best_epoch(self.rows) >= patience

    def learn(self, step: Step) -> None:
        """One optimiser step on one batch, in pieces if the memory wants it, shared with the team."""
        self.doing_now = step
        lr = self.recipe.rate(step.iteration, self.batches.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.net.train()
        self.optimizer.zero_grad(set_to_none=True)
        self.loss_sum = self.loss_sum + self._backward(step)
        if self.recipe.clamp is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_value_(self.model.parameters(), self.recipe.clamp)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.iteration, self.lr = step.iteration + 1, lr
        if self.device.type == "cpu" or self.iteration % LOOK_EVERY == 0:
            self.check_loss()

    def _backward(self, step: Step) -> Tensor:
        """Gradients of the whole batch's loss; returns that loss."""
        share, alone = self.team.share(len(step.indices)), self.team.size == 1
        size = self.micro_batch or len(share)
        pieces = [self._load(step, share[i : i + size]) for i in range(0, len(share), size)]
        masses = [self._mass(target) for _, target in pieces]
        whole, value = self.team.total(sum(masses[1:], masses[0])), torch.zeros((), device=self.device)
        for number, ((x, target), mass) in enumerate(zip(pieces, masses, strict=True), 1):
            last = number == len(pieces)
            with nullcontext() if last or alone else cast(DistributedDataParallel, self.team_model).no_sync():
                with self.autocast():
                    outputs = self.net(x)
                loss = self.loss(outputs, target) * (mass / whole)
                self.scaler.scale(loss * self.team.size).backward()  # the team averages gradients; we want the sum
            value += loss.detach()
        return self.team.total(value)

    def _load(self, step: Step, positions: Iterable[int]) -> tuple[Tensor, Tensor]:
        x, target = self.batches.load(step, positions)
        x, target = x.to(self.device, non_blocking=True), target.to(self.device, non_blocking=True)
        return x.contiguous(memory_format=self.format) if x.ndim == 4 else x, target

    def _mass(self, target: Tensor) -> Tensor:
        if hasattr(self.loss, "mass"):
            return self.loss.mass(target)
        return torch.tensor(float(len(target)), device=self.device)

    def check_loss(self) -> None:
        if not torch.isfinite(self.loss_sum):
            epoch = (self.iteration - 1) // self.batches.steps_per_epoch + 1
            saved = " The checkpoint before it is unharmed." if self.files else ""
            raise UserError(
                f"The loss is no longer a finite number at iteration {self.iteration} (epoch {epoch}, lr {self.lr:g}): "
                f"give a smaller lr, or precision float32.{saved}"
            )

    def close_epoch(self) -> dict:
        """Validate, and add the epoch's row."""
        self.check_loss()
        scores = self.team.from_leader(lambda: self.validation(self.model.eval()))
        steps = self.batches.steps_per_epoch
        spent, self.seconds, self.clock = self.seconds + perf_counter() - self.clock, 0.0, perf_counter()
        row = {"epoch": len(self.rows) + 1, "iteration": self.iteration, "lr": self.lr}
        row |= {"train_loss": float(self.loss_sum) / steps, **scores, "seconds": round(spent, 3)}
        self.rows.append(row)
        self.loss_sum = torch.zeros_like(self.loss_sum)
        if best_epoch(self.rows) == len(self.rows):
            self.best, self.best_is_new = self.weights(), True
        return row

    def _standard_validation(self, val_set: Sequence[Case] | None) -> Validation:
        if val_set is None:
            return lambda model: {}
        return self.recipe.feed.validation(val_set, self.recipe, self.batches, self.loss, self.device)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights on the CPU."""
        return {k: v.detach().cpu().clone().contiguous() for k, v in self.model.state_dict().items()}

    def snapshot(self) -> dict:
        """Where this training stands, the weights apart; with these, `restore` goes on with the same bits."""
        pending = self.best_is_new and best_epoch(self.rows) < len(self.rows)  # an epoch that best.pt does not hold yet
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "iteration": self.iteration,
            "rows": self.rows,
            "loss_sum": self.loss_sum.cpu(),
            "seconds": self.seconds + perf_counter() - self.clock,
            "random": random_state(self.device),
            "best": self.best if pending else None,
        }

    def restore(self, weights: dict[str, Tensor], snapshot: dict) -> None:
        """Stand where `snapshot` was taken; comes before `prepare`, which hands the scaler its state."""
        self.model.load_state_dict(weights)
        self.optimizer.load_state_dict(snapshot["optimizer"])
        self.scaler_state = snapshot["scaler"]
        self.iteration, self.rows, self.seconds = (snapshot[name] for name in ("iteration", "rows", "seconds"))
        self.loss_sum = snapshot["loss_sum"].to(self.device)
        set_random_state(snapshot["random"], self.device)

    def due(self) -> bool:
        """Whether the end of an epoch is written down: always, unless writing would take too much of the time."""
        ended = len(self.rows) >= self.recipe.epochs or self.out_of_patience()
        return ended or self.saving < SLOW_SAVE or perf_counter() - self.saved_at >= self.saving / SAVE_SHARE

    def save(self) -> None:
        self.check_loss()
        begin = perf_counter()
        if self.files and self.team.leads:
            self.files.save_last()
            if self.best_is_new:  # after last.pt: `RunFolder._best_state` mends a kill between the two
                self.files.save_best()
        self.best_is_new, self.saved_at = False, perf_counter()
        self.saving = self.saved_at - begin

    def finish(self) -> History:
        self.model.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]  # as in `prepare`
        self.model.preprocessing = self.batches.preprocessing  # type: ignore[assignment]  # no tensor, no module
        stopped = "early" if len(self.rows) < self.recipe.epochs else "finished"
        folder = self.files.folder if self.files else None
        history = History(self.rows, self.recipe, folder, stopped, {"best": self.best, "last": self.weights()})
        if self.files and self.team.leads:
            if self.best_is_new:  # a kill came between the last last.pt and its best.pt: no step is left to mend it
                self.files.save_best()
            self.files.close(history)
        return history

    def doing(self) -> str:
        """For the line about memory."""
        if self.doing_now is None:
            return "the cases in memory"
        side, count = self.doing_now.scale.side, len(self.team.share(len(self.doing_now.indices)))
        return f"{min(self.micro_batch or count, count)} slices at {side} px at a time"


def _at_least_one(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise UserError(f"{name}={count} must be 1 or more.")
