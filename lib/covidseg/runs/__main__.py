"""``covidseg batch GRID --plain`` for a machine with torch, numpy and scipy and nothing else: a lent GPU above all.

    PYTHONPATH=lib python -m covidseg.runs results/pending.json -o runs/gpu --workers 5 --minutes 9

Several runs share one GPU, for a small network alone cannot fill it. What is done is skipped and what was cut short
goes on from its checkpoint, so call it again until none is missing.
"""

import argparse
import signal
import sys
from pathlib import Path

from covidseg.errors import UserError
from covidseg.lessons.schema import parse_assignments
from covidseg.runs import command
from covidseg.runs.plan import plan_file
from covidseg.text import say


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 if every run is done, 130 after Ctrl-C, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, help="grid of runs, in JSON")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/gpu"), help="folder of the runs")
    parser.add_argument("-w", "--workers", type=int, default=1, help="runs at a time")
    parser.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="of every run")
    parser.add_argument("--minutes", type=float, help="save and stop after so long")
    options = parser.parse_args(arguments)
    try:
        runs = plan_file(options.grid, parse_assignments(options.parameter), plain=True)
        limits = {"workers": options.workers, "minutes": options.minutes}
        outcomes = command.run(runs, options.output, **limits, title=f"Batch of {options.grid}")
    except UserError as error:
        say(f"covidseg: {error}", error=True)
        return 1
    except KeyboardInterrupt:
        return 130  # what a shell expects
    return 0 if command.all_good(runs, outcomes) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to end, it ends its runs as after Ctrl-C
    sys.exit(main())
