"""Do one run: claim it, execute its notebook in a folder of its own, give the folder its name when all is there.

``python -m covidseg.runs.work`` reads the run from its input and answers in one line of JSON. A worker of the
cluster starts this program for each run, so that whatever dies, dies alone: this process ends its notebook when its
worker is gone, and a worker that is gone is replaced.
"""

import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from covidseg.files import scratch_files
from covidseg.runs.locks import claim, holder_of
from covidseg.runs.record import write_json

LITTER = 60.0  # seconds: a file that lives for a moment and is older belongs to nobody
PASSING = re.compile(r"\.clock\.[0-9a-f]{32}|.+-[0-9a-f]{8}\.lock\.[0-9a-f]{32}")  # see `locks`: probes, buried locks
INTERRUPTED = ("timeout", "the kernel died")  # such a run may go on from its last checkpoint


def do(run: dict, folder: Path, timeout: float) -> dict:
    """Do ``run`` (a Run as dict) in ``folder``. Returns what ``batch.json`` holds, and ``"status"``:

    "done"; "had" (done before, nothing to do); "busy" (someone else is at it); "failed" or "timeout", with "error";
    "stopped", if the worker or its batch ended it.
    """
    if found := finished(folder, run):
        return found | {"status": "had"}
    with claim(folder / f"{run['name']}.lock") as holder:
        if holder:
            return run | {"status": "busy", "error": f"{holder} is at it"}
        if found := finished(folder, run):
            return found | {"status": "had"}
        return _attempt(run, folder, timeout)


def finished(folder: Path, run: dict) -> dict | None:
    """The ``batch.json`` of a finished run, None where there is none with this key."""
    told = _told(folder / run["name"])
    return told if told.get("key") == run["key"] else None


def _told(folder: Path) -> dict:
    """What an attempt left in its ``batch.json``; {} where that is not there, or damaged."""
    try:
        told = json.loads((folder / "batch.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _attempt(run: dict, folder: Path, timeout: float) -> dict:
    """Execute the notebook in a folder that is renamed at the end: NAME if it worked, NAME.failed if not."""
    from covidseg.errors import UserError
    from covidseg.lessons.runner import run_notebook

    part = _workplace(folder, run["name"])
    begin = time.time()
    try:
        outcome = run_notebook(_source(run), part, run["parameters"], timeout=timeout)
        told = {"status": outcome.status, "error": outcome.error, "results": outcome.results}
    except UserError as error:
        told = {"status": "failed", "error": str(error), "results": {}}
    if _abandoned.is_set() and told["status"] != "done":  # its folder stays, for the next attempt
        return run | {"status": "stopped", "error": "the batch was ended"}
    told = run | told | {"seconds": time.time() - begin, "host": socket.gethostname(), "begun": begin}
    _write_page(part / Path(run["notebook"]).name, told)
    write_json(part / "batch.json", told)
    _name_folder(part, folder / (run["name"] if told["status"] == "done" else f"{run['name']}.failed"))
    return told


def _workplace(folder: Path, name: str) -> Path:
    """A new folder for an attempt, with what a killed one left in it.

    Renamed and not used in place: should that attempt's kernel still live, its files now go where nobody looks.
    """
    part = folder / f"{name}.part-{uuid4().hex[:8]}"
    left = sorted(folder.glob(f"{name}.part-*"), key=lambda path: path.stat().st_mtime)
    failed = folder / f"{name}.failed"
    if not left and _was_interrupted(failed):
        left = [failed]
    if left:
        os.rename(left.pop(), part)
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    part.mkdir(exist_ok=True)
    return part


def _was_interrupted(failed: Path) -> bool:
    told = _told(failed)
    return told.get("status") in INTERRUPTED or str(told.get("error")).startswith(INTERRUPTED)


def _name_folder(part: Path, final: Path) -> None:
    """The one step that makes a run count."""
    shutil.rmtree(final, ignore_errors=True)
    os.rename(part, final)
    if not final.name.endswith(".failed"):
        shutil.rmtree(final.with_name(f"{final.name}.failed"), ignore_errors=True)


def sweep(folder: Path, names: list[str]) -> None:
    """Remove what killed attempts of finished runs left behind, and files of a moment that a kill left."""
    for name in names:
        for path in folder.glob(f"{name}.part-*"):
            shutil.rmtree(path, ignore_errors=True)
        if not holder_of(lock := folder / f"{name}.lock"):
            lock.unlink(missing_ok=True)
    for path in _litter(folder):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LITTER:
                path.unlink()


def _litter(folder: Path) -> list[Path]:
    """Files that live for a moment. The folder may be anyone's home: a name must be one that only we write."""
    kept = (folder / name for name in ("runs.json", "summary.csv", "index.html"))
    passing = (path for path in folder.iterdir() if PASSING.fullmatch(path.name))
    return [*passing, *(part for path in kept for part in scratch_files(path))]


def _source(run: dict) -> Path:
    """The notebook: where the batch found it, else this machine's own of that name."""
    from covidseg.lessons import resolve

    path = Path(run["notebook"])
    return path if path.is_file() else resolve([path.stem])[0]


def _write_page(executed: Path, told: dict) -> None:
    """The executed notebook as a page, for whoever looks at a run, above all a failed one."""
    from covidseg.lessons.page import notebook_html

    if executed.is_file():
        try:
            executed.with_suffix(".html").write_text(notebook_html(executed), encoding="utf-8")
        except Exception as error:  # a page is no reason to lose a run
            told["page"] = f"none: {type(error).__name__}: {error}"


# ------------------------------------------------------------------------------------------- as a process


_abandoned = threading.Event()


def _watch(parent: int) -> None:
    """End the notebook when the worker that wanted it is gone, or when asked to: nobody would take its result."""
    from covidseg.lessons.runner import stop_children

    while os.getppid() == parent and not _abandoned.is_set():
        time.sleep(0.5)
    _abandoned.set()
    while True:  # more than once: a notebook may have been about to start
        stop_children()
        time.sleep(0.5)


def main() -> None:
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: _abandoned.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the batch, which then ends this process
    job = json.load(sys.stdin)
    print(json.dumps(do(job["run"], Path(job["folder"]), job["timeout"])), flush=True)


if __name__ == "__main__":
    main()
