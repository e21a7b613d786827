"""MiniSeg for runtimes outside Python: its forward pass once more, as a flat list of operations.

Beside `network.py` this is a second statement of the same blocks; a test compares the two number by number.
"""

from itertools import accumulate

from covidseg.nn.flat import FlatNetwork
from covidseg.nn.layers import Lateral
from covidseg.papers.miniseg.network import AHSP, CB, DB, MiniSeg, Stage

__all__ = ["flat"]


def flat(model: MiniSeg) -> FlatNetwork:
    """A trained MiniSeg of AHSP blocks with attention, two paths and FFMs, as published; both wirings.

    Each dilated branch of Eqn 2 is a switch: off, its F_k is zero in every AHSP, and Eqn 4 carries only what the
    smaller scales found.
    """
    net = FlatNetwork()
    E = Q = 0  # the image
    Es = []
    for i, stage in enumerate(model.stages, 1):
        E, Q = _stage(net, stage, E, Q, i)
        net.maps |= {f"E_{i}": E, f"Q_{i}": Q}
        Es.append(E)
    heads = _decode(net, model, Es)
    for i, (head, D) in enumerate(zip(model.heads, heads, strict=False), 1):
        net.maps[f"P_{i}"] = net.conv(D, head[-1])  # dropout rests
    net.output = net.resize(net.maps["P_1"], 0)  # (16)
    return net


def _stage(net: FlatNetwork, stage: Stage, E: int, Q: int, i: int) -> tuple[int, int]:
    """Eqns 10 to 13."""
    E, Q = _entry(net, stage, E, Q, i)
    for j, E_block in enumerate(stage.E_blocks):
        S = net.add(E, Q)
        E_new = net.add(_E_block(net, E_block, S, f"E_{i}_{j + 2}"), E)  # (12)
        if j < len(stage.Q_blocks):
            Q = net.add(_DB(net, stage.Q_blocks[j], S), Q)  # (13) S holds the old E
        E = E_new
    return E, Q


def _entry(net: FlatNetwork, stage: Stage, E: int, Q: int, i: int) -> tuple[int, int]:
    if not stage.first:  # (11)
        pair = [E, Q] if stage.concat == "EQ" else [Q, E]
        fused = net.conv(net.cat(pair), stage.fuse[0], stage.fuse[1])
        C = stage.fuse[0].out_channels // 2
        halves = dict(zip(stage.concat, (net.part(fused, 0, C), net.part(fused, C, C)), strict=True))
        E, Q = net.add(halves["E"], E), net.add(halves["Q"], Q)
    return _E_block(net, stage.E_entry, E, f"E_{i}_1"), _DB(net, stage.Q_entry, Q)


def _E_block(net: FlatNetwork, block: CB | AHSP, x: int, name: str) -> int:
    if isinstance(block, AHSP):
        return _AHSP(net, block, x, name)
    conv, bn, act = block
    return net.act(net.conv(x, conv, bn), act)


def _DB(net: FlatNetwork, block: DB, x: int) -> int:
    """Eqn 9."""
    mix, look, bn, act = block
    return net.act(net.conv(net.conv(x, mix), look, bn), act)


def _AHSP(net: FlatNetwork, block: AHSP, X: int, name: str) -> int:
    """Eqns 1 to 8."""
    S = net.conv(X, block.shrink)  # (1)
    F = []
    for k, conv in enumerate(block.dilated, 1):
        switch = f"k{k}"
        net.switches[switch] = f"k = {k}, dilation {conv.dilation[0]}"
        F.append(net.conv(S, conv, switch=switch))  # (2)
    F = list(accumulate(F, net.add, initial=net.pool(S, block.pool)))[1:]  # (3, 4)
    A = net.sigmoid(net.conv(net.cat(F), block.attend[0]))  # (6)
    net.maps[f"A/{name}"] = A
    F = [net.gate(f, net.part(A, k, 1)) for k, f in enumerate(F)]  # (5, 7)
    return net.act(net.conv(net.cat(F), block.fuse, block.bn), block.act)  # (8)


def _decode(net: FlatNetwork, model: MiniSeg, Es: list[int]) -> list[int]:
    """Eqns 14 and 15; what the heads read, finest first."""
    D = net.conv(Es[-1], model.top[0], model.top[1])
    D = net.act(D, model.top[2]) if len(model.top) > 2 else D
    net.maps["D_4"] = D
    read = []
    for i, (step, E) in enumerate(zip(model.steps, Es[-2::-1], strict=True)):
        U = net.resize(D, E)
        read.append(U if model.heads_on == "U" else D)
        D = _step(net, step, U, E)
        net.maps[f"D_{3 - i}"] = D
    return [D, *reversed(read)]


def _step(net: FlatNetwork, step: Lateral, U: int, E: int) -> int:
    ffm = step.fusion
    S = net.conv(U, ffm.shrink)  # (14)
    near, far = net.conv(S, ffm.near, ffm.bn), net.conv(S, ffm.far, ffm.bn, shift=False)  # (14) one BatchNorm for both
    return net.act(net.add(net.add(near, far), net.conv(E, step.lateral[0], step.lateral[1])), step.act)  # (15)
