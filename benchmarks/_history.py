"""What the benchmarks measured, one line per claim and day: `history.json`, from which `picture.py` draws.

A benchmark asks for the flag with `option(parser)` and ends with one `save(...)` for each of its claims:

    save(options, "metrics: miniseg protocol", 21.3, reference="full-frame distance transforms, one mask after another",
         asked=None, numbers={"seconds per 1,000": 7.2}, limits={"seconds per 1,000": 20})

A ratio says how many times as fast as the reference, measured in the same run: more is always better.
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

HISTORY = Path(__file__).with_name("history.json")


def option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--save", action="store_true", help=f"append the ratio to {HISTORY.name}")


def save(options, name, ratio, *, reference, asked=None, numbers=None, limits=None, device="cpu"):
    """Append one claim, if ``--save`` was given.

    name : of the claim, the same on every day; reference : what the ratio's other side is, in words
    ratio, asked : times as fast as the reference, and at least how many were asked for (None: no ratio was)
    numbers : other measured numbers by name, unit in the name; limits : at most how much was asked, by the same names
    """
    if not options.save:
        return
    line = {"name": name, "ratio": round(float(ratio), 3), "asked": asked, "reference": reference}
    line |= {"numbers": {key: round(float(value), 4) for key, value in (numbers or {}).items()}}
    write([*read(), line | {"limits": limits or {}, **facts(device)}])


def facts(device="cpu"):
    """Machine, day and code of a measurement."""
    from covidseg.provenance import provenance

    known = provenance(device)
    machine = {"processor": known["device_name"], "threads": known["threads"], "torch": known["packages"]["torch"]}
    return {"machine": machine, "date": f"{datetime.now(UTC):%Y-%m-%d}", "code": known["code"]}


def read():
    """All lines, oldest first."""
    return json.loads(HISTORY.read_text(encoding="utf-8")) if HISTORY.exists() else []


def latest():
    """The last line of each claim, by name, in the order in which the claims first came."""
    return {line["name"]: line for line in read()}


def write(lines):
    """One claim in one line of the file: a change is easy to read."""
    from covidseg.files import write_text

    write_text(HISTORY, "[\n" + ",\n".join(json.dumps(line) for line in lines) + "\n]\n")
