"""MiniSeg rearranged for answers alone: fewer operations, the same logits up to rounding.

Each step is arithmetic on paper, done once, in float64, when the copy is made:

1. BatchNorm scales and shifts the convolution before it. Where two convolutions are added (FFM), it goes into both.
2. The average pool of Eqn 3 is a depthwise convolution whose nine weights are 1/9: it goes into the one of dilation 1.
3. The running sums of Eqn 4 are linear, and so is what reads them (Eqns 6 and 8): one 1x1 convolution does all three.
4. A_k is one number a pixel, so fuse(G_k + G_k A_k) = (1 + A_k) fuse(G_k): attention and fusion are one product.
5. No activation stands between Concat-fuse-Split (Eqn 11), its residual, and the 1x1 convolutions behind it: they are
   one 1x1 convolution for each path.
6. Nor between the 1x1 and the 5x5 of the first DB: they are one 5x5, side by side with the 3x3 of the first CB.
7. The two dilations of an FFM are one 5x5 with zeros between; its 1x1 comes before the upsampling, not behind it.
8. At rest only head 1 answers.
"""

from copy import deepcopy
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, cat, nn

from covidseg.nn.fast_layers import DirectConv2d
from covidseg.nn.fold import folded
from covidseg.nn.layers import FFM, resize

__all__ = ["FastMiniSeg"]


class FastMiniSeg(nn.Module):
    """A `MiniSeg` of any build, for answers alone: (B, C, H, W) -> logits (B, K, H, W) of head 1."""

    def __init__(self, model: Any):
        super().__init__()
        model = deepcopy(model)  # what is taken over as it is, the activations, must not be shared
        self.stages = nn.ModuleList(_Stage(stage) for stage in model.stages)
        self.top = None
        if model.top is not None:
            conv, bn, *act = model.top
            self.top = nn.Sequential(_conv(*folded(conv, bn)), *act)
        self.steps = nn.ModuleList(_Step(step) for step in model.steps)
        self.head = _conv(*folded(model.heads[0][-1]))

    def forward(self, I: Tensor) -> Tensor:  # B, 3, H, W
        size, I, Es = I.shape[-2:], I.contiguous(memory_format=torch.channels_last), []
        E, Q = I, I
        for stage in self.stages:
            E, Q = stage(E, Q)
            Es.append(E)
        D = Es[-1] if self.top is None else self.top(Es[-1])
        for step, E in zip(self.steps, Es[-2::-1], strict=False):
            D = step(D, E)
        return resize(self.head(D).contiguous(), size)  # so few channels are faster in the plain memory order


