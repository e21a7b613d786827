"""The papers, a folder each: network, losses, recipes, protocol, tables, drawings and checks of one paper."""

from pathlib import Path

__all__ = ["NAMES", "folder"]

NAMES = ("miniseg", "infnet")


def folder(name: str) -> Path:
    """Where a paper lies."""
    return Path(__file__).parent / name
