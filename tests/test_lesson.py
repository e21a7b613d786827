"""The start that every notebook shares, its results, and its checked exercises."""

import json
import random
import sys
import types

import numpy as np
import pytest
import torch

from covidseg import lesson
from covidseg.device import choose_device
from covidseg.errors import UnknownName, UserError
from covidseg.lessons import answers
from covidseg.progress import progress


@pytest.fixture(autouse=True)
def one_thread_afterwards():
    yield
    torch.set_num_threads(1)


@pytest.fixture
def checks(monkeypatch):
    """Pretend that notebook 99_toy has these checks."""

    def install(**functions):
        module = types.ModuleType("covidseg.lessons.checks.nb_99_toy")
        module.CHECKS = {int(name[1:]): function for name, function in functions.items()}
        monkeypatch.setitem(sys.modules, "covidseg.lessons.checks.nb_99_toy", module)

    return install


def test_start_prints_one_line_and_nothing_that_differs_between_machines(capsys):
    lesson.start("99_toy", seed=3)
    assert capsys.readouterr().out == "99_toy: lesson budget, seed 3, on cpu.\n"


def test_start_makes_every_generator_repeat_itself():
    def draw():
        lesson.start("99_toy", seed=7)
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert draw() == draw()


def test_start_leaves_torch_one_thread_unless_told_otherwise():
    lesson.start("99_toy", threads=2)
    assert torch.get_num_threads() == 2
    lesson.start("99_toy")
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("asked", "got"), [("lesson", "smoke"), ("paper", "paper"), ("smoke", "smoke")])
def test_the_environment_replaces_only_the_default_budget(monkeypatch, asked, got):
    monkeypatch.setenv("COVIDSEG_BUDGET", "smoke")
    assert lesson.start("99_toy", budget=asked).budget == got


def test_a_misspelt_budget_is_refused_also_from_the_environment(monkeypatch):
    with pytest.raises(UnknownName, match="Did you mean 'smoke'"):
        lesson.start("99_toy", budget="smok")
    monkeypatch.setenv("COVIDSEG_BUDGET", "papr")
    with pytest.raises(UnknownName, match="Did you mean 'paper'"):
        lesson.start("99_toy")


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(UserError, match=f"seed={seed!r}"):
        lesson.start("99_toy", seed=seed)


def test_an_absent_device_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "cuda0", "gpu"):
        with pytest.raises(UserError, match=f"Device '{name}' is not available here; use cpu, or auto"):
            lesson.start("99_toy", device=name)


def test_auto_takes_the_gpu_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert str(choose_device("auto")) == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)  # an Apple GPU is taken only by name
    assert lesson.start("99_toy", device="auto").device == "cpu"


def test_pick_takes_the_value_of_the_budget():
    sizes = {
        budget: lesson.Lesson("toy", budget, 0, "cpu").pick(smoke=1, lesson=2, paper=3) for budget in lesson.BUDGETS
    }
    assert sizes == {"smoke": 1, "lesson": 2, "paper": 3}


def test_results_of_one_run_add_up_and_the_next_run_begins_anew(monkeypatch, tmp_path):
    path = tmp_path / "deep" / "result.json"
    monkeypatch.setenv("COVIDSEG_RESULT", str(path))
    ctx = lesson.start("99_toy")
    ctx.result(dice=np.float32(0.5), sizes=(1, 2), history=torch.ones(2))
    ctx.result(name="MiniSeg", missing=None, undefined=np.nan)
    record = json.loads(path.read_text())
    assert record["results"] == {"dice": 0.5, "sizes": [1, 2], "history": [1, 1], "name": "MiniSeg"} | {
        "missing": None, "undefined": None
    }  # fmt: skip
    assert record["notebook"] == "99_toy" and record["budget"] == "lesson" and record["seed"] == 0
    lesson.start("99_toy").result(only=1)
    assert json.loads(path.read_text())["results"] == {"only": 1}
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]  # no half-written file stays


def test_a_result_that_json_cannot_hold_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("COVIDSEG_RESULT", str(tmp_path / "result.json"))
    ctx = lesson.start("99_toy")
    with pytest.raises(TypeError, match="module"):
        ctx.result(model=torch)
    assert ctx.results == {} and not list(tmp_path.iterdir())


