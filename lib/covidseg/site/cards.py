"""Cards of networks, papers and data sets, made from what the code and the catalogue declare."""

import html
from collections.abc import Iterable

from covidseg import zoo
from covidseg.fetch.catalog import sources
from covidseg.nn import card, list_models
from covidseg.papers import paper_of_network, papers, variants
from covidseg.site.book import Page
from covidseg.tables import list_tables, load_table

__all__ = ["data_pages", "network_pages", "paper_pages"]

USE = (
    "To learn from and to reproduce papers with. It is not a medical device, and no weights of it may guide treatment."
)


def network_pages(records: list[dict], only: list[str] | None = None) -> list[Page]:
    """A card for each network, after a page that lists them."""
    names = [name for name in list_models() if only is None or name in only]
    tables = {name: load_table(name) for name in list_tables()}
    made = [_network(name, tables, records) for name in names]
    rows = [
        (_link(page.address, f"<code>{name}</code>", "networks/"), _text(card(name).paper), f"{card(name).params:,}",
         f"{card(name).dimensions}-D")
        for name, page in zip(names, made, strict=True)
    ]  # fmt: skip
    body = f"<h1>Networks</h1><p>{len(names)} networks. {USE}</p>{_table(('name', 'paper', 'parameters', ''), rows)}"
    return [Page("networks/index.html", "All networks", body, menu=True), *made]


def _network(name: str, tables: dict, records: list[dict]) -> Page:
    facts, own = card(name), paper_of_network(name)
    module = f"covidseg.zoo.{name}" if name in zoo.names() or own is None else f"covidseg.papers.{own.name}"
    rows = {
        "Paper": _text(facts.paper) + (f", {_arxiv(facts.arxiv)}" if facts.arxiv else ""),
        "Of the four papers": _link(f"papers/{own.name}.html", _text(own.cite)) if own else "no: a rival",
        "Parameters": f"{facts.params:,}, counted on the default build by a test",
        "Input": f"{facts.dimensions}-D, sides divisible by {facts.multiple_of}",
        "Code": _link(f"api/{module}.html", f"<code>{module}</code>"),
        "Rows of tables": _tables_with(name, tables),
        "Runs on real data": _runs(name, records),
        "Use": USE,
    }
    options = [f"<code>{_text(variant)}</code>" for variant in variants(name) if variant]
    body = f"<h1>{_text(name)}</h1>{_facts(rows)}{_list('Notes', map(_text, facts.notes))}"
    body += _list("Variants that can be run", options)
    body += f'<h2>Build it</h2><pre>import covidseg\n\nmodel = covidseg.create_model("{_text(name)}")</pre>'
    return Page(f"networks/{name}.html", name, body, summary=facts.paper, names=(name,))


def _tables_with(name: str, tables: dict) -> str:
    inside = [key for key, table in tables.items() if any(row.model == name for row in table.rows)]
    return ", ".join(map(_table_link, inside)) or "none"


def _runs(name: str, records: list[dict]) -> str:
    ran = [record["data"]["name"] for record in records if record["model"] == name]
    return f"{len(ran)}, on {', '.join(map(_set, sorted(set(ran))))}" if ran else "none yet"


def paper_pages() -> list[Page]:
    """A page for each of the papers: networks, recipes, tasks, tables, as its declaration has them."""
    return [_paper(paper) for paper in papers()]


def _paper(paper) -> Page:
    own = [_link(f"networks/{name}.html", f"<code>{name}</code>") for name in paper.networks]
    tables = [name for name in list_tables() if name.startswith(f"{paper.name}/")]
    rows = {
        "Networks": ", ".join(own),
        "Code": _link(f"api/covidseg.papers.{paper.name}.html", f"<code>covidseg.papers.{paper.name}</code>"),
        "Tables": _link(f"results/{paper.name}.html", ", ".join(name.partition("/")[2] for name in tables)),
        "Rows that can be run": str(len(paper.rows)),
        "Weights": ", ".join(map(_text, paper.weights.names)) if paper.weights else "none were published",
    }
    tasks = [(f"<code>{_text(name)}</code>", _first_line(task)) for name, task in paper.tasks.items()]
    recipes = [_recipe(recipe) for recipe in paper.recipes]
    title = load_table(tables[0]).paper if tables else paper.cite
    said = f"<p>{_arxiv(paper.arxiv)}</p>" if paper.arxiv else ""
    body = f"<h1>{_text(title)}</h1>{said}{_facts(rows)}"
    body += f"<h2>What a run learns</h2>{_table(('task', 'what it is'), tasks)}"
    heads = ("recipe", "epochs", "batch", "first rate", "optimizer", "schedule", "loss")
    body += f"<h2>How its networks are trained</h2>{_table(heads, recipes)}"
    return Page(f"papers/{paper.name}.html", title, body, f"lib/covidseg/papers/{paper.name}/paper.py", menu=True)


