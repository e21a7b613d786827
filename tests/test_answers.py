"""Every exercise's check accepts each right answer in every writing, and explains ten wrong ones or more in a line."""

from importlib import import_module

import pytest
from answers import basics, large, maps, small

from covidseg import papers
from covidseg.lesson import judge
from covidseg.lessons import all_notebooks, read
from covidseg.lessons.exercises import find_exercises

ROWS = {
    (name, number): row
    for table in (basics.NOTEBOOKS, small.NOTEBOOKS, large.NOTEBOOKS, maps.NOTEBOOKS)
    for name, rows in table.items()
    for number, row in rows.items()
}
LEAST_WRONG, LEAST_SLIPS, LEAST_RIGHT = 10, 3, 3


def checks(notebook: str) -> dict:
    for home in ("lessons", *(f"papers.{name}" for name in papers.NAMES)):
        try:
            return import_module(f"covidseg.{home}.checks.nb_{notebook}").CHECKS
        except ModuleNotFoundError:
            continue
    return {}


def test_every_exercise_has_its_check_and_its_answers():
    asked = {path.stem: [e.number for e in find_exercises(read(path), path.stem)] for path in all_notebooks()}
    assert {name: list(checks(name)) for name in asked} == asked
    assert {(name, n) for name, numbers in asked.items() for n in numbers} == set(ROWS)


def test_every_notebook_has_three_exercises_and_all_together_sixty():
    counts = {path.stem: len(find_exercises(read(path), path.stem)) for path in all_notebooks()}
    assert {name: n for name, n in counts.items() if n < 3} == {} and sum(counts.values()) >= 60


@pytest.mark.parametrize("place", ROWS, ids=lambda place: f"{place[0]}-{place[1]}")
def test_a_right_answer_is_accepted_however_it_is_written(place):
    rights = ROWS[place].rights()
    assert len(rights) >= LEAST_RIGHT
    assert {k: said for k, answer in enumerate(rights) if (said := judge(*place, answer))} == {}


@pytest.mark.parametrize("place", ROWS, ids=lambda place: f"{place[0]}-{place[1]}")
def test_a_wrong_answer_gets_an_explaining_line(place):
    wrongs = ROWS[place].wrongs()
    assert len(wrongs) >= LEAST_WRONG and len(ROWS[place].slips) >= LEAST_SLIPS
    poor = {}
    for k, answer in enumerate(wrongs):
        said = judge(*place, answer)
        clear = said.endswith((".", "?")) and "\n" not in said and len(said) < 400
        if not clear or "report it" in said or "could not use" in said:
            poor[k] = said
    assert poor == {}


@pytest.mark.parametrize("place", [p for p, row in ROWS.items() if row.kind.startswith("function")])
def test_an_error_of_the_students_own_is_shown_as_theirs(place):
    (own,) = [wrong for wrong in ROWS[place].wrongs() if getattr(wrong, "__name__", "") == "own_slip"]
    assert "NameError: name 'not_defined_anywhere' is not defined" in judge(*place, own)
