"""Right answers in other writings, and the wrong answers that every exercise of a kind gets, made from a right one.

A `Row` names what an exercise asks for, a right answer, and at least three slips of its own. What a student gets wrong
anywhere is added by the kind: nothing, NaN, text, another unit, another sign, one too many, a constant that fits the
example, the wrong shape, an error of their own, arguments that do not fit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

WORDS = ("text", "def answer(x): return x")


@dataclass(frozen=True)
class Row:
    """kind : a key of KINDS; also : further right answers; digits : decimals to which a right number may be rounded."""

    kind: str
    right: object
    slips: list
    also: list = field(default_factory=list)
    digits: int = 3

    def rights(self) -> list:
        writings, _ = KINDS[self.kind]
        return [self.right, *self.also, *writings(self.right, self.digits)]

    def wrongs(self) -> list:
        _, wrongs = KINDS[self.kind]
        return [*self.slips, *wrongs(self.right)]


def then(function: Callable, change: Callable) -> Callable:
    """``function``, its result changed."""
    return lambda *arguments: change(function(*arguments))


def for_the_first_only(function: Callable) -> Callable:
    """Right for the example, and the same ever after."""
    seen = []

    def answer(*arguments):
        seen.extend([function(*arguments)] if not seen else [])
        return seen[0]

    return answer


def wrong_functions(right: Callable) -> list:
    """What goes wrong with a function of any kind."""

    def own_slip(*arguments):
        return not_defined_anywhere  # noqa: F821

    return [
        then(right, lambda v: None),
        then(right, lambda v: float("nan")),
        then(right, lambda v: "0.5"),
        then(right, lambda v: {"answer": v}),
        for_the_first_only(right),
        own_slip,
        lambda: right,
        7.5,
        *WORDS,
    ]


# ------------------------------------------------------------------------------------------ one kind after another


def rounded(value, digits: int):
    return np.round(np.asarray(value, float), digits)


def writings_of_a_number(value, digits):
    return [float(rounded(value, digits)), np.float64(value), np.array(value), torch.tensor(float(value)).double()]


def wrong_numbers(value):
    nan, inf = float("nan"), float("inf")
    return [
        ...,
        nan,
        inf,
        str(value),
        [value, value],
        100 * value + 1,
        -value - 0.5,
        value + 1,
        True,
        lambda: value,
        {},
    ]


def writings_of_numbers(values, digits):
    exact = [float(v) for v in values]
    return [rounded(exact, digits).tolist(), tuple(exact), np.array(exact), torch.tensor(exact).double()]


def wrong_pairs(values):
    a, b = map(float, values)
    nan = float("nan")
    return [
        (nan, nan),
        (a, nan),
        (a,),
        (a, b, b),
        (b, a),
        (str(a), str(b)),
        (100 * a, 100 * b),
        (a + 1, b),
        (a, b + 1),
        a,
    ]


def number_functions(right, digits):
    return [
        then(right, lambda v: float(rounded(v, digits))),
        then(right, np.float64),
        then(right, lambda v: torch.tensor(float(v)).double()),
        then(right, np.array),
    ]


def wrong_number_functions(right):
    return [
        *wrong_functions(right),
        then(right, lambda v: 100 * float(v) + 7),
        then(right, lambda v: -float(v) - 1),
        then(right, lambda v: float(v) + 1),
        then(right, lambda v: float(v) - 1),
        then(right, lambda v: [float(v), float(v)]),
    ]


def pair_functions(right, digits):
    return [
        then(right, lambda v: rounded([float(x) for x in v], digits).tolist()),
        then(right, lambda v: tuple(float(x) for x in v)),
        then(right, lambda v: torch.tensor([float(x) for x in v]).double()),
        then(right, lambda v: np.array([float(x) for x in v])),
    ]


def wrong_pair_functions(right):
    return [
        *wrong_functions(right),
        then(right, lambda v: [float(x) + 1 for x in v]),
        then(right, lambda v: [100 * float(x) + 7 for x in v]),
        then(right, lambda v: list(v)[:1]),
        then(right, lambda v: [*v, 0.0]),
        then(right, lambda v: [float("nan") for _ in v]),
        then(right, lambda v: list(v)[::-1]),
    ]


def array_functions(right, digits):
    return [
        then(right, np.ascontiguousarray),
        then(right, lambda v: torch.as_tensor(np.ascontiguousarray(v))),
        then(right, np.asfortranarray),
    ]


def wrong_array_functions(right):
    return [
        *wrong_functions(right),
        then(right, lambda v: np.asarray(v)[:-1]),
        then(right, lambda v: np.asarray(v)[None]),
        then(right, lambda v: np.asarray(v) * 0),
        then(right, lambda v: (np.asarray(v) + 2).astype(np.asarray(v).dtype)),
        then(right, lambda v: np.full(np.shape(v), np.nan)),
        then(right, lambda v: np.asarray(v).astype(str)),
    ]


def tensor_functions(right, digits):
    return [then(right, lambda v: v.contiguous()), then(right, lambda v: v.double()), then(right, lambda v: v + 1e-7)]


def wrong_tensor_functions(right):
    return [
        *wrong_functions(right),
        then(right, lambda v: v * torch.nan),
        then(right, lambda v: v[:1]),
        then(right, lambda v: -v),
        then(right, lambda v: v + 1),
        then(right, lambda v: v.mean()),
    ]


def writings_of_names(value, digits):
    return [sorted(value), tuple(sorted(value)), set(value)]


def wrong_names(value):
    return [
        ...,
        set(),
        list(value)[:1],
        {*value, "one more"},
        7,
        float("nan"),
        [1, 2, 3],
        {"text"},
        [None],
        ["", *value],
        {},
    ]


KINDS = {  # name -> (the same answer in other writings, wrong answers)
    "number": (writings_of_a_number, wrong_numbers),
    "pair": (writings_of_numbers, wrong_pairs),
    "names": (writings_of_names, wrong_names),
    "function to a number": (number_functions, wrong_number_functions),
    "function to numbers": (pair_functions, wrong_pair_functions),
    "function to an array": (array_functions, wrong_array_functions),
    "function to a tensor": (tensor_functions, wrong_tensor_functions),
    "function": (lambda right, digits: [], wrong_functions),
    "function that changes": (lambda right, digits: [], lambda right: wrong_functions(right)[-5:]),
    "other": (lambda right, digits: [], lambda right: [..., 7.5, float("nan"), *WORDS, {}, [], {"A": 1}, lambda x: x]),
}
