"""One picture, some controls, one caption: the frame that every widget of the kit is built on."""

import inspect
import re
import zlib
from base64 import b64encode
from collections.abc import Callable
from html import escape, unescape
from io import BytesIO

import ipywidgets as W
import numpy as np

from covidseg.errors import UserError
from covidseg.show.widgets.style import STYLE

__all__ = ["ImagePanel", "interactive_image", "png"]

WIDE, HIGH = 512, 576  # a picture's room in pixels: a laptop shows it whole, and larger ones slow the sliders down
FEW = 32  # letters: choices that fit this are buttons, more of them become a drop-down list


def interactive_image(render: Callable, /, **controls) -> "ImagePanel":
    """A picture that follows its controls: one control per argument of ``render``.

    render : function of the controls' values, by name. Returns a picture, or (picture, caption).
        picture : uint8 (H, W) grey or (H, W, 3); see `covidseg.show.pictures` for slices, overlays and maps
        caption : text or HTML, one or two sentences of fact about what is shown
    controls : one per argument, written as
        range(40) or (0, 39)         slider of whole numbers
        (0.0, 1.0) or (0.0, 1.0, .1) slider of decimals; the third number is the step
        ["CT", "mask"] or a dict     buttons, or a list if they are many; a dict gives label -> value
        True                         a tick box
        any ipywidget with a value   taken as it is
    A default in render's signature is where its control starts; without one, sliders start in the middle, choices
    with the first. Underscores in names become spaces in labels.

    Returns an ImagePanel: put it last in a cell. Raises UserError for a control it cannot build, and whatever
    ``render`` raises on the first drawing; an error on a later one is shown as the caption.

    >>> from covidseg import load_dataset, metrics                                     # doctest: +SKIP
    >>> from covidseg.show.pictures import overlay_rgb
    >>> case = load_dataset("phantom", n=1)[0]                                         # doctest: +SKIP
    >>> def shifted(columns=0, shown=True):
    ...     moved = np.roll(case.infection, columns, axis=1)
    ...     dice = metrics.segmentation_scores(moved, case.infection)["dice"]
    ...     return overlay_rgb(case.image, moved, case.infection if shown else None), f"Dice {dice:.3f}"
    >>> interactive_image(shifted, columns=(-40, 40), shown=True)                      # doctest: +SKIP
    """
    return ImagePanel(render, controls)


class Picture(W.Image):
    """An image with a tooltip: of who has one the page wants a description, too, or it shows nothing."""

    def get_state(self, *args, **kwargs):
        return {"description": "", **super().get_state(*args, **kwargs)}


class ImagePanel(W.HBox):
    """What `interactive_image` returns: ``.controls`` (name -> widget), ``.values``, ``.image``, ``.caption``.

    ``.error`` is the exception of the last drawing, or None.
    """

    def __init__(self, render: Callable, controls: dict, *, css: str = ""):
        starts = _defaults(render)
        self.controls = {name: make_control(name, spec, starts.get(name, _NONE)) for name, spec in controls.items()}
        self.render, self.error, self._adapting = render, None, False
        self.image = Picture(format="png", layout=W.Layout(max_width="100%", flex="0 0 auto", margin="0"))
        self.caption = W.HTML(layout=W.Layout(width="auto"))
        self.image.add_class("covidseg-picture")
        self.caption.add_class("covidseg-caption")
        # the width is an offer: in a narrow window the row wraps and the controls go below the picture
        save, self.link = W.Button(description="save PNG", tooltip="offer this picture as a file"), W.HTML()
        save.layout.width, save.style.button_color = "96px", "transparent"
        save.on_click(lambda _: self.offer())
        below = W.HBox([save, self.link])
        side = W.VBox([*self.controls.values(), self.caption, below, W.HTML(STYLE, layout=W.Layout(display="none"))])
        side.layout = W.Layout(flex="1 1 320px", min_width="280px", max_width="520px")
        side.add_class("covidseg-side")
        super().__init__([self.image, side], layout=W.Layout(flex_flow="row wrap", overflow="hidden"))
        for css_class in filter(None, ("covidseg-panel", css)):
            self.add_class(css_class)
        self.draw()  # an author's mistake surfaces in the cell that makes it
        for control in self.controls.values():
            control.observe(self._changed, "value")

    @property
    def values(self) -> dict:
        """Name -> current value of every control."""
        return {name: control.value for name, control in self.controls.items()}

    def __repr__(self) -> str:
        # what a notebook shows where no kernel runs, GitHub for one; ipywidgets cuts it after 110 letters
        labels = ", ".join(control.description for control in self.controls.values())
        return f"{type(self).__name__}: run the notebook to move {labels}."

    def _repr_mimebundle_(self, **kwargs):
        """The widget, and for where no kernel runs its picture as it is now."""
        return super()._repr_mimebundle_(**kwargs) | {"image/png": b64encode(self.image.value).decode()}

    def offer(self) -> None:
        """A link below the caption to the picture as a file, in full size; it is out of date with the next drawing."""
        data = b64encode(self.image.value).decode()
        name = "_".join(re.sub(r"[^\w.-]+", "-", str(value)) for value in self.values.values()) or "picture"
        self.link.value = f'<a download="{name}.png" href="data:image/png;base64,{data}">download {name}.png</a>'

    def draw(self) -> None:
        """Call ``render`` with the current values and show what it returns."""
        picture, caption = _split(self.render(**self.values))
        self.image.value, self.link.value = png(fit(picture)), ""
        self.image.tooltip = _plain(caption)  # the picture's name for a screen reader
        self.caption.value = caption  # last: who sees the new caption can rely on the new picture

    def refresh(self) -> None:
        """Draw again; an error becomes the caption, because a browser shows no traceback of a callback."""
        try:
            self.draw()
            self.error = None
        except Exception as error:
            self.error = error
            name = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            line = " ".join(str(error).split())
            self.caption.value = f'<span class="covidseg-error">Not drawn. {escape(name + line)}</span>'

    def adapt(self, changed: str) -> None:
        """Bring the other controls in line after ``changed`` moved: for panels with linked controls."""

    def _changed(self, change) -> None:
        if self._adapting:  # adapt() moves controls itself: one picture at its end, none on the way
            return
        self._adapting = True
        try:
            self.adapt(next(name for name, control in self.controls.items() if control is change.owner))
        finally:
            self._adapting = False
        self.refresh()


