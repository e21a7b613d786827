"""The other ways to install say what the Makefile, pyproject.toml and the lock say."""

import ast
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKED = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.M))
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
ROWS = WORKFLOW["jobs"]["linux"]["strategy"]["matrix"]["include"]
PYTHONS = [line.rpartition(" ")[2] for line in PROJECT["classifiers"]]
DOCKERFILE = (ROOT / "tools" / "Dockerfile").read_text(encoding="utf-8")


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@pytest.fixture(scope="module")
def setup():
    spec = importlib.util.spec_from_file_location("kit_setup", ROOT / "tools" / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_make(target: str, environment: Path) -> list[list[str]]:
    """The commands of the environment that make would run for a target, in their order."""
    if target == "test":  # make runs a line that calls make even where it should only print it
        return [*by_make("lint", environment), line_of_tests(environment)]
    found = re.findall(rf"{re.escape(str(environment))}/bin/[^;|\n]+", make("-n", target, environment))
    return [shlex.split(line) for line in found if not line.endswith("/bin/python ")]


def make(how: str, target: str, environment: Path) -> str:
    words = ["make", how, target, f"VENV={environment}", "JOBS=3"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.replace("\\\n", " ")


def line_of_tests(environment: Path) -> list[str]:
    """The line that runs the tests, its variables filled in."""
    (line,) = re.findall(r"\t(COVIDSEG_BUDGET=.+?) \|\| status", (ROOT / "Makefile").read_text(encoding="utf-8"))
    known = make("-pn", "lint", environment)
    for name in ("PYTEST", "NBVAL"):
        line = line.replace(f"$({name})", re.search(rf"^{name} := (.+)$", known, re.M)[1])
    return shlex.split(line)


@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
@pytest.mark.parametrize("target", ["run", "test", "lab", "site"])
def test_setup_without_make_runs_what_make_runs(target, setup, tmp_path):
    environment = tmp_path / "environment"
    ours = list(setup.installing(environment, ""))
    for variables, words in setup.commands(target, environment, 3):
        ours.append([*(f"{name}={value}" for name, value in variables.items()), *words])
    assert [sorted(words) for words in by_make(target, environment)] == [sorted(words) for words in ours]


def test_setup_needs_nothing_installed_and_prints_what_it_would_do(tmp_path):
    tree = ast.parse((ROOT / "tools" / "setup.py").read_text(encoding="utf-8"))
    names = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert names | {"pathlib"} <= sys.stdlib_module_names
    done = subprocess.run(
        [sys.executable, "-S", "-I", ROOT / "tools" / "setup.py", "run", "--dry-run", "--venv", tmp_path / "new"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert (
        "-m venv" in done.stdout and "-r requirements.lock" in done.stdout and "covidseg notebooks run" in done.stdout
    )
    assert not (tmp_path / "new").exists()


def test_setup_installs_again_only_when_a_list_of_packages_is_newer(setup, tmp_path, monkeypatch, capsys):
    (tmp_path / ".ready").touch()
    setup.set_up(tmp_path, "", dry=True)
    assert capsys.readouterr().out == ""
    os.utime(tmp_path / ".ready", (0, 0))
    setup.set_up(tmp_path, "--no-index --find-links wheels", dry=True)
    assert "--no-index --find-links wheels" in capsys.readouterr().out


def test_a_step_that_fails_ends_the_set_up_in_one_line(setup, tmp_path, monkeypatch):
    monkeypatch.setattr(setup.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1))
    with pytest.raises(SystemExit, match="This step failed"):
        setup.set_up(tmp_path / "new", "", dry=False)
    assert not (tmp_path / "new" / ".ready").exists()


def test_windows_has_its_programs_in_scripts(setup):
    assert [setup.programs(Path("e"), windows=windows).name for windows in (True, False)] == ["Scripts", "bin"]


def test_the_matrix_has_the_oldest_and_the_newest_of_python_and_torch():
    oldest_torch = next(Requirement(text) for text in PROJECT["dependencies"] if text.startswith("torch"))
    (bound,) = oldest_torch.specifier
    pairs = {(row["python"], row["torch"]) for row in ROWS}
    assert (min(PYTHONS, key=numbers), f"{bound.version}.0") in pairs
    assert (max(PYTHONS, key=numbers), LOCKED["torch"]) in pairs and (PYTHONS[0], LOCKED["torch"]) in pairs
    assert all(row["lock"] == (row["torch"] == LOCKED["torch"]) for row in ROWS)


def test_the_pythons_are_those_that_pyproject_allows():
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert all(allowed.contains(python) for python in PYTHONS)
    assert min(PYTHONS, key=numbers) == next(iter(allowed)).version


def test_windows_uses_the_newest_python_and_the_set_up_without_make():
    steps = WORKFLOW["jobs"]["windows"]["steps"]
    assert {"python-version": max(PYTHONS, key=numbers)} in [step.get("with") for step in steps]
    assert "python tools/setup.py run" in [step.get("run") for step in steps]


def test_binder_installs_what_the_container_installs():
    lines = (ROOT / "binder" / "postBuild").read_text(encoding="utf-8").splitlines()
    ours = [line for line in lines if line.startswith("pip ")]
    theirs = re.findall(r"pip install .+?(?= \\|\n|$)", DOCKERFILE)
    assert ours == [line.replace("/kit/", "").replace("-e /kit", "-e .") for line in theirs] and len(ours) == 3
    assert (ROOT / "binder" / "runtime.txt").read_text().strip() == f"python-{container_python()}"


def container_python() -> str:
    return re.search(r"^FROM python:([\d.]+)-slim$", DOCKERFILE, re.M)[1]


def test_the_container_has_a_python_that_is_supported():
    assert container_python() in PYTHONS


def test_the_devcontainer_is_built_from_the_same_file():
    about = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    build = about["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == ROOT / "tools" / "Dockerfile"
    assert (ROOT / ".devcontainer" / build["context"]).resolve() == ROOT


def test_colab_gets_the_locked_versions():
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    pins = re.findall(r"([\w-]+)==([\w.]+)", page)
    assert len(pins) >= 4 and [(name, LOCKED[name]) for name, _ in pins] == pins
    assert {name for name, _ in pins} <= {Requirement(text).name for text in PROJECT["dependencies"]}
