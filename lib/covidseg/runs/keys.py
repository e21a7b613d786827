"""When is a finished run still valid? Its key hashes what can change the outcome; another key is another run.

In the key: the notebook's code, its parameters (defaults included, so a new default counts), the source that computes
the run's numbers (see `source`), and for a real set the names and sizes of its files. Phantoms are computed by that
source. Not in the key: prose, plots, the command line, this module; versions of Python and torch and the kind of
processor, which change digits, not conclusions; they stand in each record's provenance. Nor the bytes of real data,
since hashing gigabytes before every batch would cost minutes: each record holds the fingerprint of the data it saw.
"""

import json
from contextlib import suppress
from functools import cache
from hashlib import sha256
from typing import Any

from covidseg.data import data_set
from covidseg.data.datasets import find_volumes
from covidseg.errors import UserError
from covidseg.runs.source import source_key


def run_key(notebook: str, parameters: dict, code: str) -> str:
    """64 hex digits for one run. ``code`` : from `code_key`."""
    described = {
        "notebook": notebook,
        "parameters": parameters,
        "code": code,
        "data": data_stamp(parameters.get("dataset")),
    }
    return _hash(json.dumps(described, sort_keys=True))


def code_key(notebook: Any, source: str | None = None) -> str:
    """Hash of the notebook's code cells (none for a plain run) and of the modules that compute its numbers.

    source : of a run of one network, so that others do not count (`Trial.source_key`); by default of all modules
    """
    there = notebook.cells if notebook else ()
    cells = [c.source for c in there if c.cell_type == "code" and "parameters" not in c.metadata.get("tags", [])]
    return _hash(json.dumps(cells) + (source or source_key()))


@cache
def data_stamp(dataset: str | None) -> str:
    """Names and sizes of a real set's files; "" for phantoms, for no set, and for a set that is not here."""
    if dataset is None or data_set(dataset).synthetic:
        return ""
    stamps = []
    for name in (dataset, *data_set(dataset).made_of):
        with suppress(UserError, KeyError):  # not here, or no set of volumes
            _, volumes = find_volumes(name)
            stamps += [[v.name, *(p.stat().st_size for p in (v.image, v.mask) if p.is_file())] for v in volumes]
    return _hash(json.dumps(stamps)) if stamps else ""


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