class _Stage(nn.Module):
    """Eqns 10 to 13."""

    def __init__(self, stage: Any):
        super().__init__()
        self.two_path, self.first, self.fused = stage.two_path, stage.first, stage.fuse is not None
        self.concat = stage.concat
        self.entry = None
        E_entry, Q_entry = stage.E_entry, getattr(stage, "Q_entry", None)
        if stage.first and stage.two_path and not _pyramid(E_entry):
            self.entry = _Entry(E_entry, Q_entry)
        else:
            before = _halves(stage) if self.fused else {}
            self.E_entry = _E_block(E_entry, before.get("E"))
            if stage.two_path:
                self.Q_entry = _Q_first(Q_entry) if stage.first else _DB(Q_entry, before.get("Q"))
        self.E_blocks = nn.ModuleList(_E_block(block) for block in stage.E_blocks)
        self.Q_blocks = nn.ModuleList(_DB(block) for block in (stage.Q_blocks if stage.two_path else []))

    def forward(self, E: Tensor, Q: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if Q is None or not self.two_path:
            E = self.E_entry(E)
            for block in self.E_blocks:
                E = block(E)
            return E, None
        E, Q = self.enter(E, Q)
        for j, block in enumerate(self.E_blocks):
            S = E + Q
            E = block(S).add_(E)  # (12)
            if j < len(self.Q_blocks):
                Q = self.Q_blocks[j](S).add_(Q)  # (13)
        return E, Q

    def enter(self, E: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
        if self.entry is not None:
            return self.entry(E)
        if self.first:
            return self.E_entry(E), self.Q_entry(Q)
        if not self.fused:
            return self.E_entry(E), self.Q_entry(E + Q)
        both = cat([E, Q] if self.concat == "EQ" else [Q, E], 1)
        return self.E_entry(both), self.Q_entry(both)  # (11)


class _Entry(nn.Module):
    """CB and DB of the first stage as one convolution of the image."""

    def __init__(self, CB: Any, DB: Any):
        super().__init__()
        conv, bn, E_act = CB
        E_weight, E_bias = folded(conv, bn)
        Q_weight, Q_bias = _one_kernel(DB)
        side = max(E_weight.shape[-1], Q_weight.shape[-1])
        weight = cat([_padded(E_weight, side), _padded(Q_weight, side)])
        self.conv = _conv(weight, cat([E_bias, Q_bias]), stride=conv.stride[0])
        self.E_act, self.Q_act, self.channels = E_act, DB[3], len(E_weight)

    def forward(self, I: Tensor) -> tuple[Tensor, Tensor]:
        both = self.conv(I)
        return self.E_act(both[:, : self.channels]), self.Q_act(both[:, self.channels :])


class _AHSP(nn.Module):
    """Eqns 1 to 8.

    before : weight and bias of a 1x1 convolution that came before the block's own
    """

    def __init__(self, block: Any, before: tuple[Tensor, Tensor] | None = None):
        super().__init__()
        weight, bias = folded(block.shrink)
        self.shrink = _conv(*_after(before, weight, bias))
        self.dilated = nn.ModuleList()
        for k, conv in enumerate(block.dilated):
            weight, _ = folded(conv)
            if block.hierarchical and k == 0:
                weight = weight + 1 / 9  # (3) the zeros of the border count
            self.dilated.append(_depthwise(weight, conv.stride[0], conv.dilation[0]))
        fuse, self.bias = folded(block.fuse, block.bn)
        fuse = _dense(fuse, block.fuse.groups)
        attend = None if block.attend is None else _dense(folded(block.attend[0])[0], block.attend[0].groups)
        if block.hierarchical:
            fuse, attend = (w if w is None else _of_sums(w, len(block.dilated)) for w in (fuse, attend))
        self.K = 0 if attend is None else len(attend)
        bias = self.bias if attend is None else torch.zeros(len(fuse) + self.K)
        self.fuse = _conv(fuse if attend is None else cat([fuse, attend]), bias)
        self.bias = nn.Parameter(self.bias.float(), requires_grad=False)
        self.act = block.act

    def forward(self, X: Tensor) -> Tensor:
        S = self.shrink(X)  # (1)
        Z = self.fuse(cat(_looks(self.dilated, S), 1))  # (2, 3, 4, 8)
        if not self.K:
            return self.act(Z)
        C = len(self.bias)
        A = Z[:, C:].sigmoid().add_(1)  # (6)
        Z = torch.addcmul(self.bias.view(self.K, -1, 1, 1), Z[:, :C].unflatten(1, (self.K, -1)), A[:, :, None])  # (7)
        return self.act(Z.flatten(1, 2))


class _DB(nn.Module):
    """Eqn 9."""

    def __init__(self, block: Any, before: tuple[Tensor, Tensor] | None = None):
        super().__init__()
        mix, look, bn, self.act = block
        self.mix = _conv(*_after(before, *folded(mix)))
        weight, bias = folded(look, bn)
        self.look = _depthwise(weight, look.stride[0], bias=bias)

    def forward(self, X: Tensor) -> Tensor:
        return self.act(self.look(self.mix(X)))


class _Step(nn.Module):
    """Eqns 14 and 15, from the map that is not yet upsampled."""

    def __init__(self, step: Any):
        super().__init__()
        self.lateral = _conv(*folded(step.lateral[0], step.lateral[1]))
        self.shrink, self.look, self.act = *_fusion(step.fusion), step.act

    def forward(self, D: Tensor, E: Tensor) -> Tensor:
        U = resize(self.shrink(D), E.shape[-2:])
        return self.act(self.look(U).add_(self.lateral(E)))


# --------------------------------------------------------------------------------------------- the arithmetic


def _fusion(block: Any) -> tuple[nn.Module, nn.Module]:
    """What a decoder step does before its upsampling, and behind it."""
    if not isinstance(block, FFM):
        fast = _AHSP(block)
        shrink, fast.shrink = fast.shrink, nn.Identity()
        return shrink, fast
    (near, bias), (far, _) = folded(block.near, block.bn), folded(block.far, block.bn)
    weight = _padded(near, 5)
    weight[..., ::2, ::2] += far
    return _conv(*folded(block.shrink)), _depthwise(weight, bias=bias)


def _pyramid(block: Any) -> bool:
    return hasattr(block, "dilated")


def _E_block(block: Any, before: tuple[Tensor, Tensor] | None = None) -> nn.Module:
    if _pyramid(block):
        return _AHSP(block, before)
    conv, bn, act = block
    weight, bias = folded(conv, bn)
    return nn.Sequential(_conv(weight, bias, stride=conv.stride[0]), act)


def _Q_first(block: Any) -> nn.Module:
    weight, bias = _one_kernel(block)
    return nn.Sequential(_conv(weight, bias, stride=block[1].stride[0]), block[3])


def _one_kernel(DB: Any) -> tuple[Tensor, Tensor]:
    """The 1x1 and the depthwise convolution of a DB as one; between them stands no bias, so the border agrees."""
    mix, look, bn, _ = DB
    weight, bias = folded(look, bn)
    return weight * folded(mix)[0], bias


def _halves(stage: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """Eqn 11 with its residuals: what each path reads, as a 1x1 convolution of both."""
    weight, bias = folded(*stage.fuse)
    weight = weight + torch.eye(len(weight), dtype=weight.dtype)[..., None, None]
    C = len(weight) // 2
    return {path: (weight[k * C :][:C], bias[k * C :][:C]) for k, path in enumerate(stage.concat)}


def _after(before: tuple[Tensor, Tensor] | None, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Two 1x1 convolutions as one."""
    if before is None:
        return weight, bias
    W = weight[..., 0, 0]
    return (W @ before[0][..., 0, 0])[..., None, None], W @ before[1] + bias


def _dense(weight: Tensor, groups: int) -> Tensor:
    """A grouped 1x1 convolution as one of a single group: zeros between the groups."""
    return torch.block_diag(*weight[..., 0, 0].chunk(groups))[..., None, None]


def _of_sums(weight: Tensor, K: int) -> Tensor:
    """A 1x1 convolution of the running sums (Eqn 4) as one of what they add up: F_k is in G_k, G_{k+1}, ..."""
    parts = weight.chunk(K, 1)
    return cat(list(accumulate(parts[::-1]))[::-1], 1)


def _padded(kernel: Tensor, side: int) -> Tensor:
    room = (side - kernel.shape[-1]) // 2
    return nn.functional.pad(kernel, [room] * 4)


def _looks(convolutions: Any, S: Tensor) -> list[Tensor]:
    """Each convolution of S; those of stride 2 and even dilation look at every second pixel only."""
    half = None
    answers = []
    for conv in convolutions:
        if conv.every_second and half is None:
            half = S[..., ::2, ::2].contiguous(memory_format=torch.channels_last)
        answers.append(conv(half if conv.every_second else S))
    return answers


def _conv(weight: Tensor, bias: Tensor, *, stride: int = 1) -> DirectConv2d:
    C_out, C, side, _ = weight.shape
    return _filled(DirectConv2d(C, C_out, side, stride, side // 2), weight, bias)


def _depthwise(weight: Tensor, stride: int = 1, dilation: int = 1, *, bias: Tensor | None = None) -> DirectConv2d:
    C, side = len(weight), weight.shape[-1]
    skip = stride == 2 and dilation % 2 == 0
    stride, dilation = (1, dilation // 2) if skip else (stride, dilation)
    conv = DirectConv2d(C, C, side, stride, dilation * (side // 2), dilation, groups=C)
    conv.every_second = skip
    return _filled(conv, weight, torch.zeros(C) if bias is None else bias)


def _filled(conv: Any, weight: Tensor, bias: Tensor) -> Any:
    with torch.no_grad():
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)
    return conv.requires_grad_(False)
