"""All networks on one scale, and Table 5 of the benchmark: its printed counts beside those of the networks it names."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from statistics import median

import torch

from covidseg import papers
from covidseg.nn import card, list_models
from covidseg.nn.layers import input_channels
from covidseg.profiling import profile_model
from covidseg.speed import peak_activations, race
from covidseg.tables.field import CONFIGS, REFERENCE, build, count
from covidseg.tables.table import printed_rows
from covidseg.text import csv_text

__all__ = ["Measured", "Printed", "as_csv", "as_text", "measure", "network_of", "table5", "table5_text", "usual_batch"]

# ------------------------------------------------------------------------------------- what a network costs, here

SCALES = ("params", "macs", "peak", "latency", "throughput")


@dataclass(frozen=True)
class Measured:
    """One network: build, parameters, MACs and peak bytes of one image, seconds for one, images a second in batches.

    ratios : each of SCALES over the reference's, timed in turn with it; problem : why there are no numbers, in a line
    batch : images in a batch, where the file has several
    """

    name: str
    build: str = ""
    params: int = 0
    macs: int = 0
    peak: int = 0
    latency: float = 0.0
    throughput: float = 0.0
    ratios: tuple[float, ...] = ()
    problem: str = ""
    batch: int = 0


def usual_batch(device: str | torch.device) -> int:
    """30 as in Table 5 on a GPU; 2 on a CPU, which is kept busy by one image."""
    return 2 if torch.device(device).type == "cpu" else 30


def measure(
    names: Sequence[str], config: str = "", *, side: int = 512, device: str | torch.device = "cpu",
    batch: int | None = None, seconds: float = 1.0,
) -> Iterator[Measured]:  # fmt: skip
    """Measure networks one after another, each in turn with a reference of its own, so that a busy hour harms no ratio.

    seconds : spent at least on each speed. Whatever goes wrong with one network is its ``problem`` and stops no other.
    """
    batch = batch or usual_batch(device)
    for name in names:
        try:
            yield _measure(name, config, side, device, batch, seconds)
        except Exception as error:
            lines = str(error).strip().splitlines()
            yield Measured(name, problem=f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}")


def _measure(name: str, config: str, side: int, device: str | torch.device, batch: int, seconds: float) -> Measured:
    network, built = build(name, config)
    rivals = [network, build(REFERENCE)[0]]
    shapes = [(input_channels(model), side, side) for model in rivals]
    counted = [profile_model(network, shapes[0]), count(REFERENCE, side=side)]
    peaks = [peak_activations(network, shapes[0]), _reference_peak(side)]
    speeds = race(rivals, shapes, device=device, batch=batch, seconds=seconds)
    numbers, beside = (
        (c.params, c.macs, p, s.latency, s.throughput) for c, p, s in zip(counted, peaks, speeds, strict=True)
    )
    ratios = tuple(mine / other for mine, other in zip(numbers, beside, strict=True))
    return Measured(name, built, *numbers, ratios)


@cache
def _reference_peak(side: int) -> int:
    network = build(REFERENCE)[0]
    return peak_activations(network, (input_channels(network), side, side))


def as_csv(rows: Sequence[Measured]) -> str:
    """One line a network: the numbers in full, in units of one, and each ratio in a column of its own."""
    lines = []
    for row in rows:
        facts = asdict(row)
        ratios = facts.pop("ratios") or ("",) * len(SCALES)
        lines.append(facts | {f"{scale}_ratio": ratio for scale, ratio in zip(SCALES, ratios, strict=True)})
    return csv_text(lines)


def as_text(rows: Sequence[Measured]) -> str:
    """The table, each number followed by its ratio to the reference's; then a line for each network that failed."""
    head = ["network", "build", "parameters", "x", "GMAC", "x", "peak MiB", "x", "ms", "x", "images/s", "x"]
    grid = [head, *(_cells(row) for row in rows if not row.problem)]
    lines = _aligned(grid, left=2)
    return "\n".join([*lines, *(f"{row.name}: not measured. {row.problem}" for row in rows if row.problem)])


def _cells(row: Measured) -> list[str]:
    numbers = (
        f"{row.params:,}", f"{row.macs / 1e9:.3f}", f"{row.peak / 2**20:.1f}", f"{1e3 * row.latency:.1f}",
        f"{row.throughput:.2f}",
    )  # fmt: skip
    return [row.name, row.build, *(t for n, r in zip(numbers, row.ratios, strict=True) for t in (n, f"{r:.3g}"))]


