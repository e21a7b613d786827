"""Algorithm 1: label some slices, learn from them, label the next (Inf-Net, section III-B and Figure 5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn

from covidseg.device import choose_device
from covidseg.errors import UserError
from covidseg.files import make_folder, write_atomically, write_text
from covidseg.nn.layers import input_channels
from covidseg.nn.weights import read_tensors
from covidseg.papers.infnet.feed import SoftSlice
from covidseg.papers.infnet.semi.hybrid import HybridBatches, preprocessing_for
from covidseg.papers.infnet.semi.labels import PseudoLabel, make_label, read_round, weights_hash, write_round
from covidseg.papers.infnet.semi.plan import AS_RUN, Plan
from covidseg.papers.infnet.semi.pool import Group, Unlabelled, groups_of, soft_maps
from covidseg.progress import progress
from covidseg.training.batches import generator_for
from covidseg.training.loop import train

__all__ = ["label_pool"]


def label_pool(
    model: nn.Module,
    labelled: Iterable[SoftSlice],
    pool: Iterable[Unlabelled],
    plan: Plan = AS_RUN,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    device: str | torch.device = "auto",
    batch: int = 1,
    report: Callable[[int, list[PseudoLabel]], None] | None = None,
    **options,
) -> list[PseudoLabel]:
    """Pseudo labels for a pool of slices, in the order in which they were made.

    model : trained on ``labelled``; it is copied, the caller's is left alone. labelled : the doctors' slices
    out : folder of the labels and the last weights. Killed at any time and called again with the same arguments, it
        goes on at the first unfinished round, and on a CPU ends with the same bits. None keeps all in memory
    batch : slices at a time when labels are made; report : called with every finished round and its labels
    options : as for `covidseg.training.train` (precision, micro_batch, ...)

    Round i: the network labels a group of slices never seen before (`make_label`); they join the set, beside the
    doctors' and all labels so far, which are never revised nor weighed less; the network, as round i - 1 left it, is
    fine-tuned on the whole set by a fresh optimiser. With `AS_RUN` this is the published run: 464,400 steps for 50 and
    1,600 slices. `FAST` says what can be left out.
    Raises UserError for a folder of another run, and for a plan at another size than the model was trained at.
    """
    items, device, net = list(pool), choose_device(device), _copy(model)
    groups, pool = groups_of([item.id for item in items], plan.group, seed), {item.id: item for item in items}
    hybrid = _first_set(model, labelled, plan, seed)
    hybrid.make_room(len(pool))
    folder = _Folder(out, _identity(plan, seed, net, hybrid, groups)) if out else None
    tuned, labels = (folder.restore(net) if folder else 0), []
    for number, group in enumerate(progress(groups, f"Labelling, {plan.name}")):
        found = folder and folder.read(number)
        if not found:
            slices = [pool[name] for name in group.ids]
            found = _label(net.to(device), slices, plan, number, group, hybrid.preprocessing, batch)
            if folder:
                folder.write(number, found, pool)
        labels += found
        hybrid.add(label.soft_slice(pool[label.source].grey) for label in found)
        if number >= tuned and (plan.after_last or number + 1 < len(groups)):
            net = _tune(net, hybrid, plan, _seed(seed, number), device, options)
            if folder:
                folder.save(number + 1, net)
        if report:
            report(number, found)
    return labels


def _first_set(model: nn.Module, labelled: Iterable[SoftSlice], plan: Plan, seed: int) -> HybridBatches:
    """The doctors' slices, resized as the plan's recipe has it and normalised as the model is used to."""
    preprocessing, recipe = preprocessing_for(model, plan.recipe), plan.recipe
    side = recipe.feed.base_side
    if preprocessing.size != side:
        raise UserError(
            f"The model was trained at {preprocessing.size} px, plan {plan.name!r} fine-tunes at {side}: "
            "give the plan a recipe at the model's side, `replace(plan, recipe=at_side(plan.recipe, side))`."
        )
    hybrid = HybridBatches(labelled, recipe, preprocessing, seed, input_channels(model))
    hybrid.steps = plan.steps
    return hybrid


def _label(net, slices: list[Unlabelled], plan: Plan, number: int, group: Group, preprocessing, batch: int) -> list:
    origin = {"kind": plan.name, "round": number, "group": group.number, "snapshot": weights_hash(net.state_dict())}
    maps = soft_maps(net, slices, preprocessing, batch=batch)
    return [make_label(s.id, maps[s.id], stretch=plan.stretch, **origin) for s in slices]


def _tune(net: nn.Module, hybrid: HybridBatches, plan: Plan, seed: int, device, options: dict) -> nn.Module:
    hybrid.seed = seed
    train(net, hybrid, None, plan.recipe, seed=seed, device=device, **options)
    return _copy(net)


def _seed(seed: int, number: int) -> int:
    """Each round draws its own order and dropout, whatever came before it."""
    return int(torch.randint(2**31, (), generator=generator_for(seed, "round", number)))


def _copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode whose tensors lie in memory as those of a network just built.

    Training leaves a memory order behind which can change the last bit of a convolution, and which no file keeps.
    """
    copy = deepcopy(model).to(memory_format=torch.contiguous_format).eval()
    copy.zero_grad(set_to_none=True)
    for tensor in (*copy.parameters(), *copy.buffers()):
        tensor.data = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device).copy_(tensor.data)
    return copy


def _identity(plan: Plan, seed: int, net: nn.Module, hybrid: HybridBatches, groups: Sequence[Group]) -> dict:
    return {
        "plan": plan.to_dict(),
        "seed": seed,
        "first_weights": weights_hash(net.state_dict()),
        "labelled": hybrid.fingerprint(),
        "pool": sha256(repr([(g.number, g.ids) for g in groups]).encode()).hexdigest(),
    }


class _Folder:
    """The files of a run: plan.json says whose they are, round_*.npz and .json hold labels, weights.pt the last net."""

    def __init__(self, folder: str | Path, identity: dict):
        self.folder, self.plan, self.weights = Path(folder), Path(folder) / "plan.json", Path(folder) / "weights.pt"
        make_folder(folder)
        text = json.dumps(identity, indent=1) + "\n"
        if self.plan.is_file():
            self._same_run(json.loads(text))
        else:
            write_text(self.plan, text)

    def _same_run(self, current: dict) -> None:
        try:
            stored = json.loads(self.plan.read_text(encoding="utf-8"))
        except ValueError:
            raise UserError(f"{self.plan} is damaged: choose another folder, or delete this one.") from None
        for name in current:
            if stored.get(name) != current[name]:
                raise UserError(f"{self.folder} belongs to another run: its {name} differs; choose another folder.")

    def read(self, number: int) -> list[PseudoLabel] | None:
        return read_round(self.folder, number)

    def write(self, number: int, labels: list[PseudoLabel], pool: dict[str, Unlabelled]) -> None:
        write_round(self.folder, number, labels, {label.source: pool[label.source].grey for label in labels})

    def save(self, tuned: int, net: nn.Module) -> None:
        """The weights after so many rounds; only the last are kept (the published run kept 320 files, 42 GB)."""
        state: dict[str, Tensor] = {name: value.detach().cpu() for name, value in net.state_dict().items()}
        write_atomically(self.weights, lambda file: torch.save({"tuned": tuned, "state": state}, file))

    def restore(self, net: nn.Module) -> int:
        """Put the last weights into ``net``; returns the number of rounds behind them."""
        if not self.weights.is_file():
            return 0
        record = read_tensors(self.weights)
        net.load_state_dict(record["state"])
        return record["tuned"]
