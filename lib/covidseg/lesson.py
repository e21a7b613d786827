"""What every notebook shares: a fixed start, three budgets, a place for results, checked exercises."""

import os
import sys
import warnings
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from covidseg import __version__, papers
from covidseg.checkout import find_checkout
from covidseg.device import choose_device
from covidseg.errors import UserError, unknown_name
from covidseg.files import write_json
from covidseg.lessons.answers import Asked, NotYet, kind
from covidseg.repeatable import set_seed, set_threads
from covidseg.text import plain

BUDGETS = {
    "smoke": "seconds, on phantoms: does every cell run?",
    "lesson": "at most about two minutes on two CPU cores",
    "paper": "real data and the paper's settings, on a GPU",
}


@dataclass
class Lesson:
    """One run of one notebook. ``start`` makes it; ``results`` holds what ``result`` was given."""

    name: str
    budget: str
    seed: int
    device: str
    results: dict = field(default_factory=dict)

    def pick(self, *, smoke, lesson, paper):
        """The value for this run's budget, so that all three sizes stand side by side in the notebook.

        >>> Lesson("NAME", "smoke", 0, "cpu").pick(smoke=2, lesson=20, paper=80)
        2
        """
        return {"smoke": smoke, "lesson": lesson, "paper": paper}[self.budget]

    def result(self, **values) -> None:
        """Add named values to this run's ``result.json``: numbers, texts, lists, dicts, numpy or torch values.

        NaN is stored as null. Raises TypeError if a value has no JSON form, and then keeps none of them. A name
        given twice keeps the last value.
        """
        results = self.results | plain(values)
        record = {
            "notebook": self.name,
            "budget": self.budget,
            "seed": self.seed,
            "device": self.device,
            "covidseg": __version__,
            "results": results,
        }
        write_json(result_path(self.name), record)
        self.results = results


def start(name: str, *, budget: str = "lesson", seed: int = 0, device: str = "cpu", threads: int = 1) -> Lesson:
    """Fix seeds, threads and device for notebook ``name``, and say so in one line.

    budget : "smoke", "lesson" or "paper". The environment variable COVIDSEG_BUDGET replaces the default
        "lesson" only, so that tests run fast and an explicit choice is still obeyed
    seed : seeds Python, numpy and torch
    device : "cpu", "cuda", ..., or "auto", see `covidseg.device`
    threads : of torch's operators. One by default: sums over several threads differ in the last digit
        from one machine to the next, and training carries that digit into the second decimal
    Raises UserError for an unknown budget or device, or one this machine lacks.
    """
    budget = choose_budget(budget)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed={seed!r} is not a whole number of 0 or more.")
    set_threads(threads)
    device = str(choose_device(device))
    set_seed(seed)
    print(f"{name}: {budget} budget, seed {seed}, on {device}.")
    return Lesson(name, budget, seed, device)


def choose_budget(budget: str) -> str:
    """``budget`` if there is one of that name; COVIDSEG_BUDGET wins over the default."""
    if budget == "lesson":
        budget = os.environ.get("COVIDSEG_BUDGET") or budget
    if budget not in BUDGETS:
        raise unknown_name("budget", budget, BUDGETS)
    return budget


def report(values: dict | None = None, /, *, digits: int = 3, **named) -> None:
    """Print one ``name: value`` per line, floats rounded, so that every machine prints the same text.

    >>> report({"HD in pixels": 3.00004}, largest_logit=-0.00001)
    HD in pixels: 3.000
    largest logit: 0.000
    """
    pairs = dict(values or {}) | {name.replace("_", " "): value for name, value in named.items()}
    for name, value in pairs.items():
        print(f"{name}: {in_words(plain(value), digits)}")


def in_words(value, digits: int = 3) -> str:
    """A value as text: floats with ``digits`` decimals and no minus zero, whole numbers with thousands commas."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{round(value, digits) + 0.0:.{digits}f}"
    if isinstance(value, list):
        return "[" + ", ".join(in_words(v, digits) for v in value) + "]"
    if isinstance(value, dict):
        return ", ".join(f"{k} {in_words(v, digits)}" for k, v in value.items())
    return str(value)


def check(notebook: str, exercise: int, answer) -> None:
    """Say whether ``answer`` solves the exercise. Prints one line and never raises: a notebook must run on."""
    complaint = judge(notebook, exercise, answer)
    print(f"Exercise {exercise}: not yet. {complaint}" if complaint else f"Exercise {exercise}: correct.")


def judge(notebook: str, exercise: int, answer) -> str:
    """ "" if the answer is right, else one sentence. Anything that goes wrong on the way is a sentence too."""
    if answer is None or answer is ...:
        return "There is no answer yet: fill in the cell above and run it."
    try:
        function = _checks_of(notebook)[exercise]
    except Exception as error:
        return f"This exercise has no working check ({type(error).__name__}); please report it."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd answer may make numpy warn; the sentence is enough
            complaint = function(Asked(answer) if callable(answer) else answer)
    except NotYet as sentence:
        return str(sentence)
    except (Exception, SystemExit) as error:
        if isinstance(error, TypeError) and "not callable" in str(error) and not callable(answer):
            return f"The task asks for a function; your answer is {kind(answer)}."
        return f"The check could not use your answer ({type(error).__name__}): is it the kind the task asks for?"
    if not isinstance(complaint, str):
        return f"This exercise's check answered {type(complaint).__name__} instead of a sentence; please report it."
    return complaint


def quiz(notebook: str):
    """The quiz of a notebook, which shows itself as the last line of a cell; it works without a kernel, too.

    Raises UserError for a notebook that has none.
    """
    from covidseg.lessons.quiz import Quiz

    try:
        questions = _module_of(notebook).QUIZ
    except (LookupError, AttributeError):
        raise UserError(f"The notebook {notebook!r} has no quiz.") from None
    return Quiz(questions)


def _checks_of(notebook: str) -> dict:
    """The answers of a notebook."""
    return _module_of(notebook).CHECKS


def _module_of(notebook: str):
    """Where a notebook's answers stand: those of a paper's own lie in the paper's folder. Raises LookupError."""
    for home in ("covidseg.lessons", *(f"covidseg.papers.{name}" for name in papers.NAMES)):
        name = f"{home}.checks.nb_{notebook}"
        if name in sys.modules or find_spec(name):
            return import_module(name)
    raise LookupError(notebook)


def result_path(name: str) -> Path:
    """Where ``result.json`` goes: the runner's choice (COVIDSEG_RESULT), else runs/notebooks/NAME/."""
    chosen = os.environ.get("COVIDSEG_RESULT")
    return Path(chosen) if chosen else (find_checkout() or Path.cwd()) / "runs" / "notebooks" / name / "result.json"
