"""The notebooks as a set: find them, check them, run them without a browser, refresh their outputs."""

import sys
from pathlib import Path

from covidseg.checkout import checkout
from covidseg.errors import UserError, unknown_name
from covidseg.files import write_text

# jsonschema, behind every notebook file, imports this where it is installed, and it compiles a grammar of web
# addresses for a second or two in each process. No notebook needs it; None makes the import fail, which is allowed.
sys.modules.setdefault("rfc3987_syntax", None)

__all__ = ["all_notebooks", "is_lesson", "notebook_folder", "read", "resolve", "write"]


def notebook_folder() -> Path:
    """The folder ``notebooks/`` of this checkout. Raises UserError where the package was installed without one."""
    return checkout() / "notebooks"


def all_notebooks(folder: Path | None = None) -> list[Path]:
    """Every numbered notebook, in the order of a course."""
    return sorted((folder or notebook_folder()).glob("[0-9][0-9]_*.ipynb"))


def resolve(names: list[str], folder: Path | None = None) -> list[Path]:
    """Notebooks by name, by number or by path; all of them for no names.

    "10", "10_ct_data", "10_ct_data.ipynb" and "notebooks/10_ct_data.ipynb" are the same notebook.
    Raises UnknownName.
    """
    known = {path.stem: path for path in all_notebooks(folder)}
    if not names:
        return list(known.values())
    chosen = []
    for name in names:
        stem = name.removesuffix(".ipynb")
        if stem in known:
            chosen.append(known[stem])
        elif Path(name).is_file():
            chosen.append(Path(name).resolve())
        else:
            numbered = [
                path for known_stem, path in known.items() if stem.isdigit() and known_stem.startswith(f"{stem}_")
            ]
            if not numbered:
                raise unknown_name("notebook", name, known)
            chosen += numbered
    return list(dict.fromkeys(chosen))


def is_lesson(path: Path) -> bool:
    """Does this notebook teach, and so have exercises? The table notebooks (3x) and the tools (4x) do not."""
    return path.name[0] in "012"


def read(path: Path):
    """A notebook as nbformat 4. Raises UserError for a file that is not one."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise UserError(f"There is no notebook {path}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from None
    except Exception as error:  # of a file that is none, nbformat raises what it meets first: seven kinds so far
        raise UserError(f"{path} is not a notebook ({type(error).__name__}).") from None


def write(notebook, path: Path) -> None:
    """Save a notebook where it was, or elsewhere. Raises UserError where that cannot be done."""
    import nbformat

    write_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")
