"""A hash of the source that computes numbers: equal hashes, equal numbers on equal data and machine."""

from functools import cache
from hashlib import sha256
from pathlib import Path

import covidseg

PACKAGE = Path(covidseg.__file__).parent
# Modules and packages whose code decides a score. Plots, commands, this package's tables and prose decide none.
NUMERIC = (
    "backbones", "data", "inference", "losses", "metrics", "nn", "papers", "phantom", "profiling", "runs/networks",
    "runs/settings", "runs/task", "runs/trial", "scans/read", "scans/upright", "training", "zoo",
)  # fmt: skip


@cache
def source_key(package: Path = PACKAGE) -> str:
    """sha256 (hex) over path and text of every such module that is there."""
    digest = sha256()
    for name in NUMERIC:
        for file in (package / f"{name}.py", *sorted((package / name).rglob("*.py"))):
            if file.is_file():
                digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
