"""One progress bar for the whole kit: there for a person who waits, silent for a machine."""

import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec

PATIENCE = 2.0  # seconds; a bar for anything shorter would only flicker


def headless() -> bool:
    """True when nobody watches: ``COVIDSEG_QUIET`` is set, or there is neither a terminal nor a live kernel."""
    if os.environ.get("COVIDSEG_QUIET"):
        return True
    return not (in_kernel() or (sys.stderr is not None and sys.stderr.isatty()))


def in_kernel() -> bool:
    """True inside a Jupyter kernel. Looks only at what is loaded, so that it costs nothing elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def progress(iterable: Iterable, label: str, total: int | None = None) -> Iterable:
    """Go through ``iterable``; after two seconds show ``label`` with a bar. The items are never changed.

    total : number of items, where ``len(iterable)`` is not known
    Headless, or where tqdm is not installed, the iterable itself comes back: an executed notebook
    then holds no half-drawn bar (its text would differ in every run).
    """
    if headless() or find_spec("tqdm") is None:
        return iterable
    if in_kernel() and find_spec("ipywidgets"):
        from tqdm.notebook import tqdm
    else:
        from tqdm import tqdm
    return tqdm(iterable, desc=label, total=total, delay=PATIENCE, leave=False)
