"""A comparison in a notebook: a table of few columns that breaks within no number, and its text where HTML is not."""

from dataclasses import dataclass, field, replace
from html import escape

from covidseg.runs.costs import Cost
from covidseg.tables.compare import Comparison
from covidseg.tables.text import as_text, below, caption, cells, columns

STYLE = "white-space:nowrap;text-align:"


@dataclass(frozen=True)
class Shown:
    """What a notebook displays: HTML in a browser, `as_text` elsewhere."""

    comparison: Comparison
    costs: list[Cost] = field(default_factory=list)

    def __repr__(self) -> str:
        return as_text(self.comparison, self.costs)

    def _repr_html_(self) -> str:
        return as_html(self.comparison, self.costs)


def show_table(comparison: Comparison, metrics: tuple[str, ...] = (), costs: list[Cost] | None = None) -> Shown:
    """A comparison to be displayed, of some of its metrics only where ``metrics`` names their columns.

    costs : of ``comparison.missing``, in that order. Raises UnknownName for a column that the table lacks.
    """
    if metrics:
        table = replace(comparison.table, metrics=tuple(map(comparison.table.metric, metrics)))
        comparison = replace(comparison, table=table)
    return Shown(comparison, costs or [])


def as_html(comparison: Comparison, costs: list[Cost] | None = None) -> str:
    """Caption, table, and what is missing, folded in. A metric's columns stand under its label."""
    each, metrics = columns(comparison), comparison.table.metrics
    labels = "".join(f'<th colspan="{len(each)}" style="{STYLE}center">{escape(m.label)}</th>' for m in metrics)
    heads = "".join(f'<th style="{STYLE}right">{escape(text)}</th>' for text in each * len(metrics))
    head = f'<tr><th></th><th></th>{labels}</tr><tr><th style="{STYLE}left">row</th><th>runs</th>{heads}</tr>'
    rows = "".join(f"<tr>{_row(cells(comparison, line))}</tr>" for line in comparison.lines)
    title, *rest = map(escape, caption(comparison))
    missing = "<br>".join(_coded(line) for line in below(comparison, costs) if line)
    return (
        f"<p><b>{title}</b><br>{'<br>'.join(rest)}</p>"
        f'<table class="dataframe"><thead>{head}</thead><tbody>{rows}</tbody></table>'
        f"<details><summary>Which runs are missing, and how to make them</summary>{missing}</details>"
    )


def _row(texts: list[str]) -> str:
    name, *numbers = map(escape, texts)
    return f'<th style="{STYLE}left">{name}</th>' + "".join(f'<td style="{STYLE}right">{n}</td>' for n in numbers)


def _coded(line: str) -> str:
    """A line of text, what stands in backticks as code."""
    parts = [escape(part) for part in line.split("`")]
    return "".join(f"<code>{part}</code>" if k % 2 else part for k, part in enumerate(parts))
