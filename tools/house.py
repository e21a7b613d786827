"""Draws the house, one picture of ``lib/covidseg``, from the code as it is: `make house` writes ``docs/house.svg``.

Each room is a box on its floor, as wide as it has lines; the floors stand in ``levels.py``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from levels import FLOORS, LEVEL, PACKAGE, House, direct, home, look

PICTURE = PACKAGE.parents[1] / "docs" / "house.svg"

# ------------------------------------------------------------------------------------------------ placing the boxes

INCH_A_LINE = 1 / 650  # width of a box
GAP, LANE = 0.35, 0.1  # inches between two boxes, and of the lane by which an arrow passes a floor
LEFT = 2.75  # inches for the captions


@dataclass(eq=False)
class Spot:
    """A box, or the lane by which an arrow passes a floor (``name`` is "" then); x : its middle, in inches."""

    name: str
    floor: int
    width: float
    x: float = 0.0
    ups: list[Spot] = field(default_factory=list)  # what is joined to it from above, and from below
    downs: list[Spot] = field(default_factory=list)


def place(house: House) -> list[list[Spot]]:
    """Boxes and lanes floor by floor from the ground up, joined as the arrows go.

    Each moves to the middle of those it is joined to, again and again, as far as its neighbours leave room.
    """
    rows = [[] for _ in FLOORS]
    spots = {}
    for name in sorted(house.floor, key=_order):
        spot = Spot(name, house.floor[name], max(house.lines[name] * INCH_A_LINE, 0.085 * len(name) + 0.2))
        rows[spot.floor].append(spot)
        spots[name] = spot
    for a, c in sorted(direct(house.imports)):
        upper, last = spots[a], spots[c]
        for floor in range(upper.floor - 1, last.floor, -1):
            lane = Spot("", floor, LANE)
            rows[floor].append(lane)
            upper = _join(upper, lane)
        _join(upper, last)
    for row in rows:
        _spread(row, [0.0] * len(row))
    for _ in range(50):
        for row in [*rows[1:], *rows[-2::-1]]:
            _spread(row, [_wish(spot) for spot in row])
    edges = [
        spot.x + side * spot.width / 2 for row in rows for spot in row if spot.ups or spot.downs for side in (-1, 1)
    ]
    for row in rows:
        if not any(spot.ups or spot.downs for spot in row):
            _spread(row, [(min(edges) + max(edges)) / 2] * len(row))
    return rows


def _wish(spot: Spot) -> float:
    """The middle of its neighbours above and below; else of those beside it; a lonely one stays."""
    near = spot.ups + spot.downs
    xs = [other.x for other in near if other.floor != spot.floor] or [other.x for other in near] or [spot.x]
    return sum(xs) / len(xs)


def _order(name: str) -> int:
    """From left to right."""
    return [known for _, names in FLOORS for known in names].index(home(name))


def _join(upper: Spot, lower: Spot) -> Spot:
    upper.downs.append(lower)
    lower.ups.append(upper)
    return lower


def _spread(row: list[Spot], wishes: list[float]) -> None:
    """Put spots as near to their wishes as their widths allow: boxes in their order, lanes where they wish."""
    wish = dict(zip(row, wishes, strict=True))
    boxes = iter([spot for spot in row if spot.name])
    row[:] = [next(boxes) if spot.name else spot for spot in sorted(row, key=wish.get)]
    ends = [0.0, *accumulate(spot.width + GAP for spot in row)]
    blocks = []  # spots that touch: [sum of the wishes for the begin of the row, how many]
    for spot, end in zip(row, ends, strict=False):
        blocks.append([wish[spot] - end - spot.width / 2, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, many = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + many]
    begins = [total / many for total, many in blocks for _ in range(many)]
    for spot, begin, end in zip(row, begins, ends, strict=False):
        spot.x = begin + end + spot.width / 2


# ------------------------------------------------------------------------------------------------ drawing

HEIGHT, STEP, PAPERS_STEP = 0.46, 0.84, 0.5  # inches: of a box, from floor to floor, more for the floor of papers
INK, SOFT = "#222222", "#56606b"
FILLS = {"above": "#cfe2f3", "papers": "#f7cd77", "paper": "#fdf0d0", "below": "#cdeadb", "ground": "#e4e4e4"}


def draw(house: House, file: Path) -> None:
    """Write the picture; the same code gives the same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows, papers = place(house), LEVEL["papers"]
    spots = [spot for row in rows for spot in row]
    shift = LEFT + 0.15 - min(spot.x - spot.width / 2 for spot in spots)
    for spot in spots:
        spot.x += shift
    bottoms = [STEP * floor + PAPERS_STEP * (floor > papers) for floor in range(len(rows))]
    tops = [y + HEIGHT + PAPERS_STEP * (floor == papers) for floor, y in enumerate(bottoms)]
    right, top = max(spot.x + spot.width / 2 for spot in spots) + 0.15, tops[-1] + 0.15
    with rc_context({"svg.hashsalt": "house", "svg.fonttype": "none", "font.size": 8.5}):
        figure = Figure(figsize=(right, top + 0.45))
        ax = figure.add_axes((0, 0, 1, 1), xlim=(0, right), ylim=(-0.45, top))
        ax.axis("off")
        for (caption, _), low, high in zip(FLOORS, bottoms, tops, strict=True):
            ax.text(LEFT - 0.1, (low + high) / 2, caption, ha="right", va="center", color=SOFT)
            ax.plot((0.1, right - 0.1), (low - 0.19,) * 2, color="#eeeeee", lw=0.8, zorder=0)
        for spot in spots:
            _arrows(ax, spot, bottoms, tops)
            if spot.name:
                low, lines = bottoms[spot.floor], house.lines[spot.name]
                kind = "papers" if spot.floor == papers else "above" if spot.floor > papers else "below"
                fill = FILLS[kind if spot.floor else "ground"]
                _box(ax, f"room-{spot.name}", lines, spot.x, low, spot.width, tops[spot.floor] - low, fill)
                if kind == "papers":
                    _papers(ax, house.papers, spot, low)
        words = "Width and number: lines of code. Arrows: imports; left out where a longer way leads there too."
        ax.text(right / 2, -0.33, words, ha="center", va="center", color=SOFT)
        figure.savefig(file, metadata={"Date": None, "Creator": None} if file.suffix == ".svg" else None)


