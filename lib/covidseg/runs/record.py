"""One run, one JSON: what was trained, on which data, and how well it did. Tables are built from these alone.

A record keeps the scores of every case under two ways to choose the weights. "best" takes the epoch that did best
on the very fold it is then scored on, as some papers' authors do: optimistic; or, where the run held cases out of
training to choose by, on those. "last" takes the last epoch, chosen before any score was seen: honest.
``runs/`` holds a machine's own records, ``results/records/`` the committed ones of real data.
"""

from collections.abc import Callable, Iterable
from math import isfinite
from pathlib import Path
from typing import Any

from covidseg.errors import UserError, unknown_name
from covidseg.files import read_json, write_json
from covidseg.text import one_line, plain

SCHEMA = "covidseg-run-1"
SELECTIONS = {
    "best": "best epoch on the scored fold, the authors' optimistic way",
    "last": "last epoch, chosen before any score was seen",
}
HELD_OUT = "best epoch on cases held out of training, chosen before any score was seen"
NUMBER = (int, float)

# dotted name -> types; None in a tuple means that null is allowed
FIELDS = {
    "schema": (str,),
    "model": (str,),
    "variant": (str,),  # a row of the model's ablations; "" for the plain network
    "options": (dict,),  # what create_model was given
    "data.name": (str,),
    "data.fold": (int, None),
    "data.options": (dict,),
    "data.train.cases": (int,),
    "data.train.fingerprint": (str,),
    "data.val.cases": (int,),
    "data.val.fingerprint": (str,),
    "changed": (dict,),  # parameters that differ from their budget's standard; such a run enters no table
    "seed": (int,),
    "budget": (str,),
    "recipe": (dict,),
    "params": (int,),
    "macs": (int,),
    "selections": (dict,),
    "provenance": (dict,),
    "cost.seconds": NUMBER,
    "cost.device": (str,),
    "cost.peak_memory_mb": (*NUMBER, None),
}
PROVENANCE_FIELDS = {name: (str, None) for name in ("started", "engine", "source", "code")}  # if it has them
LARGEST = 2**63  # a number beyond has come from no run, and no table could hold it
SELECTION_FIELDS = {"epoch": (int,), "scores": (dict,)}
SCORE_FIELDS = {"means": (dict,), "pooled": (dict,), "cases": (list,), "n": (dict,), "undefined": (dict,)}
WORDS = {int: "a whole number", float: "a number", str: "a text", dict: "a mapping", list: "a list", None: "null"}


# ------------------------------------------------------------------------------------------------ one record


def make_record(**fields: Any) -> dict:
    """The record of one run as plain values; fields as in ``FIELDS``. Raises UserError if one is missing or misfits.

    selections : {"best": {"epoch": 3, "scores": {"clean": Scores, ...}}, "last": ...}
    """
    known = {name.partition(".")[0] for name in FIELDS}
    if unknown := fields.keys() - known:
        raise unknown_name("field of a record", min(unknown), known)
    record = {"schema": SCHEMA} | {name: plain(value) for name, value in fields.items()}
    return check_record(record, "the new record")


def check_record(record: Any, where: str = "the record") -> dict:
    """``record`` itself; UserError names the file (``where``) and the first field that does not fit."""
    if not isinstance(record, dict):
        raise UserError(f"{where}: a run record is a mapping, not {_kind(record)}.")
    if record.get("schema") != SCHEMA:
        raise UserError(f"{where}: field schema is {record.get('schema')!r}, not {SCHEMA!r}.")
    _check_values(record, where)
    _check_fields(record, FIELDS, where)
    provenance = record["provenance"]
    there = {name: types for name, types in PROVENANCE_FIELDS.items() if name in provenance}
    _check_fields(provenance, there, where, "provenance.")
    for rule, selection in record["selections"].items():
        if rule not in SELECTIONS:
            raise UserError(f"{where}: {unknown_name('selection', rule, SELECTIONS)}")
        _check_fields(selection, SELECTION_FIELDS, where, f"selections.{rule}.")
        for protocol, scores in selection["scores"].items():
            _check_scores(scores, where, f"selections.{rule}.scores.{protocol}.")
    if missing := SELECTIONS.keys() - record["selections"].keys():
        raise UserError(f"{where}: field selections.{min(missing)} is missing.")
    return record


def _check_scores(scores: Any, where: str, place: str) -> None:
    _check_fields(scores, SCORE_FIELDS, where, place)
    kinds = {"means": (*NUMBER, None), "pooled": (*NUMBER, None), "n": (int,), "undefined": (int,)}
    for part, types in kinds.items():  # each by itself: one must not hide what the other has of that name
        _check_fields(scores[part], dict.fromkeys(scores[part], types), where, f"{place}{part}.")
    for row in scores["cases"]:
        if not isinstance(row, dict):
            raise UserError(f"{where}: field {place}cases holds {_kind(row)}, not mappings alone.")


