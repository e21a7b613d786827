"""One way down, no way back: what may import what, and what a bare import costs."""

import ast
import json
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "lib" / "covidseg"

sys.path.insert(0, str(PACKAGE.parents[1] / "tools"))
from levels import LEVELS  # noqa: E402

LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}

# The core runs on a bare GPU machine: these are all that it may import when it is loaded.
CORE = (
    "nn",
    "zoo",
    "backbones",
    "losses",
    "metrics",
    "paper",
    "training",
    "papers",
    "phantom",
    "data.transforms",
    "profiling",
    "attention",
    "inference",
    "ensemble",
    "device",
    "text",
    "sliding_window",
)
CORE_IMPORTS = {"numpy", "scipy", "torch", "covidseg"} | set(sys.stdlib_module_names)


def modules() -> dict[str, Path]:
    """Module name without the package -> file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def level(module: str) -> int | None:
    """Level of the longest name that the module belongs to.

    "models.zoo.unet" belongs to "models"; "papers.infnet.diagram", a drawing, to the level of its own.
    """
    homes = [name for name in LEVEL if module == name or module.startswith((f"{name}.", f"{name}_"))]
    return LEVEL[max(homes, key=len)] if homes else None


def imports(tree: ast.AST, module: str) -> set[str]:
    """covidseg modules that a file imports, also inside functions; "" is the package itself."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "covidseg"}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative
                package = ["covidseg", *module.split(".")]
                package = package if MODULES.get(module, Path()).name == "__init__.py" else package[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            if base.split(".")[0] == "covidseg":
                deeper = {f"{base}.{alias.name}" for alias in node.names}
                known = {name for name in deeper if name.removeprefix("covidseg.") in MODULES}
                found |= known | ({base} if len(known) < len(deeper) else set())
    return {name.removeprefix("covidseg").lstrip(".") for name in found}


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", [name for name in MODULES if name])
def test_no_module_imports_one_above_it(module):
    mine = level(module)
    assert mine is not None, f"{module} has no level: add it to LEVELS"
    above = {name for name in imports(parsed(module), module) if name and level(name) > mine}
    assert not above, f"{module} (level {mine}) imports {above}"


def test_no_circle_of_imports():
    graph = {module: imports(parsed(module), module) - {module, ""} for module in MODULES if module}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


# What a paper may bring is found by its name, through `covidseg.papers`, when somebody asks and never on an import.
FINDERS = {"data.datasets", "metrics.protocols", "nn.registry", "training.batches", "training.parts"}


def test_only_the_finders_ask_the_papers_by_name():
    below = [m for m in MODULES if m and level(m) < LEVEL["papers"]]
    assert {m for m in below if '"covidseg.papers' in MODULES[m].read_text(encoding="utf-8")} == FINDERS


def test_no_layer_below_the_papers_loads_one():
    layers = [
        "attention",
        "backbones",
        "data",
        "inference",
        "losses",
        "metrics",
        "nn",
        "phantom",
        "profiling",
        "scans",
        "training",
        "zoo",
    ]
    code = "; ".join(f"import covidseg.{layer}" for layer in layers)
    code += "; import sys; print([m for m in sys.modules if m.startswith('covidseg.papers')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_the_reader_of_imports_sees_every_form():
    code = "import covidseg.data\nfrom covidseg import lesson, __version__\ndef f():\n    from covidseg.nn import card"
    assert imports(ast.parse(code), "cli") == {"data", "lesson", "", "nn"}
    assert imports(ast.parse("from . import registry"), "nn.layers") == {"nn.registry"}
    assert imports(ast.parse("from .registry import card"), "nn") == {"nn.registry"}


def top_level_imports(module: str) -> set[str]:
    """Packages a file imports while it is loaded, so not those inside functions."""
    found = set()
    for node in parsed(module).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("module", [m for m in MODULES if any(m == c or m.startswith(f"{c}.") for c in CORE)])
def test_the_core_imports_numpy_scipy_and_torch_only(module):
    assert top_level_imports(module) <= CORE_IMPORTS


@pytest.mark.parametrize("module", [name for name in MODULES if name.split(".")[0] == "cli"])
def test_a_command_loads_nothing_heavy_before_it_runs(module):
    assert top_level_imports(module) <= {"typer", "covidseg"} | set(sys.stdlib_module_names)


HEAVY = {
    "monai",
    "dask",
    "distributed",
    "ipywidgets",
    "matplotlib",
    "nibabel",
    "pandas",
    "seaborn",
    "pydicom",
    "papermill",
}


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in a fresh Python after one statement."""
    code = f"{statement}; import json, sys; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_covidseg_loads_no_other_package():
    assert not loaded_by("import covidseg") & (HEAVY | {"torch", "numpy", "scipy"})


def test_the_public_names_load_torch_but_nothing_else_heavy():
    assert not loaded_by("import covidseg; covidseg.create_model('miniseg'); covidseg.profile_model") & HEAVY


def test_the_command_line_answers_without_torch():
    assert not loaded_by("import covidseg.cli") & (HEAVY | {"torch", "numpy", "scipy"})


# ------------------------------------------------------------------------------------------------- what stays small

LINES, BRANCHES = 300, 15
FORKS = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def branches(node: ast.AST) -> int:
    """Forks, conditions joined by and/or, and comprehensions with their ifs; functions inside count for themselves."""
    total = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FUNCTIONS):
            continue
        total += isinstance(child, FORKS) + branches(child)
        total += 1 + len(child.ifs) if isinstance(child, ast.comprehension) else 0
        total += len(child.values) - 1 if isinstance(child, ast.BoolOp) else 0
    return total


def test_branches_are_counted_as_a_reader_would():
    code = """def f(x):
    if x and x > 1 or x < 0:          # 3
        return [y for y in x if y]    # 2
    for y in x:                       # 1
        try:
            g(y if y else 1)          # 1
        except ValueError:            # 1
            pass
    while x:                          # 1
        match x:
            case 1: pass              # 1
            case 2: pass              # 1
    def g(y):
        return y or 1                 # its own"""
    f = ast.parse(code).body[0]
    assert branches(f) == 11 and branches(f.body[-1]) == 1


def test_no_function_has_more_than_15_branches():
    functions = [(m, node) for m in MODULES for node in ast.walk(parsed(m)) if isinstance(node, FUNCTIONS)]
    assert len(functions) > 800
    assert {f"{module}.{f.name}": n for module, f in functions if (n := branches(f)) > BRANCHES} == {}


def test_no_file_of_the_library_is_longer_than_300_lines():
    long = {name: n for name, path in MODULES.items() if (n := len(path.read_text().splitlines())) > LINES}
    assert long == {}
