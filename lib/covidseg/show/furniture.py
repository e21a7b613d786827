"""What every figure has: axes, a title, a frame."""

from covidseg.show.pictures import INK, RULE


def axes_or_current(ax):
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.gca()


def titled(ax, title, pad=6):
    if title:
        ax.set_title(title, fontsize=9, color=INK, pad=pad)
    return ax


def frame(ax, *sides):
    """Keep only the named sides of the box, thin and grey."""
    for name, spine in ax.spines.items():
        spine.set_visible(name in sides)
        spine.set_color(RULE)
