"""What a student's answer may be: numbers in any of their writings, and functions whose own errors are told as theirs.

A check asks for what it needs, ``number(answer(3))``, and gets it or raises `NotYet` with the sentence that the student
reads. 7, 7.0, numpy's 7, a tensor of one element: the same number. NaN, a text, True or a list in its place are none.
"""

import traceback
from numbers import Number

import numpy as np

MISSING = "The function returns nothing yet."


class NotYet(Exception):
    """An answer that is no answer; its text is one sentence, for the student."""


def number(given) -> float:
    """One finite number: Python's, numpy's, a tensor or an array of one element. Raises NotYet for anything else."""
    if given is None:
        raise NotYet(MISSING)
    value = _plain(given)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bool | np.bool_ | complex | np.complexfloating) or not isinstance(value, Number):
        raise NotYet(f"A number is asked for, not {kind(given)}.")
    if not np.isfinite(float(value)):
        raise NotYet(f"A finite number is asked for, not {float(value)}: is something divided by 0?")
    return float(value)


def whole(given) -> int:
    """One whole number; 7.0 is one. Raises NotYet."""
    value = number(given)
    if value != round(value):
        raise NotYet(f"A whole number is asked for, not {value:g}.")
    return round(value)


def numbers(given, many: int) -> np.ndarray:
    """That many finite numbers, float (many,), of a list, a tuple, an array or a tensor. Raises NotYet."""
    if given is None:
        raise NotYet(MISSING)
    value = _plain(given)
    if isinstance(value, np.ndarray) and value.ndim:
        value = list(value)
    if not isinstance(value, list | tuple):
        raise NotYet(f"{many} numbers are asked for, in a list or a tuple, not {kind(given)}.")
    if len(value) != many:
        raise NotYet(f"{many} numbers are asked for, not {len(value)}.")
    return np.array([number(one) for one in value])


def array(given, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """An array of real numbers, of ``shape`` if one is named; a list or a tensor of them counts. Raises NotYet."""
    if given is None:
        raise NotYet(MISSING)
    try:
        value = np.asarray(_plain(given))
    except ValueError:  # a list of lists of unlike lengths
        value = np.array(None)
    if value.dtype.kind not in "biufc":
        raise NotYet(f"An array of numbers is asked for, not {kind(given)}.")
    if shape is not None and value.shape != tuple(shape):
        raise NotYet(f"An array of shape {tuple(shape)} is asked for; yours has the shape {value.shape}.")
    if value.dtype.kind == "c":
        raise NotYet("The numbers are complex: take their real part.")
    if not np.isfinite(value).all():
        raise NotYet("The array holds values that are no finite numbers (NaN or infinity).")
    return value


def yes_or_no(given) -> bool:
    """True or False, Python's, numpy's or a tensor's. Raises NotYet."""
    value = _plain(given)
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    if not isinstance(value, bool | np.bool_):
        raise NotYet(f"True or False is asked for, not {kind(given)}.")
    return bool(value)


def names(given) -> set[str]:
    """Texts, in a set, a list or a tuple; one text alone is one name. Raises NotYet."""
    if given is None:
        raise NotYet(MISSING)
    given = [given] if isinstance(given, str) else given
    if not isinstance(given, list | tuple | set | frozenset | np.ndarray) or not all(isinstance(n, str) for n in given):
        raise NotYet(f"Names are asked for, in a set or a list, not {kind(given)}.")
    return {str(name) for name in given}


def near(given: float, wanted: float, digits: int = 3) -> bool:
    """Is ``given`` the wanted number, exactly or rounded to ``digits`` decimals?"""
    return abs(given - wanted) <= 0.5001 * 10**-digits


def named(given: float, slips: dict[float, str], digits: int = 6) -> str:
    """The sentence of the first wrong value that was given, else ""."""
    return next((words for value, words in slips.items() if near(given, value, digits)), "")


def kind(given) -> str:
    """What something is, in a word or two."""
    if callable(given) and not hasattr(given, "parameters"):
        return "a function"
    words = {str: "a text", bool: "True or False", list: "a list", tuple: "a tuple", dict: "a dict", set: "a set"}
    if isinstance(given, np.ndarray) or hasattr(given, "detach") and hasattr(given, "shape"):
        return f"an array of shape {tuple(given.shape)}"
    if isinstance(given, Number) and not isinstance(given, bool):
        return "a number"
    return "nothing" if given is None else words.get(type(given), f"a thing of type {type(given).__name__}")


def _plain(given):
    """A tensor as an array."""
    return given.detach().cpu().numpy() if hasattr(given, "detach") else given


# ------------------------------------------------------------------------------------------- a student's function


class Asked:
    """A student's function, called as itself; what goes wrong in it is raised as a `NotYet` that tells it as theirs."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *arguments, **named_arguments):
        try:
            return self.function(*arguments, **named_arguments)
        except NotYet:
            raise
        except (Exception, SystemExit) as error:  # a student's function may do anything when called
            raise NotYet(told(error, self.function)) from error


def told(error: BaseException, function) -> str:
    """An error of a student's function in one sentence: which, what it says, and in which line of their cell."""
    says = " ".join(str(error).split())[:200]
    what = f"{type(error).__name__}: {says}" if says else type(error).__name__
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if not lines and isinstance(error, TypeError):
        return f"Your function cannot be called as the task says ({what})."
    where = f" in line {lines[-1]} of your cell" if lines else ""
    return f"Your function stops{where} with {what.rstrip('.')}."
