"""Do one run: claim it, do its work in a folder of its own, give the folder its name when all is there.

``python -m covidseg.runs.work`` reads the run from its input and answers in one line of JSON. Each run is such a
process, so that whatever dies, dies alone. It ends its work when whoever started it is gone.
"""

import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from covidseg.errors import UserError
from covidseg.files import read_json, scratch_files, write_text
from covidseg.processes import end_with
from covidseg.runs.locks import PASSING, claim
from covidseg.runs.record import plain, write_json

LITTER = 60.0  # seconds: a file that lives for a moment and is older belongs to nobody
INTERRUPTED = ("timeout", "the kernel died", "Out of memory")  # such a run may go on from its last checkpoint


def do(run: dict, folder: Path, timeout: float, wait: float = 0.0) -> dict:
    """Do ``run`` (a Run as dict) in ``folder``. Returns what ``batch.json`` holds, and ``"status"``:

    "done"; "had" (done before, nothing to do); "busy" (someone else is at it, and was for ``wait`` seconds);
    "failed" or "timeout", with "error"; "stopped", if the worker or its batch ended it.
    """
    if found := finished(folder, run):
        return found | {"status": "had"}
    try:
        with claim(folder / f"{run['name']}.lock", wait, _asked.is_set) as holder:
            if holder:
                return run | {"status": "busy", "error": f"{holder} is at it"}
            if found := finished(folder, run):
                return found | {"status": "had"}
            return _attempt(run, folder, timeout)
    except (UserError, OSError) as error:  # a full disk: what is there stays for the next attempt
        return run | {"status": "failed", "error": str(error), "results": {}, "seconds": 0.0}


def finished(folder: Path, run: dict) -> dict | None:
    """The ``batch.json`` of a finished run, None where there is none with this key."""
    outcome = _stored(folder / run["name"])
    return outcome if outcome.get("key") == run["key"] else None


def _stored(folder: Path) -> dict:
    """What an attempt left in its ``batch.json``; {} where that is not there, or damaged."""
    try:
        outcome = read_json(folder / "batch.json")
    except (FileNotFoundError, UserError):
        return {}
    whole = isinstance(outcome, dict) and isinstance(outcome.get("results"), dict)
    return outcome if whole and isinstance(outcome.get("seconds"), int | float) else {}


def _attempt(run: dict, folder: Path, timeout: float) -> dict:
    """Work in a folder that is renamed at the end: NAME if it went well, NAME.failed if not."""
    part = _workplace(folder, run["name"])
    begin = time.time()
    outcome = {"status": "done", "error": "", "results": {}}
    try:
        outcome |= _execute(run, part, timeout) if run["notebook"] else _train(run, part, timeout)
    except UserError as error:
        outcome |= {"status": "failed", "error": str(error)}
    except Exception as error:  # whatever it is, it is this run's alone
        write_text(part / "log.txt", traceback.format_exc().encode("utf-8", "replace").decode())
        outcome |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}
    if _asked.is_set() and outcome["status"] != "done":  # its folder stays, for the next attempt
        return run | {"status": "stopped", "error": "the batch was ended"}
    outcome = run | _readable(outcome) | {"seconds": time.time() - begin, "host": socket.gethostname(), "begun": begin}
    write_json(part / "batch.json", outcome)
    _name_folder(part, folder / (run["name"] if outcome["status"] == "done" else f"{run['name']}.failed"))
    return outcome


def _execute(run: dict, part: Path, timeout: float) -> dict:
    """The notebook: where the batch found it, else this machine's own of that name."""
    from covidseg.lessons import resolve
    from covidseg.lessons.page import write_page
    from covidseg.lessons.runner import run_notebook

    source = Path(run["notebook"])
    source = source if source.is_file() else resolve([source.stem])[0]
    found = run_notebook(source, part, run["parameters"], timeout=timeout)
    outcome = {"status": found.status, "error": found.error, "results": found.results}
    executed = part / source.name  # its page is for whoever looks at a run, above all a failed one
    if executed.is_file() and (why := write_page(executed)):
        outcome["page"] = f"none: {why}"
    return outcome


def _train(run: dict, part: Path, timeout: float) -> dict:
    """The function; a signal to this process is its Ctrl-C, after which it saves itself."""
    clock = threading.Timer(timeout, os.kill, (os.getpid(), signal.SIGINT))
    clock.daemon = True
    clock.start()
    try:
        from covidseg.runs.plain import train

        return {"results": train(run["parameters"], part)}
    except KeyboardInterrupt:
        return {"status": "timeout", "error": f"took longer than {timeout:g} s"}
    finally:
        clock.cancel()


def _readable(outcome: dict) -> dict:
    """As JSON and UTF-8 can hold it, whatever a notebook said: one odd result is no reason to lose a batch."""
    results = outcome["results"] if isinstance(outcome["results"], dict) else {}
    text = json.dumps(plain(outcome | {"results": results}), ensure_ascii=False)
    return json.loads(text.encode("utf-8", "replace"))


def _workplace(folder: Path, name: str) -> Path:
    """A new folder for an attempt, with what a killed one left in it.

    Renamed and not used in place: should that attempt still live, its files now go where nobody looks.
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
    outcome = _stored(failed)
    return outcome.get("status") in INTERRUPTED or str(outcome.get("error")).startswith(INTERRUPTED)


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
        (folder / f"{name}.lock").unlink(missing_ok=True)  # whoever holds it will find the run done
    for path in _litter(folder):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LITTER:
                path.unlink()


def _litter(folder: Path) -> list[Path]:
    """Files that live for a moment. The folder may be anyone's home: a name must be one that only we write."""
    kept = (folder / name for name in ("runs.json", "summary.csv", "index.html"))
    passing = (path for path in folder.iterdir() if PASSING.fullmatch(path.name))
    return [*passing, *(part for path in kept for part in scratch_files(path))]


# ------------------------------------------------------------------------------------------- as a process


_asked = threading.Event()  # to end


def _give_up() -> None:
    """Nobody would take the result: end the notebook; a training saves itself, as after Ctrl-C."""
    from covidseg.lessons.runner import stop_children

    _asked.set()
    os.kill(os.getpid(), signal.SIGINT)
    while True:  # more than once: a notebook may have been about to start
        stop_children()
        time.sleep(0.5)


def main() -> None:
    job = json.load(sys.stdin)
    signal.signal(signal.SIGINT, signal.SIG_IGN if job["run"]["notebook"] else signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: _asked.set())
    end_with(job["parent"], _give_up, _asked)
    print(json.dumps(do(job["run"], Path(job["folder"]), job["timeout"], job["wait"])), flush=True)


if __name__ == "__main__":
    main()