def _check_values(value: Any, where: str, name: str = "") -> None:
    """UserError for what no field may hold, however deep: a number that is none, a text with terminal codes."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_values(key, where, f"{name}.{key}".lstrip("."))
            _check_values(inner, where, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            _check_values(inner, where, name)
    elif isinstance(value, float | int) and (abs(value) >= LARGEST or not isfinite(value)):
        raise UserError(f"{where}: field {name} is {_kind(value)}, not a finite number.")
    elif isinstance(value, str) and one_line(value) != value:
        raise UserError(f"{where}: field {name} holds a text with line ends or codes: {one_line(value)[:40]!r}.")


def _check_fields(record: dict, fields: dict, where: str, prefix: str = "") -> None:
    for name, types in fields.items():
        value: Any = record
        for part in name.split(".") if fields is FIELDS else [name]:  # a score's own name may have a dot
            if not isinstance(value, dict) or part not in value:
                raise UserError(f"{where}: field {prefix}{name} is missing.")
            value = value[part]
        if not _fits(value, types):
            wanted = " or ".join(dict.fromkeys(WORDS[t] for t in types))
            raise UserError(f"{where}: field {prefix}{name} is {_kind(value)}, not {wanted}.")


def _fits(value: object, types: tuple) -> bool:
    if value is None or isinstance(value, bool):  # a bool is an int to Python, and a slip to us
        return value is None and None in types
    return isinstance(value, tuple(t for t in types if t is not None))


def _kind(value: object) -> str:
    if isinstance(value, int) and abs(value) >= LARGEST:
        return "a number of more than 18 digits"
    return repr(value) if isinstance(value, str | int | float | bool) or value is None else f"a {type(value).__name__}"


# ---------------------------------------------------------------------------------------------------- files


def save_record(record: dict, path: Path, **more: Any) -> Path:
    """Check the record and write it. ``more`` : further top-level values that are no part of the schema."""
    return write_json(path, plain(more) | check_record(record, str(path)))


def load_record(path: Path) -> dict:
    """Read and check one record. Raises UserError, one line with file and field."""
    path = Path(path)
    try:
        record = read_json(path)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file.") from None
    return check_record(record, str(path))


def find_records(*folders: Path, odd: Callable[[str], object] | None = None) -> list[dict]:
    """Every run record under the folders, in the order of their paths; other JSON files are passed by.

    odd : called with the line about a file that calls itself a record but is none, which is then left out; without it
        UserError is raised: a table must not lose a run in silence
    Folders of runs under way (names with ``.part-``) and of failed ones are left out; a folder that is not there
    holds no record. Each record gains ``"file"``, its path.
    """
    found = []
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.json")):
            if any(".part-" in part or part.endswith(".failed") for part in path.relative_to(folder).parts):
                continue
            try:
                if path.is_file() and f'"{SCHEMA}"'.encode() in _bytes(path):
                    found.append(load_record(path) | {"file": str(path)})
            except UserError as error:
                if odd is None:
                    raise
                odd(str(error))
    return found


def oldest_first(records: Iterable[dict]) -> list[dict]:
    """In the order in which they began: where two tell of the same run, the later one should hold."""
    return sorted(records, key=lambda record: record["provenance"].get("started") or "")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None


# --------------------------------------------------------------------------------------------------- numbers


def score(record: dict, name: str, *, protocol: str = "clean", selection: str = "last") -> float | None:
    """One number of a record: the mean over its cases, else the value pooled over all pixels; None if undefined.

    Raises UnknownName for a protocol, selection or score that the record does not have.
    """
    if selection not in record["selections"]:
        raise unknown_name("selection", selection, record["selections"])
    protocols = record["selections"][selection]["scores"]
    if protocol not in protocols:
        raise unknown_name("protocol of this record", protocol, protocols)
    means, pooled = protocols[protocol]["means"], protocols[protocol]["pooled"]
    for values in (means, pooled):
        if name in values:
            return values[name]
    raise unknown_name(f"score of protocol {protocol!r}", name, [*means, *pooled])


def chosen_by(selection: str, data: dict) -> str:
    """How a selection chose its epoch, in words. data : a record's "data", whose "chosen_on" describes cases held out.

    >>> chosen_by("best", {"chosen_on": {"cases": 20}})
    'best epoch on cases held out of training, chosen before any score was seen'
    """
    return HELD_OUT if selection == "best" and isinstance(data.get("chosen_on"), dict) else SELECTIONS[selection]


def table(records: Iterable[dict]) -> list[dict]:
    """One flat row per record and selection: what was run, and ``PROTOCOL SCORE`` -> value for all of them."""
    return [_row(record, selection) for record in records for selection in record["selections"]]


def _row(record: dict, selection: str) -> dict:
    chosen = record["selections"][selection]
    row = {name: record[name] for name in ("model", "variant", "seed", "budget", "params", "macs")}
    row |= {"data": record["data"]["name"], "fold": record["data"]["fold"]}
    row |= {"selection": selection, "epoch": chosen["epoch"]}
    for protocol, scores in chosen["scores"].items():
        row |= {f"{protocol} {name}": value for name, value in (scores["pooled"] | scores["means"]).items()}
    return row | record["cost"] | {"file": record.get("file", "")}
