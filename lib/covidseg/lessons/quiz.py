"""Short quizzes: a question, a few choices, and what each choice says when it is opened.

They need no kernel: each choice is a fold of plain HTML, in JupyterLab as in a saved notebook or on a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Choice", "Question", "Quiz"]


@dataclass(frozen=True)
class Choice:
    """text : what may be chosen; says : why it is right, or what it overlooks."""

    text: str
    says: str
    right: bool = False

    @property
    def verdict(self) -> str:
        return "Right." if self.right else "Not quite."


@dataclass(frozen=True)
class Question:
    """One question; exactly one of its choices is right, and each says something of its own."""

    asks: str
    choices: tuple[Choice, ...]

    def __post_init__(self):
        right = sum(choice.right for choice in self.choices)
        if right != 1 or len(self.choices) < 2:
            raise ValueError(f"{self.asks!r} has {right} right choices of {len(self.choices)}; one of two or more is.")


@dataclass(frozen=True)
class Quiz:
    """Questions, shown folded by a notebook and written out with the answers at the end elsewhere."""

    questions: Sequence[Question]

    def _repr_html_(self) -> str:
        return "".join(map(_html, range(1, len(self.questions) + 1), self.questions))

    def static(self) -> str:
        """The quiz as the Markdown of a cell, for readers without a kernel: a test keeps it equal to the questions."""
        return f"## Check yourself\n\n{self._repr_html_()}"

    def __repr__(self) -> str:
        asked = [_text(number, question) for number, question in enumerate(self.questions, 1)]
        right = [
            f"{number}: {letter}"
            for number, question in enumerate(self.questions, 1)
            for letter, choice in _lettered(question)
            if choice.right
        ]
        return "\n\n".join([*asked, f"Answers: {', '.join(right)}"])


def _lettered(question: Question) -> list[tuple[str, Choice]]:
    return list(zip("abcdefgh", question.choices, strict=False))


def _html(number: int, question: Question) -> str:
    folds = "".join(
        f"<details><summary>{letter}) {escape(choice.text, quote=False)}</summary>"
        f"<p><b>{choice.verdict}</b> {escape(choice.says, quote=False)}</p></details>\n"
        for letter, choice in _lettered(question)
    )
    return f"<p><b>{number}. {escape(question.asks, quote=False)}</b> Open what you would choose.</p>\n{folds}"


def _text(number: int, question: Question) -> str:
    lines = [f"   {letter}) {choice.text}" for letter, choice in _lettered(question)]
    return "\n".join([f"{number}. {question.asks}", *lines])