def _recipe(recipe) -> tuple[str, ...]:
    parts = [type(getattr(recipe, name)).__name__ for name in ("schedule", "objective")]
    numbers = (recipe.epochs, recipe.batch, f"{recipe.lr:g}", recipe.optimizer)
    return tuple(map(_text, (recipe.name, *numbers, *parts)))


def data_pages(records: list[dict]) -> list[Page]:
    """A card for each source of real data, after a page that lists them and says what a phantom is."""
    made = [_source(source, records) for source in sources().values() if source.kind == "dataset"]
    rows = [(_link(page.address, _text(page.title), "data/"), _text(page.summary)) for page in made]
    phantom = (
        "<p>No data of patients are in this kit. What its lessons show are <b>phantoms</b>: CT slices computed from a "
        "seed, see <code>covidseg.phantom</code>. The sets below are fetched by whoever may use them.</p>"
    )
    body = f"<h1>Data sets</h1>{phantom}{_table(('set', 'what it is'), rows)}"
    return [Page("data/index.html", "All data sets", body, "data/catalog.yaml", menu=True), *made]


def _source(source, records: list[dict]) -> Page:
    known = [file for file in source.files if file.sha256 or file.sha256_prefix]
    ran = sorted({record["model"] for record in records if record["data"]["name"] == source.name})
    tables = [name for name in list_tables() if load_table(name).data == source.name]
    rows = {
        "What it is": _text(source.title),
        "Licence": _text(source.licence),
        "Cite": _text(source.citation),
        "Home": f'<a href="{html.escape(source.home)}">{_text(source.home)}</a>',
        "Annotators": _text(source.annotators) or "not stated by the source",
        "Known overlaps": _text(source.overlaps) or "none known",
        "Files": _text(source.layout),
        "Checksums": f"known for {len(known)} of {len(source.files)} files; else the first download is recorded",
        "Printed tables on it": ", ".join(map(_table_link, tables)) or "none",
        "Networks run on it here": ", ".join(_link(f"networks/{name}.html", _text(name)) for name in ran) or "none yet",
        "Fetch": f"<code>covidseg data fetch {source.name}</code>",
    }
    body = f"<h1>{_text(source.name)}</h1>{_facts(rows)}"
    return Page(
        f"data/{source.name}.html",
        source.name,
        body,
        "data/catalog.yaml",
        source.title,
        menu=True,
        names=(source.name,),
    )


# ------------------------------------------------------------------------------------------------------ pieces of HTML


def _facts(rows: dict[str, str]) -> str:
    return f'<dl class="facts">{"".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows.items())}</dl>'


def _list(head: str, items: Iterable[str]) -> str:
    lines = "".join(f"<li>{item}</li>" for item in items)
    return f"<h2>{head}</h2><ul>{lines}</ul>" if lines else ""


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _link(address: str, words: str, here: str = "") -> str:
    """A link from a page one folder down; here : the folder of the page itself."""
    return (
        f'<a href="{address.removeprefix(here) if here and address.startswith(here) else f"../{address}"}">{words}</a>'
    )


def _table_link(name: str) -> str:
    """To PAPER/TABLE among the results."""
    return _link(f"results/{name.replace('/', '.html#')}", _text(name))


def _arxiv(number: str) -> str:
    return f'<a href="https://arxiv.org/abs/{html.escape(number)}">arXiv {_text(number)}</a>'


def _set(name: str) -> str:
    return _link(f"data/{name}.html", _text(name)) if name in sources() else f"<code>{_text(name)}</code>"


def _text(value: object) -> str:
    return html.escape(str(value), quote=False)


def _first_line(thing) -> str:
    return _text((thing.__doc__ or "").strip().partition("\n")[0])
