"""What `make` does, where there is no make, as on Windows: plain Python 3.11 or newer, before anything is installed.

    python tools/setup.py run     # set up in .venv, run every notebook in the smoke budget
    python tools/setup.py test    # set up, then all checks and tests
    python tools/setup.py lab     # set up, then open copies of the notebooks in mine/

tests/test_any_machine.py compares these steps with the Makefile's.
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = ("requirements.lock", "pyproject.toml")  # what is installed is old when one of these is newer
OLDEST = (3, 11)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # one each, as the Makefile says why
SLOW = "PYTHONDONTWRITEBYTECODE"  # not handed on, as the Makefile says why
NBVAL = (
    "--nbval-lax --nbval-current-env --nbval-sanitize-with tests/nbval.cfg --nbval-cell-timeout=300 "
    "--nbval-kernel-startup-timeout=120"
)
TARGETS = {  # each line: variables to set, program of the environment, its words
    "run": ("covidseg notebooks run --budget smoke --jobs {jobs}",),
    "test": (
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "COVIDSEG_BUDGET=smoke COVIDSEG_QUIET=1 python -m pytest -n {jobs} --dist loadscope --no-loadscope-reorder "
        f"{NBVAL} tests/browser tests notebooks",
    ),
    "lab": ("covidseg notebooks copy -o mine", "jupyter lab mine/00_start_here.ipynb"),
    "site": ("covidseg site -o site",),
}


def programs(environment: Path, *, windows: bool = os.name == "nt") -> Path:
    """The folder of an environment's programs."""
    return environment / ("Scripts" if windows else "bin")


def installing(environment: Path, pip_flags: str) -> list[list[str]]:
    """The commands that fill an environment."""
    pip = [str(programs(environment) / "python"), *["-m", "pip", "install", "-qq", "--disable-pip-version-check"]]
    pip += shlex.split(pip_flags)
    return [[*pip, "--no-compile", "-r", "requirements.lock"], [*pip, "--no-deps", "-e", "."]]


def commands(target: str, environment: Path, jobs: int) -> list[tuple[dict[str, str], list[str]]]:
    """What a target runs, as (variables, words)."""
    made = []
    for line in TARGETS[target]:
        words = line.format(jobs=jobs).split()
        variables = dict(word.split("=", 1) for word in words if word.split("=")[0].isupper())
        program, *rest = [word for word in words if word.split("=")[0] not in variables]
        made.append((variables, [str(programs(environment) / program), *rest]))
    return made


def set_up(environment: Path, pip_flags: str, dry: bool) -> None:
    """Make the environment, unless it is newer than the lists of packages."""
    ready = environment / ".ready"
    if ready.is_file() and all((ROOT / name).stat().st_mtime <= ready.stat().st_mtime for name in LISTS):
        return
    first = [] if (programs(environment) / "python").exists() else [[sys.executable, "-m", "venv", str(environment)]]
    print(f"Installing into {environment}: about 2 GB, a few minutes, once.", flush=True)
    for words in [*first, *installing(environment, pip_flags)]:
        if dry:
            print(shlex.join(words))
        elif subprocess.run(words, cwd=ROOT).returncode:
            raise SystemExit(f"This step failed, and its lines above say why: {shlex.join(words)}")
    if not dry:
        ready.touch()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Set up the kit and run a part of it, without make.")
    parser.add_argument("target", nargs="?", default="run", choices=TARGETS)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="folder of the environment")
    parser.add_argument("--pip-flags", default="", help='such as "--no-index --find-links wheels", without internet')
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    chosen = parser.parse_args(arguments)
    if sys.version_info < OLDEST:
        raise SystemExit(
            f"covidseg needs Python {'.'.join(map(str, OLDEST))} or newer; this is {sys.version.split()[0]}."
        )
    environment = ROOT / chosen.venv
    set_up(environment, chosen.pip_flags, chosen.dry_run)
    status = 0
    for variables, words in commands(chosen.target, environment, chosen.jobs):
        if chosen.dry_run:
            print(*(f"{name}={value}" for name, value in variables.items()), shlex.join(words))
            continue
        inner = {name: "1" for name in THREADS if name not in os.environ} | variables
        outer = {name: value for name, value in os.environ.items() if name != SLOW}
        status |= bool(subprocess.run(words, cwd=ROOT, env=outer | inner).returncode)
    return status


if __name__ == "__main__":
    sys.exit(main())
