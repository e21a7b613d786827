"""The rivals of the papers, one file per network, which bears its name; a file that begins with _ is shared by some."""

from pathlib import Path

__all__ = ["names"]


def names() -> list[str]:
    """Names of all rivals, sorted: one for each file, and nothing of them is imported."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
