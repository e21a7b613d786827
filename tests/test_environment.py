"""Three lists of packages say the same: pyproject.toml, environment.yml and requirements.lock. So do the imports."""

import ast
import json
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
PYPI_NAME = {
    "pytorch": "torch",
    "matplotlib-base": "matplotlib",
    "playwright-python": "playwright",
}  # conda-forge's names
NOT_A_DEPENDENCY = {"python", "pip"}
IMPORTED_AS = {
    "ipython": "IPython",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "python-gdcm": "gdcm",
}  # where the package's name is another
USED_UNSEEN = {
    "python-gdcm": "decoders of lossless JPEG and JPEG-LS, which pydicom finds by itself",
    "jupyterlab": "a command: make lab",
    "nbval": "a plug-in of pytest: make test",
    "ipykernel": "the kernel python3, which every notebook asks for",
    "dask": "the half of distributed that plans; both move in step",
}
FOR_DEVELOPERS = {"nbstripout"}  # imported by `covidseg notebooks refresh`, which names the dev extra if it is missing


def wanted() -> dict[str, Requirement]:
    lists = [PROJECT["dependencies"], PROJECT["optional-dependencies"]["dev"]]
    return {canonicalize_name(Requirement(text).name): Requirement(text) for texts in lists for text in texts}


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): pin for name, pin in pins}


def conda() -> dict[str, str]:
    """PyPI name -> constraint."""
    plain = [item for item in CONDA["dependencies"] if isinstance(item, str)]
    parts = [re.match(r"([\w.-]+?)\s*((?:[<>=!~].*)?)$", item).groups() for item in plain]
    return {
        canonicalize_name(PYPI_NAME.get(name, name)): bound for name, bound in parts if name not in NOT_A_DEPENDENCY
    }


def by_pip() -> set[str]:
    lists = [item["pip"] for item in CONDA["dependencies"] if isinstance(item, dict)]
    return {canonicalize_name(Requirement(text).name) for texts in lists for text in texts if not text.startswith("-e")}


def imported(source: str) -> set[str]:
    """Top-level names of third-party packages that a source imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"covidseg"}


@cache
def all_imported() -> dict[str, str]:
    """Name -> one place that imports it, over lib/ and the code cells of notebooks/."""
    places = {}
    for path in sorted((ROOT / "lib").rglob("*.py")):
        places |= dict.fromkeys(imported(path.read_text(encoding="utf-8")), path.name)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        places |= dict.fromkeys(set().union(*map(imported, code)), path.name)
    return places


def declared() -> dict[str, str]:
    """Name of the import -> name of the package, for what every user installs."""
    names = [canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]]
    return {IMPORTED_AS.get(name, name): name for name in names}


def test_the_reader_of_imports_sees_functions_and_leaves_out_our_own_and_pythons():
    code = "import os, scipy.ndimage\nfrom covidseg import lesson\nfrom . import x\ndef f():\n    from PIL import Image"
    assert imported(code) == {"scipy", "PIL"}


def test_every_imported_package_is_declared():
    places = all_imported()
    assert len(places) > 15
    assert {name: place for name, place in places.items() if name not in declared().keys() | FOR_DEVELOPERS} == {}


def test_every_declared_package_is_imported_or_has_a_reason():
    unseen = {package for name, package in declared().items() if name not in all_imported()}
    assert unseen == set(USED_UNSEEN)


def test_environment_yml_uses_conda_forge_alone():
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]


def test_environment_yml_lists_what_pyproject_lists():
    assert set(conda()) | by_pip() == set(wanted())


def test_environment_yml_has_the_same_bounds():
    assert conda() == {
        name: str(requirement.specifier) for name, requirement in wanted().items() if name not in by_pip()
    }


def test_environment_yml_asks_for_the_python_that_pyproject_asks_for():
    assert f"python {PROJECT['requires-python']}" in [str(item) for item in CONDA["dependencies"]]


def test_the_lock_pins_every_dependency_within_its_bounds():
    pins = locked()
    for name, requirement in wanted().items():
        assert name in pins, f"{name} is not locked"
        assert requirement.specifier.contains(Version(pins[name]))


def test_the_lock_is_exact_sorted_and_free_of_local_builds():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)  # no "+cpu", no file, no editable
    assert lines == sorted(lines, key=str.lower)
    assert "torch==2.13.0" in lines


def test_nothing_locked_brings_a_second_torch():
    assert not set(locked()) & {"torchvision", "torchaudio", "timm", "segmentation-models-pytorch", "triton"}


@pytest.mark.skipif(Path(sys.prefix).resolve() != ROOT / ".venv", reason="not in the environment that make sets up")
def test_the_lock_fits_what_is_installed_here():
    """Every locked package is the one these tests run with; else the lock promises what nobody tried."""
    assert {name: version(name).split("+")[0] for name in locked()} == locked()