def _papers(ax, papers: dict[str, int], spot: Spot, low: float) -> None:
    """A box for each paper inside that of all."""
    free = spot.width - 0.1 * (len(papers) + 1)
    x = spot.x - spot.width / 2 + 0.1
    for name, lines in sorted(papers.items(), key=lambda item: item[1]):
        wide = free * lines / sum(papers.values())
        _box(ax, f"paper-{name}", lines, x + wide / 2, low + 0.1, wide, HEIGHT - 0.06, FILLS["paper"])
        x += wide + 0.1


def _box(ax, gid: str, lines: int, x: float, y: float, wide: float, high: float, fill: str) -> None:
    """x : of its middle; y : of its lower edge. Two lines of words at its upper edge."""
    from matplotlib.patches import FancyBboxPatch

    style, corner = "round,pad=0,rounding_size=0.06", (x - wide / 2, y)
    ax.add_patch(FancyBboxPatch(corner, wide, high, boxstyle=style, fc=fill, ec=INK, lw=0.8, gid=gid, zorder=3))
    words = {"ha": "center", "va": "center", "color": INK, "zorder": 4}
    ax.text(x, y + high - 0.15, gid.partition("-")[2], weight="bold", **words)
    ax.text(x, y + high - 0.33, f"{lines:,}", fontsize=7.5, **words)


def _arrows(ax, spot: Spot, bottoms, tops) -> None:
    """From a box or a lane down to what it is joined to, and across a lane."""
    from matplotlib.patches import FancyArrowPatch, PathPatch
    from matplotlib.path import Path as Way

    line = {"color": SOFT, "lw": 1.1, "zorder": 2}
    if not spot.name:
        ax.plot((spot.x, spot.x), (bottoms[spot.floor], tops[spot.floor]), **line)
    for other in spot.downs:
        if other.floor == spot.floor:
            side = 1 if other.x > spot.x else -1
            begin, end = spot.x + side * spot.width / 2, other.x - side * other.width / 2
            y = bottoms[spot.floor] + HEIGHT / 2
            arrow = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
            ax.add_patch(FancyArrowPatch((begin, y), (end, y), **arrow, **line))
            continue
        begin, end = (_port(spot, other, "downs"), bottoms[spot.floor]), (_port(other, spot, "ups"), tops[other.floor])
        half = (begin[1] + end[1]) / 2
        way = Way([begin, (begin[0], half), (end[0], half), end], [Way.MOVETO, *[Way.CURVE4] * 3])
        if other.name:
            ax.add_patch(FancyArrowPatch(path=way, arrowstyle="-|>", mutation_scale=9, **line))
        else:
            ax.add_patch(PathPatch(way, fill=False, **line))


def _port(spot: Spot, other: Spot, side: str) -> float:
    """x at which an arrow leaves or reaches a box: spread over its width, in the order of the other ends."""
    others = sorted((o for o in getattr(spot, side) if o.floor != spot.floor), key=lambda o: o.x)
    share = (others.index(other) + 1) / (len(others) + 1)
    return spot.x + spot.width * (share - 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, default=PACKAGE, help="folder of the code")
    parser.add_argument("-o", "--out", type=Path, default=PICTURE, help="picture to write")
    wanted = parser.parse_args()
    draw(look(wanted.package), wanted.out)
    print(f"{wanted.out} is drawn.")


if __name__ == "__main__":
    main()
