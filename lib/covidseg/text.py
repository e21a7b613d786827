"""Plain values as text: JSON without NaN, CSV without formulas, lines without terminal codes."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

__all__ = ["csv_text", "one_line", "plain", "printable", "say", "to_json"]

FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"  # what a spreadsheet takes for the beginning of one, wide forms too


def one_line(text: str) -> str:
    """A name from a disk or a file as people may read it: "?" for line ends, terminal codes, undecodable bytes.

    >>> one_line("a\\nb \\x1b[31m")
    'a?b ?[31m'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def printable(text: str) -> str:
    """`one_line` for a text of several lines, which keeps its line ends and tabs.

    >>> printable("a\\nb \\x1b[31m")
    'a\\nb ?[31m'
    """
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)


def say(text: object, *, error: bool = False) -> None:
    """Print for a person at a terminal; what the kit's commands print goes through here.

    error : on stderr, on one line. No name, record or notebook can send codes to the terminal
    """
    print(one_line(str(text)) if error else printable(str(text)), file=sys.stderr if error else sys.stdout, flush=True)


def plain(value: Any) -> Any:
    """Scores, NumPy and torch values, tuples and mappings as what JSON knows; a number that is none is None."""
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not isfinite(value) else value


def to_json(value: Any, margin: str = "\n") -> str:
    """JSON indented by 1, but each row of a list of mappings on one line: a case is a line, in the file and in a diff.

    margin : newline and indentation of the line that the text begins in. Raises ValueError for NaN.
    >>> print(to_json({"n": 2, "cases": [{"case": "a", "tp": 4}, {"case": "b", "tp": 0}]}))
    {
     "n": 2,
     "cases": [
      {"case": "a", "tp": 4},
      {"case": "b", "tp": 0}
     ]
    }
    """
    inner = margin + " "
    if isinstance(value, dict) and value:
        fields = [f"{json.dumps(str(name))}: {to_json(field, inner)}" for name, field in value.items()]
        return "{" + ",".join(inner + field for field in fields) + margin + "}"
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return "[" + ",".join(inner + json.dumps(row, allow_nan=False) for row in value) + margin + "]"
    return json.dumps(value, indent=1, allow_nan=False).replace("\n", margin)  # inside a text, a newline is escaped


def csv_text(rows: Iterable[Mapping], columns: Sequence[str] = ()) -> str:
    """Rows as CSV with a head; ``columns`` first, then what else the rows have, in the order of its first appearance.

    A text that a spreadsheet would take for a formula gets an apostrophe in front; a number stays a number.

    >>> csv_text([{"a": 1}, {"b": "=1+1"}])
    "a,b\\n1,\\n,'=1+1\\n"
    """
    rows = [{_harmless(name): _harmless(value) for name, value in row.items()} for row in rows]
    names = dict.fromkeys([*map(_harmless, columns), *(name for row in rows for name in row)])
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _harmless(value: Any) -> Any:
    """The value, with an apostrophe in front of a text that would be computed, or hide what stands behind it."""
    if not isinstance(value, str):
        return value
    value = value.replace("\r\n", "\n").replace(
        "\r", "\n"
    )  # csv leaves a bare \r unquoted, and a new line begins there
    if not value.lstrip().startswith(tuple(FORMULA)):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
