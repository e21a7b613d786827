"""Where a number comes from: code, packages, machine, time. What must stand beside every result."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from covidseg import __version__

__all__ = ["code_version", "peak_memory_mb", "provenance"]

PACKAGES = ("torch", "numpy", "scipy")


def provenance(device: str | torch.device = "cpu") -> dict:
    """Code version, package versions, machine and time (UTC), as plain values."""
    return {
        "covidseg": __version__,
        "code": code_version(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "device": str(device),
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def code_version() -> str | None:
    """Commit of the checkout this package runs from, with "+changes" if files differ from it; None outside git."""
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None or _git(folder, "ls-files", "--error-unmatch", "provenance.py") is None:
        return None  # no repository, or one that happens to lie around an installed copy
    return commit + ("+changes" if _git(folder, "status", "--porcelain", "--", ".") else "")


def device_name(device: str | torch.device) -> str:
    """The GPU's name, or the processor's."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def peak_memory_mb(device: str | torch.device = "cpu") -> float | None:
    """Most memory taken so far, in MiB: torch's on a GPU, the whole process's on a CPU; None where unknown."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)  # bytes there, KiB elsewhere


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # only looking
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
