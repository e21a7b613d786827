"""What a notebook shows of itself on a page that leads to it: its title, its question, its first picture."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from covidseg.errors import UserError
from covidseg.lessons import read

__all__ = ["Face", "face", "face_of"]

WIDTH = 440  # pixels of the small picture: twice what a page gives it, for screens of fine pixels
HEIGHT = 330
LARGEST = 4_000_000  # bytes of a picture that is opened at all


@dataclass(frozen=True)
class Face:
    """title : its first heading; minutes : budget -> text; picture : address of itself, "" for none."""

    name: str
    title: str
    question: str = ""
    minutes: dict | None = None
    paper: str = ""
    picture: str = ""


def face_of(path: Path) -> Face:
    """`face` of a file; for one that cannot be read, or is odd, its name alone."""
    try:
        return face(read(path), path.stem)
    except (UserError, AttributeError, TypeError, ValueError):
        return Face(path.stem, path.stem)


def face(notebook, name: str) -> Face:
    """What the notebook says of itself in its metadata, and what it shows first."""
    about = notebook.metadata.get("covidseg")
    about = about if isinstance(about, dict) else {}
    minutes = about.get("minutes")
    return Face(
        name=name,
        title=_title(notebook) or name,
        question=str(about.get("question") or ""),
        minutes={str(key): str(value) for key, value in minutes.items()} if isinstance(minutes, dict) else {},
        paper=str(about.get("paper") or ""),
        picture=next(filter(None, map(small, _pngs(notebook))), ""),
    )


def small(png: str) -> str:
    """The top of a picture (base64) in small, as the address of itself; "" for one that cannot be opened."""
    from PIL import Image

    try:
        if len(png) > LARGEST:
            return ""
        with Image.open(BytesIO(b64decode(png))) as picture:
            picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture)
        height = max(1, round(picture.height * WIDTH / picture.width))
        shown = white.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
        file = BytesIO()
        shown.crop((0, 0, WIDTH, min(height, HEIGHT))).save(file, "JPEG", quality=82)
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"


def _title(notebook) -> str:
    for cell in notebook.cells:
        first = str(cell.source).partition("\n")[0]
        if cell.cell_type == "markdown" and first.startswith("# "):
            return first.removeprefix("# ").strip()
    return ""


def _pngs(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if isinstance(png, str):
                yield png
