"""Execute one notebook in this process: ``python -m covidseg.lessons.child JOB.json``.

Always a process of its own. papermill changes the working directory of the whole process, so threads trip
over each other, and its memory grows from notebook to notebook. What happened is written to the job's
``outcome`` file; the exit status says only whether this program itself worked.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from covidseg.processes import end_with

LARGEST_FILE = 50_000_000  # bytes, of all that a limited notebook writes
NEVER_STARTED = ("Kernel died before replying", "Kernel didn't respond", "ZMQError", "Address already in use")


def execute(job: dict) -> dict:
    """Run ``job["source"]`` into ``job["output"]``.

    With ``job["limits"]`` (see `runner.Limits`) an error, or a cell that took too long, does not end the notebook; a
    cell marked in its metadata as ours may take as long as the notebook.
    Returns {"status": "done" | "failed" | "timeout" | "no kernel", "error": one line}.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    limits = job.get("limits")
    go_on = {}
    if limits:
        go_on = {"allow_errors": True, "interrupt_on_timeout": True, "timeout_func": partial(_seconds, job)}
    try:
        papermill.execute_notebook(
            job["source"],
            job["output"],
            parameters=job["parameters"],
            kernel_name="python3",
            cwd=job["cwd"],
            progress_bar=False,
            execution_timeout=job["timeout"],
            **go_on,
        )
    except papermill.PapermillExecutionError as error:
        return {"status": "failed", "error": f"cell {error.exec_count}: {error.ename}: {error.evalue}"}
    except CellTimeoutError:
        return {"status": "timeout", "error": f"a cell took longer than {job['timeout']} s"}
    except DeadKernelError:
        return {"status": "failed", "error": "the kernel died; most often the machine ran out of memory"}
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        started = not any(sign in text for sign in NEVER_STARTED)
        return {"status": "failed" if started else "no kernel", "error": text}
    return {"status": "done", "error": ""}


def _seconds(job: dict, cell) -> float:
    """What a cell may take where there are limits."""
    about = cell.metadata.get("covidseg")
    ours = isinstance(about, dict) and about.get("ours") is True
    return job["timeout"] if ours else job["limits"]["cell"]


def limit(limits: dict, seconds: float) -> None:
    """Bound this process and every one it starts: memory, seconds of computing, size of a file.

    limits : see `runner.Limits`; a system without such bounds (Windows) is left with the runner's clock
    """
    try:
        import resource
    except ImportError:
        return
    bounds = {
        resource.RLIMIT_AS: int(limits["memory"] * 2**30),
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_FSIZE: LARGEST_FILE,
        resource.RLIMIT_CORE: 0,
    }
    for kind, bound in bounds.items():
        with suppress(ValueError, OSError):  # already lower, or not known here
            resource.setrlimit(kind, (bound, bound))


def main(path: str) -> None:
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    end_with(job["parent"], lambda: os.kill(os.getpid(), signal.SIGTERM))  # the kernel notices, and follows
    if job.get("limits"):
        limit(job["limits"], job["timeout"])
    Path(job["outcome"]).write_text(json.dumps(execute(job)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
