"""What every committed notebook keeps to. A guard takes a Notebook and yields one sentence per breach.

nbval compares tagged outputs and executes the rest; a notebook without outputs passes it with nothing
compared. These guards see to it that there is something to compare, and that people can read it.
"""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from covidseg.errors import UserError
from covidseg.lessons import all_notebooks, is_lesson, read, schema
from covidseg.lessons.figures import MOST_COLOURS, count_colours, figures

MOST_CODE_CELLS = 25
LONGEST_FUNCTION = 10  # lines; longer ones belong into the package, where they are tested
LONGEST_CELL = 25  # lines of code
MOST_WORDS = 2_500
LEAST_CHECKED = 3
LEAST_EXERCISES = 2
BIGGEST = 1_000_000  # bytes
MOST_TOGETHER = 8_000_000  # bytes of all notebooks
FOLDED = {"solution", "quiz", "links"}  # tags
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/~<])/(?:home|Users|root|tmp|work|mnt|opt|usr|var|private)/\w|\b[A-Z]:\\\\?\w")


class Notebook:
    """A notebook file with the views that guards need."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.node = read(self.path)
        self.cells = self.node.cells
        self.code = [cell for cell in self.cells if cell.cell_type == "code"]

    def tagged(self, tag: str) -> list:
        return [cell for cell in self.cells if tag in cell.metadata.get("tags", [])]


def problems(path: Path) -> list[str]:
    """Every breach in one notebook, each as ``name: sentence``; an empty list is the aim."""
    notebook = Notebook(path)
    return [f"{notebook.path.name}: {sentence}" for guard in GUARDS for sentence in guard(notebook)]


def size_together(paths: list[Path] | None = None) -> list[str]:
    """A sentence if the notebooks, by default all that are committed, are too big together for a clone in seconds."""
    sizes = {path.name: path.stat().st_size for path in (all_notebooks() if paths is None else paths)}
    total, biggest = sum(sizes.values()), max(sizes, key=sizes.get, default="")
    if total < MOST_TOGETHER:
        return []
    return [f"the notebooks are {total / 1e6:.1f} MB, over {MOST_TOGETHER / 1e6:.0f} MB; the biggest is {biggest}"]


def order_of_cells(nb: Notebook) -> Iterator[str]:
    """Title, parameters, set-up: in this order, at the top."""
    kinds = [cell.cell_type for cell in nb.cells[:3]]
    if kinds != ["markdown", "code", "code"]:
        yield f"must begin with a title, a parameters cell and a set-up cell, but begins with {kinds}"
        return
    title, parameters, set_up = nb.cells[:3]
    if not title.source.startswith("# "):
        yield "the first cell must be the title, '# ...'"
    if "parameters" not in parameters.metadata.get("tags", []):
        yield "the second cell must be tagged 'parameters'"
    if "lesson.start(" not in set_up.source or f'"{nb.path.stem}"' not in set_up.source:
        yield f'the third cell must call lesson.start("{nb.path.stem}", ...)'


def parameters_are_literals(nb: Notebook) -> Iterator[str]:
    """budget, seed and device as plain literals, each with its comment; the committed budget is "lesson"."""
    try:
        known = schema.parameters(nb.node)
    except (UserError, SyntaxError) as error:
        yield str(error)
        return
    for name, default in (("budget", "lesson"), ("seed", 0), ("device", "cpu")):
        if name not in known:
            yield f"the parameters cell lacks {name!r}"
        elif known[name].default != default:
            yield f"parameter {name} is committed as {known[name].default!r}, not {default!r}"
    for line in nb.tagged("parameters")[0].source.splitlines():
        if "=" in line and "#" not in line:
            yield f"parameter line {line.strip()!r} has no comment with its type or allowed values"


def execution_counts(nb: Notebook) -> Iterator[str]:
    """Run once, from top to bottom."""
    counts = [cell.execution_count for cell in nb.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1..{len(counts)}; run `covidseg notebooks refresh {nb.path.stem}`"


def outputs_are_clean(nb: Notebook) -> Iterator[str]:
    """No error, nothing on stderr."""
    for cell in nb.code:
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {cell.execution_count} ends in {output.ename}: {output.evalue}"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell {cell.execution_count} writes to stderr: {output.text.strip().splitlines()[-1]}"


def checked_cells(nb: Notebook) -> Iterator[str]:
    """At least three cells whose output nbval compares, each with an output that holds still."""
    checked = nb.tagged("nbval-check-output")
    if len(checked) < LEAST_CHECKED:
        yield f"has {len(checked)} cells tagged 'nbval-check-output', fewer than {LEAST_CHECKED}"
    for cell in checked:
        if not cell.get("outputs"):
            yield f"checked cell {cell.execution_count} has no output to compare"
        for output in cell.get("outputs", []):
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            if re.search(r" at 0x[0-9a-f]{6,}", text):
                yield f"checked cell {cell.execution_count} prints a memory address"


def size_and_shape(nb: Notebook) -> Iterator[str]:
    """Small enough to review, to show on GitHub, to read in one sitting."""
    if len(nb.code) > MOST_CODE_CELLS:
        yield f"has {len(nb.code)} code cells, more than {MOST_CODE_CELLS}"
    if nb.path.stat().st_size >= BIGGEST:
        yield f"is {nb.path.stat().st_size / 1e6:.1f} MB, over {BIGGEST / 1e6:.0f} MB: lower a figure's dpi"


def few_colours(nb: Notebook) -> Iterator[str]:
    """Figures in a palette, as `refresh` leaves them."""
    for cell in nb.code:
        for png in figures(cell):
            try:
                found = count_colours(png)
            except OSError:
                yield f"cell {cell.execution_count} holds a PNG that cannot be read"
                continue
            if found > MOST_COLOURS:
                yield (
                    f"cell {cell.execution_count} holds a figure of {found:,} colours, more than {MOST_COLOURS}; "
                    f"run `covidseg notebooks refresh {nb.path.stem}`"
                )


def short_functions(nb: Notebook) -> Iterator[str]:
    """No function over ten lines, no cell that only IPython can read."""
    for cell in nb.code:
        if re.search(r"^\s*[%!]", cell.source, re.M):
            yield f"cell {cell.execution_count} uses a magic or a shell command, which nbval cannot judge"
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    yield f"{node.name} has {lines} lines, more than {LONGEST_FUNCTION}: move it into the package"


def words(nb: Notebook) -> int:
    """What a reader reads: the text without formulas, code, what is folded in (solutions, quiz) and the links."""
    texts = [c.source for c in nb.cells if c.cell_type == "markdown" and not FOLDED & set(c.metadata.get("tags", []))]
    plain = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$\n]*\$|<[^>]*>", " ", "\n".join(texts), flags=re.S)
    return len(re.findall(r"\S*[A-Za-z0-9]\S*", plain))


def easy_to_read(nb: Notebook) -> Iterator[str]:
    """Cells that fit a screen, a text that fits an hour."""
    for cell in nb.code:
        if (lines := len(cell.source.splitlines())) > LONGEST_CELL:
            yield f"cell {cell.execution_count} has {lines} lines, more than {LONGEST_CELL}: split it"
    if (many := words(nb)) > MOST_WORDS:
        yield f"has {many:,} words to read, more than {MOST_WORDS:,}"


def metadata_is_plain(nb: Notebook) -> Iterator[str]:
    """Kernel python3, no widget state, no trace of the last run; question and minutes for the README's table."""
    metadata = nb.node.metadata
    if metadata.get("kernelspec", {}).get("name") != "python3":
        yield "its kernelspec is not python3"
    yield from (f"carries metadata.{key}" for key in ("widgets", "papermill") if key in metadata)
    if any("papermill" in cell.metadata or "execution" in cell.metadata for cell in nb.cells):
        yield "a cell carries an executor's metadata"
    about = metadata.get("covidseg", {})
    yield from (f"metadata.covidseg lacks {key!r}" for key in ("question", "minutes", "paper") if key not in about)
    yield from (
        f"metadata.covidseg.minutes lacks {b!r}"
        for b in ("smoke", "lesson", "paper")
        if b not in about.get("minutes", {})
    )


