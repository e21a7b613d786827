"""Run notebooks without a browser: each in a fresh process, none able to stop the others."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path

from covidseg.errors import UserError
from covidseg.files import make_folder, read_json
from covidseg.lessons import read, schema, write
from covidseg.lessons.tidy import tidy
from covidseg.progress import progress
from covidseg.repeatable import THREAD_VARIABLES

ATTEMPTS = 3  # only for a kernel that never started: two starting at once may be given the same port


@dataclass
class Outcome:
    """What became of one notebook."""

    name: str
    status: str  # "done", "failed", "timeout"
    seconds: float
    error: str = ""
    results: dict = field(default_factory=dict)
    executed: Path | None = None

    def to_dict(self) -> dict:
        return asdict(self) | {"executed": self.executed.name if self.executed else None}


@dataclass(frozen=True)
class Limits:
    """Bounds for a notebook that somebody else wrote. An error in one of its cells does not end it."""

    cell: int = 60  # seconds that one cell may take; one with ``metadata.covidseg.ours`` has the whole notebook's
    memory: float = 8  # GiB of addresses for each process, where the system can bound it (not on Windows)


def run_notebook(
    source: Path,
    folder: Path,
    parameters: dict | None = None,
    *,
    timeout: float = 1800,
    environment: dict | None = None,
    limits: Limits | None = None,
) -> Outcome:
    """Execute one notebook into ``folder``: NAME.ipynb, result.json, log.txt, outcome.json.

    parameters : checked against the notebook's parameters cell before any process starts
    timeout : seconds for the whole notebook
    environment : variables to set besides the runner's own, such as CUDA_VISIBLE_DEVICES
    limits : for work that is not yours
    Raises UserError for bad parameters. Everything after that, also a crash or a full disk, is in the Outcome.
    """
    parameters = schema.accept(read(source), parameters, source.stem) if parameters else {}
    begin = time.monotonic()
    try:
        outcome = _run(source, folder, parameters, timeout, environment, limits)
    except (UserError, OSError) as error:
        outcome = Outcome(source.stem, "failed", 0.0, error=str(error))
    outcome.seconds = time.monotonic() - begin
    return outcome


def _run(
    source: Path,
    folder: Path,
    parameters: dict,
    timeout: float,
    environment: dict | None,
    limits: Limits | None,
) -> Outcome:
    make_folder(folder)
    executed = folder.resolve() / source.name
    job = {
        "source": str(source.resolve()),
        "output": str(executed),
        "parameters": parameters,
        "cwd": str(source.resolve().parent),
        "timeout": timeout,
        "outcome": str(folder.resolve() / "outcome.json"),
        "parent": os.getpid(),
        "limits": asdict(limits) if limits else None,
    }
    result = folder.resolve() / "result.json"
    result.unlink(missing_ok=True)  # never take an older run's numbers for this one's
    for attempt in range(ATTEMPTS):
        outcome = _in_fresh_process(job, _environment(result, environment), timeout, folder / "log.txt")
        if outcome["status"] != "no kernel":
            break
        time.sleep(1 + attempt)
    status = "failed" if outcome["status"] == "no kernel" else outcome["status"]
    if executed.is_file():
        write(tidy(read(executed)), executed)
    results = _read(result).get("results")
    return Outcome(
        name=source.stem,
        status=status,
        seconds=0.0,
        error=outcome["error"],
        results=results if isinstance(results, dict) else {},
        executed=executed if executed.is_file() else None,
    )


def run_notebooks(
    sources: list[Path],
    folder: Path,
    parameters: dict | None = None,
    *,
    jobs: int = 1,
    timeout: float = 1800,
    tell=None,
) -> list[Outcome]:
    """Execute notebooks into ``folder/NAME/``, ``jobs`` at a time; the outcomes in the order of ``sources``.

    parameters : given to every notebook, so each must know them all; refused before the first one starts
    tell : called with each Outcome as it comes
    """
    for source in sources:
        schema.accept(read(source), parameters or {}, source.stem)
    make_folder(folder)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            waiting = {
                pool.submit(run_notebook, source, folder / source.stem, parameters, timeout=timeout): source
                for source in sources
            }
            outcomes = {}
            for future in progress(as_completed(waiting), "notebooks", total=len(waiting)):
                outcomes[waiting[future]] = future.result()
                if tell:
                    tell(future.result())
        except BaseException:  # Ctrl-C: nothing may run on unseen
            pool.shutdown(wait=False, cancel_futures=True)
            stop_children()
            raise
    return [outcomes[source] for source in sources]


_children: set[subprocess.Popen] = set()
_lock = threading.Lock()


def stop_children() -> None:
    """End every notebook this process has started. Each child asks its kernel to end, then ends itself."""
    with _lock:
        for child in _children:
            child.terminate()


def _in_fresh_process(job: dict, environment: dict, timeout: float, log: Path) -> dict:
    """Start ``child`` on the job and wait. Returns its outcome, or the reason why there is none."""
    outcome = Path(job["outcome"])
    outcome.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch, log.open("w", encoding="utf-8") as out:
        path = Path(scratch, "job.json")
        path.write_text(json.dumps(job), encoding="utf-8")
        environment = environment | {"JUPYTER_RUNTIME_DIR": scratch}  # its own: connection files cannot collide
        child = subprocess.Popen(
            [sys.executable, "-m", "covidseg.lessons.child", str(path)],
            env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        with _lock:
            _children.add(child)
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            _end(child)
            return {"status": "timeout", "error": f"took longer than {timeout:g} s"}
        except BaseException:
            _end(child)
            raise
        finally:
            with _lock:
                _children.discard(child)
    told = _read(outcome)
    if {"status", "error"} <= told.keys():
        return told
    return {"status": "failed", "error": f"the process ended with status {child.returncode}; see {log.name}"}


def _read(path: Path) -> dict:
    """A JSON file of the run; {} if it is not there, was cut short with its writer, or is no mapping."""
    try:
        value = read_json(path)
    except (FileNotFoundError, UserError):
        return {}
    return value if isinstance(value, dict) else {}


def _end(child: subprocess.Popen) -> None:
    """Ask, then insist. A kernel whose parent is gone ends by itself."""
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _environment(result: Path, extra: dict | None) -> dict:
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # or figures go missing
    environment |= {"COVIDSEG_QUIET": "1", "COVIDSEG_RESULT": str(result), "PYTHONUNBUFFERED": "1"}
    for variable in THREAD_VARIABLES:
        environment.setdefault(variable, "1")
    return environment | (extra or {})