def make_control(name: str, spec, start=...) -> W.Widget:
    """The widget for one control; ``spec`` as `interactive_image` lists them, ``start`` its first value if given."""
    label = name.replace("_", " ")
    if isinstance(spec, W.Widget):
        widget = spec
        if not widget.has_trait("value"):
            raise UserError(f"Control {name!r}: {type(spec).__name__} has no value to follow.")
        widget.description = widget.description or label
    elif isinstance(spec, bool):
        widget = W.Checkbox(spec if start is _NONE else bool(start), description=label, indent=True)
    elif isinstance(spec, range | tuple):
        widget = _slider(name, label, spec, start)
    elif isinstance(spec, list | dict) and spec:
        widget = _choice(name, label, spec, start)
    else:
        raise UserError(f"Control {name!r} is {spec!r}: give (low, high), range(n), a list of choices, or True.")
    widget.layout.width = "auto"
    widget.style.description_width = "72px"
    widget.add_class("covidseg-control")
    widget.add_class(f"covidseg-{name.replace('_', '-')}")
    return widget


_NONE = ...  # "no start value": None may be a choice


def _slider(name, label, spec, start):
    low, high, step, whole = _scale(name, spec)
    if low == high:  # a slider without length cannot be drawn
        return _choice(name, label, [low], _NONE)
    if start is _NONE:
        start = low + (high - low) // 2 if whole else (low + high) / 2
    elif not _is_number(start) or not low <= start <= high:
        raise UserError(f"Control {name!r} starts at {start!r}, outside {low} to {high}.")
    kind = W.IntSlider if whole else W.FloatSlider
    return kind(start, min=low, max=high, step=step, description=label)


def _scale(name, spec):
    """Low end, high end, step, and whether all values are whole numbers."""
    numbers = tuple(spec) if isinstance(spec, tuple) else _ends(name, spec)
    if len(numbers) not in (2, 3) or not all(map(_is_number, numbers)):
        raise UserError(f"Control {name!r} is {spec!r}: a slider is (low, high) or (low, high, step).")
    low, high, *step = numbers
    if low > high:
        raise UserError(f"Control {name!r} is {spec!r}: its low end is above its high end.")
    whole = all(isinstance(n, int | np.integer) for n in numbers)
    usual = 1 if whole else (high - low) / 100
    return low, high, step[0] if step else usual, whole


def _is_number(value) -> bool:
    return isinstance(value, int | float | np.number)


def _ends(name, steps: range):
    if not len(steps) or steps.step < 0:
        raise UserError(f"Control {name!r} is {steps!r}: there is nothing to choose from.")
    return steps[0], steps[-1], steps.step


def _choice(name, label, choices, start):
    options = list(choices.items()) if isinstance(choices, dict) else [(str(c), c) for c in choices]
    values = [value for _, value in options]
    if start is _NONE:
        start = values[0]
    elif start not in values:
        raise UserError(f"Control {name!r} starts at {start!r}, which is not among {values}.")
    few = sum(len(text) + 2 for text, _ in options) <= FEW
    kind = W.ToggleButtons if few else W.Dropdown
    return kind(options=options, value=start, description=label)


def _defaults(render) -> dict:
    parameters = inspect.signature(render).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def _plain(html: str) -> str:
    """Text of a caption in one line: what stands before its table, or all of it if nothing does."""
    words = html.partition("<table")[0].strip() or html
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", words)).split())


def _split(result) -> tuple[np.ndarray, str]:
    return (result[0], str(result[1])) if isinstance(result, tuple) else (result, "")


def fit(picture) -> np.ndarray:
    """Bring a picture to screen size, at most 512 pixels wide and 576 high; small ones grow by whole factors.

    picture : uint8 or bool (H, W) or (H, W, 3). Raises UserError for anything else, e.g. a float image, whose
    black and white nobody stated.
    """
    picture = np.asarray(picture)
    if picture.dtype == bool:
        picture = picture * np.uint8(255)
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
        raise UserError(
            f"A picture is uint8 (H, W) or (H, W, 3); render returned {picture.dtype} {picture.shape}. "
            "covidseg.show.pictures.slice_rgb turns a slice into one."
        )
    scale = min(HIGH / picture.shape[0], WIDE / picture.shape[1])
    if scale < 1:
        from PIL import Image

        size = [max(1, round(n * scale)) for n in picture.shape[1::-1]]
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
    times = int(scale)
    return picture.repeat(times, 0).repeat(times, 1) if times > 1 else picture  # pixels stay visible as pixels


def png(picture: np.ndarray) -> bytes:
    """PNG bytes of a uint8 picture, fast: on a slice a third less time than level 1 alone, and a smaller file."""
    from PIL import Image

    out = BytesIO()
    Image.fromarray(picture).save(out, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return out.getvalue()
