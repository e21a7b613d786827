"""Which versions of the code give the same numbers: runs done again, held against the committed records.

    covidseg batch GRID -o runs/again --plain        # runs that results/records holds, with today's code
    python tools/same_numbers.py runs/again          # equal to the last digit? then results/same_numbers.json says so

A record's version is the hash of the engine that computed it (`covidseg.runs.source`). Any edit there makes a new one,
and a table of two versions says so. A run done again that gives every score of every case back proves them equal.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from covidseg.checkout import checkout
from covidseg.errors import UserError
from covidseg.files import write_text
from covidseg.runs.record import find_records

STORE = Path("results") / "same_numbers.json"
RUN = ("model", "variant", "seed", "budget", "changed")  # what makes two records the same run,
ALIKE = (
    "data",
    "recipe",
    "options",
    "selections",
)  # and what must then be equal: all scores of all cases are in the last


def place(record: dict) -> str:
    data = {name: record["data"][name] for name in ("name", "fold")}
    return json.dumps({name: record[name] for name in RUN} | data, sort_keys=True)


def version(record: dict) -> str:
    """The engine's hash; of records older than it, that of all numeric code."""
    where = record["provenance"]
    return where.get("engine") or where["source"]


def compared(again: list[dict], committed: list[dict]) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(old version, new version, name of the run) of every run that came out equal; a line for each that did not."""
    known = {place(record): record for record in committed}
    equal, unequal = [], []
    for record in again:
        old, name = known.get(place(record)), Path(record["file"]).parent.name
        if old is None:
            unequal.append(f"{name}: results/ holds no such run")
        elif parts := [part for part in ALIKE if record[part] != old[part]]:
            unequal.append(f"{name}: {', '.join(parts)} differ from {old['file']}")
        else:
            equal.append((version(old), version(record), name))
    return equal, unequal


def joined(groups: list[dict], equal: list[tuple[str, str, str]]) -> list[dict]:
    """The groups of equal versions, those that share a version made one, each with what proves it."""
    for old, new, name in equal:
        if any({old, new} <= set(group["keys"]) for group in groups) or old == new:
            continue
        proof = f"{name} done again: every score of every case is equal"
        touched = [group for group in groups if {old, new} & set(group["keys"])]
        keys = dict.fromkeys(key for group in touched for key in group["keys"])
        proofs = dict.fromkeys([*(group["proof"] for group in touched), proof])
        merged = {"keys": list(keys | dict.fromkeys((old, new))), "proof": "; ".join(proofs)}
        groups = [group for group in groups if group not in touched] + [merged]
    return groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of a batch that did committed runs again")
    folder = parser.parse_args().folder
    root = checkout()
    again = find_records(folder)
    if not again:
        raise UserError(f"{folder} holds no run record.")
    equal, unequal = compared(again, find_records(root / "results"))
    for line in [*(f"{name}: equal" for *_, name in equal), *unequal]:
        print(line)
    groups = json.loads((root / STORE).read_text(encoding="utf-8"))["groups"]
    write_text(root / STORE, json.dumps({"groups": joined(groups, equal)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
