"""When is a finished run still valid? Its key hashes what can change the outcome; another key is another run.

In the key: the notebook's code, its parameters (defaults included, so a new default counts), the source of every
module that computes numbers, and for a real set the names and sizes of its files. Phantoms are computed by that
source. Not in the key: prose, plots, the command line, this module; versions of Python and torch and the kind of
processor, which change digits, not conclusions; they stand in each record's provenance. Nor the bytes of real data,
since hashing gigabytes before every batch would cost minutes: each record holds the fingerprint of the data it saw.
"""

import json
from functools import cache
from hashlib import sha256

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


def code_key(notebook) -> str:
    """Hash of the notebook's code cells and of the modules that compute numbers."""
    cells = [
        c.source for c in notebook.cells if c.cell_type == "code" and "parameters" not in c.metadata.get("tags", [])
    ]
    return _hash(json.dumps(cells) + source_key())


@cache
def data_stamp(dataset: str | None) -> str:
    """Names and sizes of a real set's files; "" for phantoms, for no set, and for a set that is not here."""
    if dataset is None or dataset.startswith("phantom"):
        return ""
    from covidseg.data.datasets import find_volumes

    for name in (dataset, "semiseg") if dataset == "ct100" else (dataset,):  # its crops may stand in for ct100
        try:
            _, volumes = find_volumes(name)
        except (UserError, KeyError):
            continue
        return _hash(
            json.dumps([[v.name, *(p.stat().st_size for p in (v.image, v.mask) if p.is_file())] for v in volumes])
        )
    return ""


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
