"""What every test shares. One thread: the machines that run these tests are small and shared."""

import os
import sys
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # before torch and numpy are loaded
import pytest  # noqa: E402
from xdist.scheduler import LoadScopeScheduling  # noqa: E402

# Files whose tests take long and share nothing: xdist may hand out each test by itself. All other files, notebooks
# above all (a cell needs the one before), stay whole on one process.
ONE_BY_ONE = ("test_batch.py", "test_golden.py", "test_resume.py")
TOGETHER = "tests/browser/"  # one JupyterLab and one Chromium serve all files of this folder


class Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid):
        if nodeid.startswith(TOGETHER):
            return TOGETHER
        return nodeid if nodeid.partition("::")[0].endswith(ONE_BY_ONE) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return Scheduling(config, log)


def pytest_collection_modifyitems(config, items):
    """Where nbval runs the notebooks, it solves their exercises, too."""
    if getattr(config.option, "nbval_lax", False):
        import solved_cells

        items[:] = solved_cells.with_solutions(items)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No progress bars, no windows, no outer choice of budget: a test that wants one sets it.

    For each test and not for the session: nbval's notebooks run in the same session and need the outer choice.
    """
    monkeypatch.setenv("COVIDSEG_QUIET", "1")
    monkeypatch.setenv("MPLBACKEND", "agg")
    for variable in ("COVIDSEG_BUDGET", "COVIDSEG_RESULT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="module", autouse=True)
def no_widget_stays():
    """ipywidgets keeps every widget that was ever made, and with an explorer its network and maps."""
    yield
    if "ipywidgets" in sys.modules:
        sys.modules["ipywidgets"].Widget.close_all()


@pytest.fixture
def one_thread():
    """Sums in one order, whatever the test before has set."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def folder_named_by(variable: str) -> Path:
    """The folder in an environment variable; unset skips, a wrong one fails (else CI would skip in silence)."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set")
    path = Path(value).expanduser().resolve()
    assert path.is_dir(), f"{variable}={value} is not a folder"
    return path


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Real data and the authors' weights, as their sources distribute them (COVIDSEG_MIRROR)."""
    return folder_named_by("COVIDSEG_MIRROR")


@pytest.fixture(scope="session")
def reference() -> Path:
    """Tensors recorded from the authors' own programs (COVIDSEG_REFERENCE)."""
    return folder_named_by("COVIDSEG_REFERENCE")


@pytest.fixture(scope="session")
def repo() -> Path:
    """The checkout these tests belong to."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """function (model, variant, phantoms) -> the finished run, see `smoke_runs`; each is done once."""
    import smoke_runs

    done = {}

    def run(model: str, variant: str = "", dataset: str = "phantom"):
        place = model, variant, dataset
        if place not in done:
            done[place] = smoke_runs.do(*place, tmp_path_factory.mktemp("smoke"))
        return done[place]

    return run
