"""What ``covidseg notebooks ...`` does, as functions: they print, and return what they did."""

from datetime import datetime
from pathlib import Path

from covidseg.files import make_folder, new_folder, write_text
from covidseg.lesson import choose_budget, in_words
from covidseg.lessons import links, notebook_folder, page, resolve, schema
from covidseg.lessons import refresh as refreshing
from covidseg.lessons import table as tables
from covidseg.lessons.runner import Outcome, run_notebooks
from covidseg.progress import headless, progress
from covidseg.text import say

MOST_RESULTS = 3


def run(names, budget: str, assignments, *, jobs: int, timeout: float, output: Path | None) -> list[Outcome]:
    """Run notebooks and report. Raises UserError before anything starts if a name or value is wrong."""
    parameters = {"budget": choose_budget(budget)} | schema.parse_assignments(assignments)
    sources = resolve(names)
    folder = output or new_folder(notebook_folder().parent / "runs" / f"{datetime.now():%Y%m%d-%H%M%S}")
    tell = (lambda outcome: say(summary(outcome))) if headless() else None
    outcomes = run_notebooks(sources, folder, parameters, jobs=jobs, timeout=timeout, tell=tell)
    report = page.write_report(outcomes, folder, f"Notebooks, {parameters['budget']} budget")
    if output is None:
        report = page.point_latest(folder) / "index.html"
    say(f"\n{text_table(outcomes)}\n\n{verdict(outcomes)} See {_nearby(report)}.")
    return outcomes


def summary(outcome: Outcome) -> str:
    """One line for one notebook."""
    return f"{outcome.name:<28} {outcome.seconds:7.1f} s  {outcome.status}" + (
        f": {outcome.error}" if outcome.error else ""
    )


def text_table(outcomes: list[Outcome]) -> str:
    """Notebook, seconds, status, and the first results, as aligned text."""
    width = max([len(outcome.name) for outcome in outcomes] + [len("notebook")])
    lines = [f"{'notebook':<{width}}  seconds  status   results"]
    for outcome in outcomes:
        facts = [f"{key} {in_words(value)}" for key, value in outcome.results.items() if _short(value)]
        last = outcome.error or "; ".join(facts[:MOST_RESULTS])
        lines.append(f"{outcome.name:<{width}}  {outcome.seconds:7.1f}  {outcome.status:<7}  {last}".rstrip())
    return "\n".join(lines)


def verdict(outcomes: list[Outcome]) -> str:
    """How many passed."""
    failed = [outcome.name for outcome in outcomes if outcome.status != "done"]
    if failed:
        return f"Notebooks that failed: {len(failed)} of {len(outcomes)} ({', '.join(failed)})."
    return f"Notebooks that ran to their end: all {len(outcomes)}."


def refresh(names, *, timeout: float) -> bool:
    """Refresh notebooks in place; True if all ran and keep the rules."""
    good = True
    for source in progress(resolve(names), "refresh"):
        outcome, complaints = refreshing.refresh(source, timeout)
        say("\n  ".join([summary(outcome), *complaints]))
        good = good and outcome.status == "done" and not complaints
    return good


def table(check: bool) -> bool:
    """Write the README's table and the notebooks' links, or only compare; False if one was old and is so still."""
    readme = tables.readme()
    old = readme.read_text(encoding="utf-8")
    new = tables.update(old, tables.table())
    if new == old:
        say("The README's table of notebooks is up to date.")
    elif check:
        say("The README's table of notebooks is out of date; run `covidseg notebooks table`.")
        return False
    else:
        write_text(readme, new)
        say("The README's table of notebooks is written.")
    return _links(check)


def _links(check: bool) -> bool:
    """The same for the links at the end of each notebook."""
    for path in (stale := links.update(check=check)):
        say(f"The links of {path.stem} are {'out of date; run `covidseg notebooks table`' if check else 'written'}.")
    return not (check and stale)


def copy(folder: Path) -> Path:
    """Copy every notebook into ``folder`` that is not there yet; a copy that is there stays as it is.

    Say how many are new, and of which a newer one is in the kit. Returns the first copy.
    """
    make_folder(folder)
    sources = resolve([])
    new = [source for source in sources if not (folder / source.name).exists()]
    for source in new:
        write_text(folder / source.name, source.read_text(encoding="utf-8"))
    older = [s.stem for s in sources if s.stat().st_mtime > (folder / s.name).stat().st_mtime and s not in new]
    say(f"{_nearby(folder)}: {len(new)} notebooks copied, {len(sources) - len(new)} of yours kept.")
    if older:
        say(f"The kit's own is newer of: {', '.join(older)}. To get one, rename your copy and do this again.")
    return folder / sources[0].name


def _short(value) -> bool:
    return not isinstance(value, dict | list)


def _nearby(path: Path) -> Path:
    """The path as seen from here, where that is possible."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
