"""Boxes and arrows on an Axes, from which the papers' diagrams are made; a box of WIDTH x HEIGHT is the unit."""

from covidseg.show.pictures import INK, QUIET

__all__ = ["HEIGHT", "WIDTH", "arrow", "bend", "box", "chain", "finish", "many", "sign"]

WIDTH, HEIGHT = 2.3, 1.0


def many(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def box(ax, x, y, colour, name, size="", *, width=WIDTH, height=HEIGHT):
    from matplotlib.patches import FancyBboxPatch

    style, corner = "round,pad=0.0,rounding_size=0.15", (x - width / 2, y - height / 2)
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, fc=colour, ec="none"))
    ax.text(x, y + (0.18 if size else 0), name, fontsize=9, color="white", ha="center", va="center")
    ax.text(x, y - 0.25, size, fontsize=6.5, color="white", ha="center", va="center")


def sign(ax, x, y, text):
    ax.text(x, y, text, fontsize=13, color=INK, ha="center", va="center",
            bbox=dict(boxstyle="circle,pad=0.15", fc="white", ec=QUIET))  # fmt: skip


def arrow(ax, start, end, colour=QUIET):
    ax.annotate("", end, start, arrowprops=dict(arrowstyle="->", color=colour, lw=1.2, shrinkA=0, shrinkB=0))


def chain(ax, centres, y=0.0):
    """Arrows from box to box along a row."""
    for left, right in zip(centres[:-1], centres[1:], strict=True):
        arrow(ax, (left + WIDTH / 2, y), (right - WIDTH / 2, y))


def bend(ax, points, colour=QUIET):
    """A line around corners that ends in an arrow."""
    ax.plot(*zip(*points[:-1], strict=True), color=colour, lw=1.2, solid_capstyle="butt")
    arrow(ax, points[-2], points[-1], colour)


def finish(ax, right, low, high):
    ax.set(xlim=(-WIDTH / 2 - 0.2, right + WIDTH / 2 + 0.2), ylim=(low, high), aspect="equal")
    ax.set_axis_off()
    return ax
