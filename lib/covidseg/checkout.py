"""The checkout this package runs from: notebooks, data and results lie there, beside lib/."""

from pathlib import Path

from covidseg.errors import UserError

__all__ = ["checkout", "find_checkout"]


def find_checkout() -> Path | None:
    """Its root folder, or None where the package was installed without one."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "notebooks").is_dir() and (root / "pyproject.toml").is_file() else None


def checkout() -> Path:
    """Its root folder. Raises UserError where there is none: catalogue, notebooks and results lie in it."""
    root = find_checkout()
    if root is None:
        raise UserError("covidseg runs from its repository: clone it and install with `pip install -e .`.")
    return root
