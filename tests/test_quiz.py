"""Quizzes: one right choice, feedback for each, the same with a kernel and without."""

import re

import pytest

from covidseg import lesson
from covidseg.errors import UserError
from covidseg.lessons import all_notebooks, read
from covidseg.lessons.quiz import Choice, Question, Quiz

WITHOUT = {"35_reproduction_findings", "42_segment_your_ct"}  # a ledger of findings, and a walk through the program
QUIZZES = tuple(path.stem for path in all_notebooks() if path.stem not in WITHOUT)


@pytest.mark.parametrize("name", QUIZZES)
def test_a_notebook_shows_its_quiz_as_the_questions_stand(name):
    (path,) = [path for path in all_notebooks() if path.stem == name]
    (cell,) = [cell for cell in read(path).cells if "quiz" in cell.metadata.get("tags", [])]
    assert cell.source == lesson.quiz(name).static()  # `covidseg notebooks refresh` writes it


def test_no_other_notebook_has_one():
    shown = [
        path.stem for path in all_notebooks() if any("quiz" in c.metadata.get("tags", []) for c in read(path).cells)
    ]
    assert shown == list(QUIZZES)
    with pytest.raises(UserError, match="has no quiz"):
        lesson.quiz("42_segment_your_ct")
    with pytest.raises(UserError, match="has no quiz"):
        lesson.quiz("99_none")


@pytest.mark.parametrize("name", QUIZZES)
def test_every_choice_says_something_of_its_own(name):
    questions = lesson.quiz(name).questions
    said = [choice.says for question in questions for choice in question.choices]
    assert 2 <= len(questions) <= 3 and len(set(said)) == len(said) and all(len(text) > 20 for text in said)


def test_the_right_choice_is_not_always_at_the_same_place():
    places = [
        [choice.right for choice in question.choices].index(True)
        for name in QUIZZES
        for question in lesson.quiz(name).questions
    ]
    assert all(places.count(at) >= len(places) / 4 for at in range(3)), "who always opens b) should be wrong as often"


def test_a_quiz_is_folded_as_html_and_answers_last_as_text():
    quiz = Quiz([Question("1 < 2?", (Choice("No", "Count again."), Choice("<b>", "As you say.", right=True)))])
    shown = quiz._repr_html_()
    assert "1 &lt; 2?" in shown and shown.count("<details>") == 2 and "<details open" not in shown
    assert re.search(r"<summary>b\) &lt;b&gt;</summary>\s*<p><b>Right.</b> As you say.", shown)
    text = repr(quiz)
    assert text.endswith("Answers: 1: b") and "Count again" not in text


@pytest.mark.parametrize("rights", [(False, False), (True, True), (True,)])
def test_a_question_has_one_right_choice_of_several(rights):
    with pytest.raises(ValueError, match="right choices"):
        Question("?", tuple(Choice("x", "y", right=right) for right in rights))
