"""`optimize`: a trained network as a copy that only answers, with fewer operations than the one that learned.

What holds for every network is done here: BatchNorms go into the convolutions before them (`covidseg.nn.fold`), and
several threads get the memory order that they are fast in. A network that knows more about itself says so by a method,

    rearranged() -> a module for eval(), (B, C, H, W) -> logits, which shares nothing with the network

and one that is made of several, asked together, by ``each(change)``, itself with every member changed.
"""

from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from covidseg.errors import UserError
from covidseg.fast.backends import runner_of
from covidseg.nn.fold import fold_norms
from covidseg.nn.layers import dimensions, input_channels, main_output

__all__ = ["Optimized", "laid_out", "optimize"]

SIDES = {2: 128, 3: 32}  # of the input on which a network is followed if none is given


def optimize(
    model: nn.Module, example: Tensor | None = None, *, backend: str = "torch", half: bool = False
) -> nn.Module:
    """A copy of a trained network that only answers: the same masks, logits equal up to float32 rounding.

    model : as from ``create_model`` or ``load_weights``; it stays as it is. example : an input it takes, by default
        zeros. The copy takes any size and batch that the network takes, as far as the backend can.
    backend : "torch"; "openvino" or "onnxruntime", which ``pip install covidseg[fast]`` brings, on a CPU; "cudagraphs",
        on a GPU: a whole pass is recorded once a shape, then replayed
    half : 2 bytes a number inside: float16 on a GPU, bfloat16 on a CPU. This is no longer exact: measure what it moves
        with `covidseg.fast.difference`.
    Gradients, ``train()`` and inner maps stay the network's own: the copy refuses the first two and lacks the last.
    Raises UnknownName for another backend, UserError where it is not installed or does not fit the device.
    """
    if hasattr(model, "each"):
        return model.each(partial(optimize, example=example, backend=backend, half=half))
    if isinstance(model, Optimized):
        if (backend, half) == (model.backend, model.half_inside):
            return model
        raise UserError("This network is optimised already: to do it in another way, give the network itself.")
    return Optimized(model, example, backend, half)


class Optimized(nn.Module):
    """What `optimize` answers; ``network`` is the rearranged copy. It pickles; a backend starts again at first use."""

    def __init__(self, model: nn.Module, example: Tensor | None, backend: str, half: bool):
        super().__init__()
        self.backend, self.half_inside = backend, half
        self.preprocessing = getattr(model, "preprocessing", None)
        if hasattr(model, "predictor"):
            self.predictor = model.predictor
        self._runner = runner_of(backend, model, half)  # refuses at once what cannot be
        if getattr(self._runner, "wants_plain", False):
            self.network: nn.Module = _copied(model)
        else:
            self.network = rearranged(model, example)
        if half and backend in ("torch", "cudagraphs"):
            self.network = self.network.to(_half(model))
        self.training = False

    def forward(self, x: Tensor) -> Tensor:
        """Logits; side outputs of the network are left out."""
        if x.requires_grad:
            raise UserError("An optimised network gives no gradients: ask the network itself.")
        with torch.no_grad():
            if self._runner is not None:
                return self._runner(self.network, x)
            inside = next((p.dtype for p in self.network.parameters()), x.dtype)
            return main_output(self.network(laid_out(x.to(inside)))).to(x.dtype)

    def train(self, mode: bool = True) -> "Optimized":
        if mode:
            raise UserError("An optimised network only answers: train the network itself, then optimise it again.")
        return super().train(False)


def rearranged(model: nn.Module, example: Tensor | None = None) -> nn.Module:
    """The copy that does with fewer operations what the network does in ``eval()``; on the same device."""
    if hasattr(model, "rearranged"):
        return model.rearranged().eval().requires_grad_(False)
    training = [module for module in model.modules() if module.training]
    try:
        return fold_norms(model.eval(), _example(model) if example is None else example) or _copied(model)
    finally:
        for module in training:  # each as it was: some may be frozen
            module.training = True


def laid_out(x: Tensor) -> Tensor:
    """Maps in the memory order that a CPU is fast in."""
    if x.ndim == 4 and x.device.type == "cpu" and torch.get_num_threads() > 1:
        return x.contiguous(memory_format=torch.channels_last)  # measured: 43 instead of 76 ms; a loss with one thread
    return x


def _copied(model: nn.Module) -> nn.Module:
    return deepcopy(model).eval().requires_grad_(False)


def _half(model: nn.Module) -> torch.dtype:
    on_gpu = next((p.device.type == "cuda" for p in model.parameters()), False)
    return torch.float16 if on_gpu else torch.bfloat16


def _example(model: nn.Module) -> Tensor:
    d = dimensions(model)
    like = next(model.parameters(), torch.zeros(()))
    return torch.zeros(1, input_channels(model), *[SIDES[d]] * d, device=like.device, dtype=like.dtype)