def _aligned(grid: list[list[str]], left: int) -> list[str]:
    """Columns of equal width, the first ``left`` to the left."""
    widths = [max(len(row[k]) for row in grid) for k in range(len(grid[0]))]
    return [
        "  ".join(
            f"{t:{'<' if k < left else '>'}{w}}" for k, (t, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in grid
    ]


# ----------------------------------------------------------- the benchmark's Table 5

MILLION = 1_024_000  # what Table 5 calls M
TWICE, SLOW = 1.5, 5  # printed FLOPs over MACs; arithmetic a second, below the others' median by
HEAVY = 50  # GMAC: smaller networks are made of many light layers, whose speed is not that of arithmetic
LEGEND = (
    'In Table 5 "M" is 1,024,000 parameters where there are a million or more; "FLOPs" are multiply-accumulates by the '
    "authors' counter, which adds norms and biases and leaves out attention's products, transposed convolutions and "
    "resizes; frames a second are those of batches of 30 on a TITAN RTX."
)


@dataclass(frozen=True)
class Printed:
    """A row of Table 5 as printed, and the network that it names: "" where this kit does not have it yet.

    params : as a whole number; gflops : G; params_text : the print. counted : parameters, MACs of config="paper";
    released : of the build that was trained for Table 6
    """

    method: str
    network: str
    params_text: str
    gflops: float
    fps: float
    counted: tuple[int, int] | None = None
    released: tuple[int, int] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Does the rebuilt network have the printed number of parameters, to the last printed digit?"""
        return self.counted is not None and in_print(self.counted[0]) == self.params_text


def in_print(params: int) -> str:
    """A number of parameters as Table 5 prints it: K below a thousand of them, M in steps of 1,024,000.

    >>> in_print(82_912), in_print(8_637_378)
    ('82.91K', '8.43M')
    """
    return f"{params / 1000:.2f}K" if params < 100_000 else f"{_millions(params):.2f}M"


def _millions(params: int) -> float:
    return params / (MILLION if params >= 1_000_000 else 1_000_000)


def network_of(method: str, backbone: str = "") -> str:
    """Our name of a row: its letters and digits, "+" as "plus"; on the printed trunk if that is a network by itself."""
    plain = {name.replace("_", ""): name for name in list_models()}
    key = "".join(c for c in method.lower().replace("+", "plus") if c.isalnum())
    return plain.get(key + backbone.lower()) or plain.get(key, "")


def table5(released: bool = True) -> list[Printed]:
    """Table 5 in its own order. released : also count what was trained for Table 6, which takes twice the time."""
    sheet = next(paper.benchmark for paper in papers.papers() if paper.benchmark)
    rows = [_row(line, released) for line in printed_rows(sheet)]
    usual = median(row.fps * row.gflops for row in rows if row.gflops > HEAVY)
    return [_remarked(row, usual) for row in rows]


def _row(line: dict, released: bool) -> Printed:
    network = network_of(line["method"], line["backbone"])
    row = Printed(line["method"], network, line["params"], float(line["flops"].rstrip("G")), float(line["fps"]))
    try:
        counts = [_counts(network, config) for config in CONFIGS[: 1 + released]] if network else []
    except Exception as error:  # one broken network is one line, not the end of the table
        return replace(row, remarks=(f"cannot be counted, {type(error).__name__}: {error}",))
    counted, trained = [*counts, None, None][:2]
    return replace(row, counted=counted, released=trained)


def _counts(network: str, config: str) -> tuple[int, int]:
    profile = count(network, config)
    return profile.params, profile.macs


def _remarked(row: Printed, usual: float) -> Printed:
    """The row with what is odd about it: what its network's card says of Table 5, then what the counts show."""
    remarks = list(row.remarks)
    if row.counted:
        notes = card(row.network).notes if row.network else ()
        remarks += [note for note in notes if "Table 5" in note]
        remarks += _odd_counts(row, row.counted, known=bool(remarks))
    said = any("frames" in remark for remark in remarks)
    if not said and row.gflops > HEAVY and row.fps * row.gflops * SLOW < usual:
        slower = usual / (row.fps * row.gflops)
        remarks.append(f"{row.fps} frames a second are {slower:.0f} times too few for its FLOPs, by the other rows")
    return replace(row, remarks=tuple(remarks))


def _odd_counts(row: Printed, counted: tuple[int, int], known: bool) -> Iterator[str]:
    """known : something was said of the row before, so a count that differs needs no second word."""
    params, macs = counted
    if not row.agrees and not known:
        yield f"{in_print(params)} are counted, {row.params_text} printed"
    if row.gflops > TWICE * macs / 1e9:
        yield f"the printed FLOPs are {row.gflops / (macs / 1e9):.2f} times the multiply-accumulates of this network"
    if row.released and row.released[0] != params:
        other = f"{row.released[0]:,} parameters, {row.released[1] / 1e9:.1f} GMAC"
        yield f"another network was trained for Table 6: {other}"


def table5_text(rows: Sequence[Printed]) -> str:
    """Table 5 beside the rebuilt networks, its legend, and the remarks, a line each."""
    grid = [["row of Table 5", "parameters", "printed", "as printed", "", "GMAC", "printed", "ratio"]]
    for row in rows:
        params, macs = row.counted or (0, 0)
        same = "" if not row.counted else "equal" if row.agrees else "OTHER"
        ours = [f"{params:,}", in_print(params)] if row.counted else ["not built", ""]
        grid.append([row.method, ours[0], row.params_text, ours[1], same, f"{macs / 1e9:.3f}" if macs else "",
                     f"{row.gflops:.2f}", f"{row.gflops / (macs / 1e9):.2f}" if macs else ""])  # fmt: skip
    remarks = [f"{row.method}: {remark}." for row in rows for remark in row.remarks]
    return "\n".join([*_aligned(grid, left=1), "", LEGEND, *remarks])
