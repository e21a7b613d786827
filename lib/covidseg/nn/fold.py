"""BatchNorm at rest is one multiplication and one addition a channel: the convolution before it can do them.

y = (conv(x) - mean) * weight / sqrt(var + eps) + bias = conv'(x) + bias'
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.weak import WeakIdKeyDictionary

__all__ = ["fold_norms", "folded"]


def folded(conv: nn.Conv2d, bn: nn.Module | None = None) -> tuple[Tensor, Tensor]:
    """Weight and bias, computed in float64; bn : the BatchNorm2d behind the convolution, None or Identity for none."""
    weight = conv.weight.detach().double()
    bias = torch.zeros(len(weight)).to(weight) if conv.bias is None else conv.bias.detach().double()
    if not isinstance(bn, nn.BatchNorm2d):
        return weight, bias
    assert bn.running_mean is not None and bn.running_var is not None
    gain = bn.weight.detach().double() / (bn.running_var.double() + bn.eps).sqrt()
    moved = (bias - bn.running_mean.double()) * gain + bn.bias.detach().double()
    return weight * gain[:, None, None, None], moved


def fold_norms(model: nn.Module, example: Tensor) -> nn.Module | None:
    """A copy for ``eval()`` in which convolutions do their BatchNorms' work; None where there is none to fold.

    model : in ``eval()``. example : an input, (B, C, H, W) or (B, C, H, W, D). The network runs once on it: a pair
        counts where the convolution's answer goes to that BatchNorm and nowhere else, and both ran once.
    """
    pairs = _pairs(model, example)
    if not pairs:
        return None
    names = {module: name for name, module in model.named_modules()}
    copy = deepcopy(model).eval()
    for conv, bn in pairs:
        fused = fuse_conv_bn_eval(conv, bn, isinstance(conv, _ConvTransposeNd))
        _put(copy, names[conv], fused)
        _put(copy, names[bn], nn.Identity())
    return copy.requires_grad_(False)


@dataclass(eq=False)
class _Answer:
    """Of one convolution: by whom, how often it was read, and the BatchNorm among the readers."""

    conv: nn.Module
    reads: int = 0
    bn: nn.Module | None = None


class _Readers(TorchDispatchMode):
    """Counts who reads the answers of convolutions. It keeps none of them alive."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[_Answer] = []
        self.known: Any = WeakIdKeyDictionary()
        self.norms: list[nn.Module] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip its compiler torch imports it, which takes seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.read((args, kwargs))
        return func(*args, **(kwargs or {}))

    def read(self, values: Any) -> None:
        for value in tree_iter(values):
            if isinstance(value, Tensor) and value in self.known:
                self.known[value].reads += 1

    def watch(self, module: nn.Module) -> list[Any]:
        """Hooks on one module, to be removed again."""
        if isinstance(module, _ConvNd):
            return [module.register_forward_hook(self._convolved)]
        return [module.register_forward_pre_hook(self._normed)] if isinstance(module, _BatchNorm) else []

    def _convolved(self, module: nn.Module, _: Any, out: Tensor) -> None:
        self.known[out] = answer = _Answer(module)
        self.answers.append(answer)

    def _normed(self, module: nn.Module, inputs: Any) -> None:
        self.norms.append(module)
        if inputs[0] in self.known:
            self.known[inputs[0]].bn = module


@torch.no_grad()
def _pairs(model: nn.Module, example: Tensor) -> list[tuple[_ConvNd, _BatchNorm]]:
    readers = _Readers()
    hooks = [hook for module in model.modules() for hook in readers.watch(module)]
    try:
        with readers:
            readers.read(model(example))  # the caller reads what comes out
    finally:
        for hook in hooks:
            hook.remove()
    convs = [answer.conv for answer in readers.answers]
    return [
        (a.conv, a.bn)  # type: ignore[misc]
        for a in readers.answers
        if isinstance(a.bn, _BatchNorm)
        and a.bn.running_mean is not None
        and (a.reads, convs.count(a.conv), readers.norms.count(a.bn)) == (1, 1, 1)
    ]


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
