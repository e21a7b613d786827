"""Is this machine ready? One verdict per item, each with the way out."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from covidseg.checkout import find_checkout

OK, FAIL, OPTIONAL = "OK", "FAIL", "OPTIONAL-missing"
OLDEST_PYTHON = (3, 11)
LEAST_DISK = 2.0  # GB, for runs and prepared data
REINSTALL = "Install again: `make clean run`, or `pip install -e .`."
MODULE_OF = {
    "ipython": "IPython",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "python-gdcm": "gdcm",
}  # distributions whose module has another name
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass(frozen=True)
class Item:
    """One line of the report. ``way_out`` is empty where nothing is to be done."""

    name: str
    verdict: str
    detail: str
    way_out: str = ""


def examine() -> Iterator[Item]:
    """All items, cheap ones first. No item raises: what breaks is its verdict."""
    for check in CHECKS:
        try:
            yield from check()
        except Exception as error:
            yield Item(check.__name__.replace("_", " "), FAIL, f"{type(error).__name__}: {error}", REINSTALL)


def python() -> Iterator[Item]:
    """Python itself."""
    found = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] >= OLDEST_PYTHON
    yield Item("Python", OK if good else FAIL, found, "" if good else "Use Python 3.11 or newer.")


def torch() -> Iterator[Item]:
    """torch, and what it can compute on."""
    torch = import_module("torch")
    yield Item("torch", OK, f"{torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} CPU cores")
    if torch.cuda.is_available():
        yield Item("GPU", OK, torch.cuda.get_device_name(0))
    elif torch.backends.mps.is_available():
        yield Item("GPU", OK, "Apple MPS")
    else:
        yield Item("GPU", OPTIONAL, "none; smoke and lesson budgets need none", "The paper budget is meant for a GPU.")


def dependencies() -> Iterator[Item]:
    """Every package that covidseg names: there, new enough, and it can be imported."""
    from packaging.requirements import Requirement

    for text in requires("covidseg") or []:
        requirement = Requirement(text)
        if requirement.marker is None and requirement.name != "torch":
            yield _dependency(requirement)


def _dependency(requirement) -> Item:
    name, wanted = requirement.name, str(requirement.specifier)
    try:
        found = version(name)
    except PackageNotFoundError:
        return Item(name, FAIL, "not installed", f"pip install '{name}{wanted}'")
    if not requirement.specifier.contains(found, prereleases=True):
        return Item(name, FAIL, f"{found}, but {wanted} is needed", f"pip install '{name}{wanted}'")
    try:
        import_module(MODULE_OF.get(name.lower(), name))
    except Exception as error:
        return Item(name, FAIL, f"{found} cannot be imported ({type(error).__name__}: {error})", REINSTALL)
    return Item(name, OK, found)


def kernel() -> Iterator[Item]:
    """The kernel that every notebook asks for starts, and is this Python."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import sys; print(sys.prefix)")])
    way_out = f"{sys.executable} -m ipykernel install --sys-prefix --name python3"
    try:
        NotebookClient(notebook, kernel_name="python3", timeout=60).execute(stderr=subprocess.DEVNULL)
    except Exception as error:
        yield Item("kernel python3", FAIL, f"does not start ({type(error).__name__})", way_out)
        return
    prefix = notebook.cells[0].outputs[0].text.strip()
    if Path(prefix).resolve() != Path(sys.prefix).resolve():
        yield Item("kernel python3", FAIL, f"belongs to another Python, {prefix}", way_out)
    else:
        yield Item("kernel python3", OK, "starts")


def folders() -> Iterator[Item]:
    """Places to read from and to write to."""
    for variable, use in (("COVIDSEG_MIRROR", "real data from a folder"), ("COVIDSEG_REFERENCE", "reference tensors")):
        value = os.environ.get(variable)
        if not value:
            yield Item(variable, OPTIONAL, f"not set ({use})", f"export {variable}=FOLDER, if you have one.")
        elif not Path(value).expanduser().is_dir():
            yield Item(variable, FAIL, f"{value} is not a folder", f"Correct it, or unset {variable}.")
        else:
            yield Item(variable, OK, value)
    root = find_checkout()
    if root is None:
        yield Item("notebooks", FAIL, "covidseg was installed without its repository", "`pip install -e .` in a clone.")
    for folder in (root / "runs", root / "data") if root else (Path.cwd(),):
        yield _writable(folder)
    free = shutil.disk_usage(root or Path.cwd()).free / 1e9
    good = free >= LEAST_DISK
    yield Item("disk space", OK if good else FAIL, f"{free:.0f} GB free", "" if good else f"Free {LEAST_DISK:.0f} GB.")


def _writable(folder: Path) -> Item:
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Item(f"write to {folder.name}/", OK, "yes")
    except OSError as error:
        return Item(f"write to {folder.name}/", FAIL, str(error.strerror), f"Make {existing} writable.")


def weights() -> Iterator[Item]:
    """Trained weights: those shipped, and the authors'."""
    from covidseg import papers
    from covidseg.errors import UserError

    for name, way_out in (("phantom", REINSTALL), ("CT100", "`covidseg data list` names its source.")):
        try:
            loaded = papers.weights(name)
        except UserError as error:
            yield Item(f"weights {name}", FAIL if name == "phantom" else OPTIONAL, str(error), way_out)
        else:
            yield Item(f"weights {name}", OK, f"{loaded.label}; {loaded.licence}")


def browser() -> Iterator[Item]:
    """Chromium, for the tests that drive JupyterLab."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found and Path(found).exists():
        yield Item("Chromium", OK, found)
    else:
        yield Item(
            "Chromium", OPTIONAL, "only the browser tests use it", "Install chromium, or set CHROMIUM to its path."
        )


CHECKS: tuple[Callable[[], Iterator[Item]], ...] = (python, torch, dependencies, kernel, folders, weights, browser)


def as_text(item: Item) -> str:
    """One line."""
    line = f"{item.verdict:<16}  {item.name:<20}  {item.detail}"
    return f"{line}  -> {item.way_out}" if item.way_out and item.verdict != OK else line


def as_json(items: list[Item]) -> str:
    """The whole report for a program."""
    return json.dumps({"ready": ready(items), "items": [asdict(item) for item in items]}, indent=2)


def ready(items: list[Item]) -> bool:
    """True if nothing failed."""
    return all(item.verdict != FAIL for item in items)