def test_report_rounds_and_knows_no_minus_zero(capsys):
    lesson.report(
        {"HD in pixels": 2.99996}, largest_logit=torch.tensor(-1e-5), parameters=82_912, even=True, x=[0.12345, 1]
    )
    assert capsys.readouterr().out.splitlines() == [
        "HD in pixels: 3.000", "largest logit: 0.000", "parameters: 82,912", "even: True", "x: [0.123, 1]"
    ]  # fmt: skip


def verdict(capsys, answer, exercise=1, notebook="99_toy"):
    assert lesson.check(notebook, exercise, answer) is None  # or the notebook would show a value
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_check_says_correct_or_the_reason(capsys, checks):
    checks(_1=lambda answer: "" if answer == 42 else "It is the answer to everything.")
    assert verdict(capsys, 42) == "Exercise 1: correct."
    assert verdict(capsys, 41) == "Exercise 1: not yet. It is the answer to everything."


@pytest.mark.parametrize("stub", [None, ...])
def test_an_untouched_stub_is_not_yet_whatever_the_check_says(capsys, checks, stub):
    checks(_1=lambda answer: "")
    assert verdict(capsys, stub) == "Exercise 1: not yet. There is no answer yet: fill in the cell above and run it."


def exit_now(_):
    sys.exit(3)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("text", "The task asks for a function; your answer is a text."),
        ([], "The task asks for a function; your answer is a list."),
        (np.nan, "The task asks for a function; your answer is a number."),
        (np.zeros((0, 3)), "The task asks for a function; your answer is an array of shape (0, 3)."),
        (torch, "The task asks for a function; your answer is a thing of type module."),
        (lambda: 1 / 0, "Your function cannot be called as the task says (TypeError: "),
        (lambda x: 1 / 0, " of your cell with ZeroDivisionError: division by zero."),
        (lambda x: nothing_of_this_name, " of your cell with NameError: name 'nothing_of_this_name' is not defined."),  # noqa: F821
        (exit_now, " of your cell with SystemExit: 3."),
        (lambda x: "text", "The check could not use your answer (TypeError)"),
    ],
)
def test_check_never_raises_on_an_odd_answer_and_tells_a_students_error_as_theirs(capsys, checks, answer, says):
    checks(_1=lambda a: "" if a(1) + 1 > 2 else "Too small.")
    line = verdict(capsys, answer)
    assert line.startswith("Exercise 1: not yet. ") and says in line


@pytest.mark.parametrize("odd", [None, True, 3])
def test_a_check_that_gives_no_sentence_is_reported_not_passed(capsys, checks, odd):
    checks(_1=lambda answer: odd)
    assert "please report it" in verdict(capsys, 42)


def test_an_answer_that_is_no_number_is_told_so(capsys, checks):
    checks(_1=lambda answer: "" if answers.number(answer) == 7 else "Seven.", _2=lambda a: str(answers.numbers(a, 2)))
    for seven in (7, 7.0, np.float32(7), np.int8(7), torch.tensor(7), torch.tensor([7.0]), np.array([[7]])):
        assert verdict(capsys, seven) == "Exercise 1: correct."
    for odd in (np.nan, np.inf, "7", True, [7, 7], 7 + 1j, np.array(["7"]), torch.zeros(2), {}):
        assert "number is asked for, not" in verdict(capsys, odd)
    for odd in ((1,), (1, 2, 3), (1, np.nan), "12", {1, 2}, 12, [None, 1], torch.zeros(3)):
        assert "asked for" in verdict(capsys, odd, exercise=2) or "returns nothing" in verdict(capsys, odd, exercise=2)


def test_a_missing_check_is_reported_not_raised(capsys, checks):
    checks(_1=lambda answer: "")
    assert "has no working check" in verdict(capsys, 42, exercise=2)
    assert "has no working check" in verdict(capsys, 42, notebook="98_absent")


def test_progress_hands_on_the_items_untouched_and_draws_nothing_when_headless(capsys):
    items = [3, 1, 2]
    assert progress(items, "toy") is items
    assert list(progress((i for i in items), "toy", total=3)) == items
    assert capsys.readouterr() == ("", "")


def test_progress_shows_its_label_on_a_terminal(monkeypatch, capsys):
    monkeypatch.delenv("COVIDSEG_QUIET")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("covidseg.progress.PATIENCE", 0)
    assert list(progress(range(3), "reading slices")) == [0, 1, 2]
    assert "reading slices" in capsys.readouterr().err
