"""What a notebook's parameters cell allows, read from the cell itself.

    budget = "lesson"  # smoke | lesson | paper
    fold = 1           # 1..5
    weights = None     # str | None

The literal gives the default and the type, the comment the allowed values (``a | b``), the range
(``low..high``) or further types; words after a semicolon are free text. So a bad value is refused in a
second and with a hint, where papermill would only warn and run on with the default.
"""

import ast
import io
import tokenize
from dataclasses import dataclass

from covidseg.errors import UserError, unknown_name

TYPES = {"bool": bool, "int": int, "float": float, "str": str, "list": list, "dict": dict, "None": type(None)}


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell."""

    name: str
    default: object
    types: tuple[type, ...]
    allowed: tuple = ()
    bounds: tuple[float, float] | None = None

    def accept(self, value):
        """``value``, or UserError. Text is read as the parameter's type: it may come from a command line."""
        value = self._read(value) if isinstance(value, str) else value
        if float in self.types and type(value) is int:
            value = float(value)
        if type(value) not in self.types:
            wanted = " or ".join(t.__name__.replace("NoneType", "None") for t in self.types)
            raise UserError(f"Parameter {self.name}={value!r} should be of type {wanted}, as {self.default!r} is.")
        if self.allowed and value not in self.allowed and value is not None:
            raise unknown_name(f"value of parameter {self.name!r}", value, self.allowed)
        if self.bounds and value is not None and not self.bounds[0] <= value <= self.bounds[1]:
            raise UserError(f"Parameter {self.name}={value!r} is outside {self.bounds[0]}..{self.bounds[1]}.")
        return value

    def _read(self, text: str):
        """The text as the first of this parameter's types that it spells."""
        literal = read_literal(text)
        if type(literal) in self.types or (float in self.types and type(literal) is int):
            return literal
        return text if str in self.types else literal


def parameters(notebook) -> dict[str, Parameter]:
    """The parameters of a notebook by name, in order. Raises UserError if the cell holds more than plain literals."""
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise UserError(f"A notebook needs one cell tagged 'parameters'; this one has {len(cells)}.")
    return read_cell(cells[0].source)


def read_cell(source: str) -> dict[str, Parameter]:
    """``parameters`` for the text of the cell."""
    try:
        comments, lines = _comments(source), ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
        raise UserError("The parameters cell is no Python: write lines of the form `name = literal`.") from None
    found = {}
    for node in lines:
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        if not isinstance(target, ast.Name):
            raise UserError(f"Line {node.lineno} of the parameters cell is not `name = literal`.")
        try:
            default = ast.literal_eval(node.value)
        except (ValueError, TypeError):
            raise UserError(f"Parameter {target.id} in the parameters cell is not a plain literal.") from None
        found[target.id] = _parameter(target.id, default, comments.get(node.end_lineno, ""))
    return found


def accept(notebook, given: dict, title: str) -> dict:
    """`check` against the notebook's own parameters cell."""
    return check(parameters(notebook), given, title)


def check(known: dict[str, Parameter], given: dict, title: str) -> dict:
    """The given parameters, each with its right type. Raises UserError, naming ``title``, for a wrong name or value."""
    for name in given:
        if name not in known:
            raise unknown_name(f"parameter of {title}", name, known)
    return {name: known[name].accept(value) for name, value in given.items()}


def parse_assignments(texts: list[str]) -> dict[str, str]:
    """["seed=3", "device=cuda"] -> {"seed": "3", "device": "cuda"}. Raises UserError."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UserError(f"Parameter {text!r} is not of the form name=value.")
        name, value = name.strip(), value.strip()
        if name in pairs:
            raise UserError(f"Parameter {name} is given twice: {pairs[name]} and {value}.")
        pairs[name] = value
    return pairs


def read_literal(text: str):
    """A word as the value it spells; a bare word is a text.

    >>> read_literal("1e-3"), read_literal("true"), read_literal("cuda")
    (0.001, True, 'cuda')
    """
    try:
        return ast.literal_eval(text)
    except (
        ValueError,
        SyntaxError,
        TypeError,
        RecursionError,
        MemoryError,
    ):  # {[]: 1} is a TypeError, ((((... the last
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _comments(source: str) -> dict[int, str]:
    """Line number -> comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _parameter(name: str, default, comment: str) -> Parameter:
    rule = comment.split(";")[0].strip()
    words = [word.strip() for word in rule.split("|") if word.strip()]
    types = {type(default)} | {TYPES[word] for word in words if word in TYPES}
    values = [word for word in words if word not in TYPES]
    if "|" in rule and values:
        allowed = tuple(read_literal(value) for value in values)
        return Parameter(name, default, tuple(types | {type(v) for v in allowed}), allowed)
    low, dots, high = rule.split(",")[-1].partition("..")
    if dots:
        try:
            return Parameter(name, default, tuple(types), bounds=(float(low), float(high)))
        except ValueError:
            raise UserError(f"The comment of parameter {name} is not a range low..high: {rule!r}.") from None
    return Parameter(name, default, tuple(types))