def no_absolute_path(nb: Notebook) -> Iterator[str]:
    """Nothing that is true on one machine only."""
    for number, cell in enumerate(nb.cells, 1):
        texts = [cell.source]
        for output in cell.get("outputs", []):
            texts += [
                output.get("text", ""),
                output.get("data", {}).get("text/plain", ""),
                output.get("data", {}).get("text/html", ""),
            ]
        for text in texts:
            found = ABSOLUTE_PATH.search(text)
            if found:
                yield f"cell {number} holds an absolute path: {text[found.start() : found.start() + 40]!r}"


def exercises(nb: Notebook) -> Iterator[str]:
    """Two or more exercises in a lesson; each a task, a stub, a check and a solution, in this order."""
    from covidseg.lessons.exercises import find_exercises

    try:
        found = find_exercises(nb.node, nb.path.stem)
    except UserError as error:
        yield str(error)
        return
    if is_lesson(nb.path) and len(found) < LEAST_EXERCISES:
        yield f"has {len(found)} exercises, fewer than {LEAST_EXERCISES}"


def result_cell(nb: Notebook) -> Iterator[str]:
    """One cell tagged 'result' that hands its numbers on."""
    cells = nb.tagged("result")
    if len(cells) != 1 or "ctx.result(" not in cells[0].source:
        yield f"needs one cell tagged 'result' that calls ctx.result(...), and has {len(cells)}"


def imports_exist(nb: Notebook) -> Iterator[str]:
    """Every covidseg name that a cell imports is there: a renamed function fails here, by name."""
    for cell in nb.code:
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "covidseg":
                yield from (
                    f"imports {alias.name} from {node.module}, which does not exist"
                    for alias in node.names
                    if not _exists(node.module, alias.name)
                )
            elif isinstance(node, ast.Import):
                yield from (
                    f"imports {alias.name}, which does not exist"
                    for alias in node.names
                    if alias.name.split(".")[0] == "covidseg" and not _module_exists(alias.name)
                )


def _exists(module: str, name: str) -> bool:
    return _module_exists(module) and (hasattr(import_module(module), name) or _module_exists(f"{module}.{name}"))


def _module_exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a parent is missing
        return False


GUARDS = (
    order_of_cells,
    parameters_are_literals,
    execution_counts,
    outputs_are_clean,
    checked_cells,
    size_and_shape,
    few_colours,
    short_functions,
    easy_to_read,
    metadata_is_plain,
    no_absolute_path,
    exercises,
    result_cell,
    imports_exist,
)
