"""Mark one notebook that a student handed in: run it within limits, and read what our checks say."""

import json
import os
import re
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from covidseg import __version__, papers
from covidseg.errors import UserError
from covidseg.files import make_folder, read_json, write_json
from covidseg.lessons import all_notebooks, handed_in, read, write
from covidseg.lessons.exercises import find_exercises
from covidseg.lessons.handed_in import HandedIn
from covidseg.lessons.runner import Limits, run_notebook
from covidseg.text import one_line

__all__ = ["Mark", "mark", "missing"]

LARGEST = 50_000_000  # bytes of a notebook that is opened at all
SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|(_|^)KEY(_|$)", re.I)
NOWHERE = (
    "http://127.0.0.1:9"  # port "discard": an honest download fails at once. No wall: see `covidseg.cli.exercises`
)
NO_ANSWER = "There is no answer yet"


@dataclass
class Mark:
    """One row of the marks. status : "marked", or why there is nothing to mark."""

    student: str
    notebook: str
    file: str
    status: str
    correct: int = 0
    exercises: int = 0
    note: str = ""
    seconds: float = 0.0
    answers: list = field(default_factory=list)  # of dicts: exercise, verdict, says

    def row(self) -> dict:
        """As a line of the CSV: a column for each exercise."""
        plain = asdict(self) | {"seconds": round(self.seconds, 1)}
        answers = {f"exercise {answer['exercise']}": answer["verdict"] for answer in plain.pop("answers")}
        return plain | answers


def missing(student: str, notebook: str = "") -> Mark:
    """The row of one who handed in nothing, or not that lesson."""
    return Mark(one_line(student), notebook, "", "missing", note="" if notebook else "no notebook in this folder")


def mark(
    given: HandedIn,
    folder: Path,
    scratch: Path,
    *,
    timeout: float,
    limits: Limits,
    again: bool = False,
) -> Mark:
    """Mark one file of a class's folder. What is wrong with it is said in the row; nothing is raised for it.

    scratch : folder for what the run leaves; a mark that lies there is taken where file, checks and limits are the same
    """
    if given.path is None:
        return missing(given.student)
    told = Mark(one_line(given.student), "", one_line(given.path.relative_to(folder).as_posix()), "unreadable")
    try:
        theirs, digest = _open(given.path)
    except UserError as error:
        told.note = one_line(str(error).replace(str(given.path), given.path.name))
        return told
    told.notebook = one_line(handed_in.lesson_of(theirs))
    source = {path.stem: path for path in all_notebooks()}.get(told.notebook)
    if source is None:
        told.status, told.note = "unknown", "it calls no lesson.check or lesson.start of a lesson of this kit"
        return told
    ours = read(source)
    exercises = find_exercises(ours, source.stem)
    key = _key(digest, ours, exercises, source.stem, timeout, limits)
    home = scratch / sha256(f"{given.student}\0{told.file}".encode(errors="surrogatepass")).hexdigest()[:16]
    if not again and (known := _known(home / "mark.json", key)):
        return known
    told.status, told.exercises = "marked", len(exercises)
    make_folder(home)
    copy = handed_in.marked_copy(theirs, ours, exercises)
    write(copy, home / f"{source.stem}.ipynb")
    outcome = run_notebook(
        home / f"{source.stem}.ipynb", home / "run", timeout=timeout, environment=_environment(), limits=limits
    )
    executed = _executed(outcome.executed)
    checked = handed_in.numbers(copy) | handed_in.numbers(executed)
    told.answers = [_answer(exercise.number, checked.get(exercise.number)) for exercise in exercises]
    told.correct = sum(answer["verdict"] == "correct" for answer in told.answers)
    told.seconds = outcome.seconds
    if outcome.error:  # the first is the one to look at: others may follow from it
        told.note = one_line(_first_error(executed, limits) or outcome.error)[:200]
    write_json(home / "mark.json", {"key": key, "mark": asdict(told)})
    return told


def _open(path: Path):
    """The notebook and its hash. Raises UserError, which names the file."""
    if path.is_symlink():
        raise UserError(f"{path} is a link, and was not followed.")
    if path.suffix != ".ipynb":
        raise UserError(f"{path} is no notebook: its name does not end in .ipynb.")
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} is larger than {LARGEST / 1e6:.0f} MB.")
        digest = sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from None
    notebook = read(path)
    if not isinstance(notebook.get("cells"), list):
        raise UserError(f"{path} is not a notebook (it has no cells).")
    return notebook, digest


def _key(digest: str, ours, exercises: list, name: str, timeout: float, limits: Limits) -> str:
    """Changes with the file, with our checks, and with the limits: then it is marked anew."""
    homes = ("covidseg.lessons", *(f"covidseg.papers.{paper}" for paper in papers.NAMES))
    modules = ["covidseg.lessons.answers", *(f"{home}.checks.nb_{name}" for home in homes)]
    found = [find_spec(module) for module in modules]
    code = [Path(spec.origin).read_text(encoding="utf-8") for spec in found if spec and spec.origin]
    parts = [
        __version__,
        digest,
        float(timeout),
        limits.cell,
        float(limits.memory),
        [ours.cells[e.check].source for e in exercises],
        code,
    ]
    return sha256(json.dumps(parts).encode()).hexdigest()


def _known(path: Path, key: str) -> Mark | None:
    try:
        told = read_json(path)
        return Mark(**told["mark"]) if told["key"] == key else None
    except (FileNotFoundError, UserError, TypeError, KeyError):  # cut short, or of another version
        return None


def _executed(path: Path | None):
    from nbformat.v4 import new_notebook

    try:
        return read(path) if path else new_notebook()
    except UserError:  # it printed more than a notebook can hold
        return new_notebook()


def _first_error(notebook, limits: Limits) -> str:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                where = f"cell {cell.execution_count}"
                if output.get("ename") == "KeyboardInterrupt":
                    return f"{where} took longer than {limits.cell} s"
                return f"{where}: {output.get('ename')}: {output.get('evalue')}"
    return ""


def _answer(number: int, cell) -> dict:
    """What our check said of one exercise."""
    verdict, says = "not reached", ""
    if cell is None:
        verdict, says = "no check", "its check cell is gone"
    for output in cell.get("outputs", []) if cell else []:
        text = output.get("text", "").strip() if output.output_type == "stream" else ""
        if output.output_type == "error":
            slow = output.get("ename") == "KeyboardInterrupt"  # so nbclient ends a cell
            verdict = "too slow" if slow else "error"
            says = "" if slow else f"{output.get('ename')}: {output.get('evalue')}"
        elif text == f"Exercise {number}: correct.":
            verdict = "correct"
        elif text.startswith(f"Exercise {number}: not yet. "):
            says = text.partition("not yet. ")[2]
            verdict = "no answer" if says.startswith(NO_ANSWER) else "not yet"
    return {"exercise": number, "verdict": verdict, "says": one_line(says)[:300]}


def _environment() -> dict:
    """The smoke budget, no way out by proxy, and no variable that sounds like a secret."""
    hidden = {name: "" for name in os.environ if SECRET.search(name)}
    proxies = {name: NOWHERE for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")}
    return hidden | proxies | {"NO_PROXY": "127.0.0.1,localhost", "COVIDSEG_BUDGET": "smoke"}
