"""MiniSeg's ablations: a row of the paper's tables is a dict of what differs from the published network.

Parameters and MACs (at 3 x 512 x 512) were measured on the published code; a test rebuilds every row.
"""

from dataclasses import dataclass, field

__all__ = ["ABLATIONS", "JOURNAL", "Row"]

_SINGLE_PATH = dict(two_path=False, split=False)


@dataclass(frozen=True)
class Row:
    """One row: constructor options, trainable parameters, multiply-accumulates at 3 x 512 x 512."""

    options: dict = field(hash=False)
    params: int
    gmacs: float
    note: str = ""


ABLATIONS: dict[str, Row] = {
    # Table 2: main components, each row adds one
    "SB": Row(dict(_SINGLE_PATH, scales="single", attention=False), 28_728, 0.2164),
    "MB": Row(dict(_SINGLE_PATH, scales="multi", attention=False), 41_672, 0.2551),
    "MB+AH": Row(_SINGLE_PATH, 42_504, 0.2583),
    "MB+AH+TP": Row(
        dict(split=False, E_activation="relu"), 75_144, 0.4100, "code: CB and AHSP use ReLU in this row alone"
    ),
    "MiniSeg": Row({}, 82_912, 0.4813),
    # Table 3: the printed 472.44K and 2.27G fit no released file; this is the file that bears the name
    "wide single-path": Row(
        dict(split=False, C=(16, 48, 64, 128)), 250_744, 1.3479, "code: two paths without concat-fuse-split"
    ),
    # Table 4: design choices
    "PReLU -> ReLU": Row(dict(activation="relu"), 81_448, 0.4813),
    "no decoder": Row(dict(decoder=None), 72_218, 0.4012, "code: stage 4 keeps stride 2; paper: stride 1, 0.5137 GMAC"),
    "no decoder, stride 1": Row(dict(decoder=None, last_stride=1), 72_218, 0.5137, "the paper's text"),
    "no deep supervision": Row(dict(aux=False), 82_666, 0.4766),
    "CB -> AHSP": Row(dict(stage1="ahsp"), 81_870, 0.4142),
    "5x5 -> 3x3 DB": Row(dict(db_kernel=3), 75_232, 0.4373),
    "FFM -> AHSP": Row(dict(decoder="ahsp"), 80_624, 0.4522),
}

JOURNAL: dict[str, Row] = {  # variants of the authors' later code; the AAAI paper has no numbers for them
    "K=2": Row(dict(K=2), 102_336, 0.5377),
    "K=8": Row(dict(K=8), 73_200, 0.4531, "code: branches 5-8 reuse the map of branch 4; here each has its own"),
    "N+1": Row(dict(N=(4, 5, 10, 8)), 87_920, 0.5339),
    "N+2": Row(dict(N=(5, 6, 11, 9)), 92_928, 0.5864),
    "N-1": Row(dict(N=(2, 3, 8, 6)), 77_904, 0.4287),
    "N-2": Row(dict(N=(2, 2, 7, 5)), 73_496, 0.4139),
    "M+1": Row(dict(M=(3, 3, 6, 5)), 92_256, 0.5312),
    "M-1": Row(dict(M=(2, 2, 4, 3)), 75_104, 0.4680),
    "M-2": Row(dict(M=(2, 2, 3, 2)), 67_296, 0.4547),
    "C=16,32,64,128": Row(dict(C=(16, 32, 64, 128)), 262_872, 1.3647),
    "C=16,48,64,192": Row(dict(C=(16, 48, 64, 192)), 448_952, 1.8346),
    "C=8,16,32,64": Row(dict(C=(8, 16, 32, 64)), 78_608, 0.4066),
    "C=8,12,24,48": Row(dict(C=(8, 12, 24, 48)), 50_028, 0.3151),
}
