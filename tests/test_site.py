"""The book of static pages: whole, linked, self-contained, and made from what the code declares."""

import json
import re

import pytest
from nbformat.v4 import new_markdown_cell, new_output
from toy_notebooks import code_notebook, stream

from covidseg.checkout import checkout
from covidseg.cli import main
from covidseg.errors import UserError
from covidseg.fetch.catalog import sources
from covidseg.lessons import all_notebooks, read
from covidseg.lessons.cells import cell_html
from covidseg.lessons.page import WIDGET
from covidseg.nn import card
from covidseg.papers import papers
from covidseg.runs.record import load_record
from covidseg.site import api, build, glossary, links, results
from covidseg.site.book import Page
from covidseg.site.glossary import link_terms, pattern, read_terms

TERMS = read_terms(checkout() / "docs" / "glossary.md")
ONLY = ["00_start_here", "11_metrics", "covidseg.metrics.overlap", "covidseg.nn.registry", "unet", "miniseg"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two notebooks, two networks, two modules; all papers, data sets, tables and pages of the guide."""
    folder = tmp_path_factory.mktemp("site") / "book"
    files = sorted((checkout() / "results" / "records").glob("miniseg-ct100-fold[12]*recipe=short.json"))
    with pytest.MonkeyPatch.context() as patched:  # two records of all: reading each takes a while
        patched.setattr(results, "records_of", lambda root: [load_record(file) for file in files])
        build.build(folder, ONLY)
    return folder


def text(site, address: str) -> str:
    return (site / address).read_text(encoding="utf-8")


def test_every_link_leads_to_a_page_and_nothing_is_fetched(site):
    assert links.broken(site) == [] and links.outside(site) == []
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25 and all("default-src 'none'" in page.read_text(encoding="utf-8") for page in pages)


def test_a_link_that_leads_nowhere_or_outside_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html">x</a> <a href="#no">y</a> <h2 id="yes"></h2><a href="#yes">z</a>'
    )
    (tmp_path / "c.html").write_text('<script src="https://x.org/y.js"></script><img alt="" src="//x.org/z.png">')
    assert links.broken(tmp_path) == ["a.html: b.html", "a.html: #no"]
    assert links.outside(tmp_path) == ["c.html: https://x.org/y.js", "c.html: //x.org/z.png"]


def test_a_notebook_is_shown_with_its_outputs_and_its_neighbours(site):
    page = text(site, "notebooks/11_metrics.html")
    assert page.count('class="figure"') >= 3 and 'rel="prev"' in page and "00_start_here.html" in page
    assert 'href="../guide/glossary.html#Hausdorff-distance"' in page  # its terms lead to the glossary
    assert '"../notebooks/10_ct_data.html"' not in page  # which this small book lacks


def test_the_first_page_has_a_card_for_each_notebook(site):
    assert text(site, "index.html").count("data:image/jpeg") == 2 and "notebooks/00_start_here.html" in text(
        site, "index.html"
    )


def test_the_search_knows_every_page_by_its_words(site):
    found = json.loads(text(site, "search.js").removeprefix("window.covidsegPages = ").rstrip(";\n"))
    addresses = {page["a"] for page in found}
    assert addresses == {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert any("hausdorff" in page["w"].lower() and page["g"] == "Course" for page in found)
    assert not any("<" in page["t"] for page in found)


def test_a_card_of_a_network_has_the_facts_of_the_registry(site):
    page = text(site, "networks/miniseg.html")
    assert f"{card('miniseg').params:,}" in page and "../papers/miniseg.html" in page
    assert "../results/miniseg.html#table2" in page and "not a medical device" in page
    assert "no: a rival" in text(site, "networks/unet.html")
    listed = text(site, "networks/index.html")
    assert "miniseg.html" in listed and "unet.html" in listed


def test_a_card_of_a_paper_has_its_recipes_and_networks(site):
    for paper in papers():
        page = text(site, f"papers/{paper.name}.html")
        assert all(recipe.name in page for recipe in paper.recipes) and f"../results/{paper.name}.html" in page


def test_cards_lead_to_each_other_and_pages_to_them(site):
    assert "../data/ct100.html" in text(site, "networks/miniseg.html")  # where it was run
    assert "../networks/miniseg.html" in text(site, "data/ct100.html")
    assert "../results/miniseg.html#table6-p9" in text(site, "data/p9.html")
    assert "../data/p20.html" in text(site, "guide/data.html")  # a code word is a link where it names a card


@pytest.mark.parametrize("name", [name for name, source in sources().items() if source.kind == "dataset"])
def test_a_card_of_a_data_set_says_licence_annotators_and_overlaps(name, site):
    source, page = sources()[name], text(site, f"data/{name}.html")
    assert source.annotators and source.overlaps  # written for every set
    for said in (source.licence[:30], source.annotators[:30], source.home):
        assert said in re.sub(r"</?a[^>]*>", "", page)


def test_results_come_from_records_and_say_what_departs(site):
    page = text(site, "results/miniseg.html")
    assert (
        "These runs depart" in page
        and "2/5" in page
        and "No run on real data yet" in page
        and "miniseg/table6-ct100" in page
    )


def test_the_reference_has_signatures_docstrings_and_the_file(site):
    page = re.sub(r"<[^>]+>", "", text(site, "api/covidseg.metrics.overlap.html"))
    assert "Overlap of two masks" in page and "def dice(" in page and "A ratio 0 / 0 has no value" in page
    assert "def _" not in page.partition("The file,")[0]


def test_a_module_is_read_and_never_run(tmp_path, monkeypatch):
    monkeypatch.setattr(api, "PACKAGE", tmp_path / "lib" / "pkg")
    (tmp_path / "lib" / "pkg").mkdir(parents=True)
    path = tmp_path / "lib" / "pkg" / "m.py"
    doc = '"""Go ``n``.\n\n        >>> A().go(1)\n        \'1\'\n        """'
    path.write_text(
        f'"""Says <b>."""\n1 / 0\n\nclass A:\n    x: int = 3\n\n    def go(self, n: int) -> str:\n        {doc}\n'
    )
    page = api.module_page("pkg.m", path)
    plain = re.sub(r"<[^>]+>", "", page.body)
    assert "Says &lt;b&gt;." in page.body and "x: int = 3" in plain and 'id="A.go"' in page.body
    assert "<pre class=\"example\">&gt;&gt;&gt; A().go(1)\n'1'</pre>" in page.body and "pkg.m.A" in page.names


def test_an_output_is_shown_without_scripts_and_a_widget_is_named():
    notebook = code_notebook("x")
    cell = notebook.cells[-1]
    bad = "<script>alert(1)</script><style>p{}</style><p onclick='x()'>5 > 3</p>"
    cell.outputs = [
        stream("<tag>\n"),
        new_output("display_data", data={"text/html": bad}),
        new_output("display_data", data={WIDGET: {}, "text/plain": "Explorer(children=...)"}),
        new_output("display_data", data={WIDGET: {}, "image/png": "AAAA", "text/plain": "Explorer(children=...)"}),
        new_output("error", ename="ValueError", evalue="<no>", traceback=[]),
    ]
    shown = cell_html(cell)
    assert "&lt;tag&gt;" in shown and "alert" not in shown and "onclick" not in shown and "children" not in shown
    assert shown.count("it moves in JupyterLab") == 1 and shown.count("base64,AAAA") == 1
    assert "ValueError: &lt;no&gt;" in shown
    assert "<details>" in cell_html(cell, code="folded") and 'class="code"' not in cell_html(cell, code="none")
    assert "alt=" in cell_html(new_markdown_cell("$x^2$"))


def test_links_between_files_become_links_between_pages(tmp_path):
    book = build.Book(
        [Page("guide/a.html", "A", '<h2 id="The-s">', "docs/a.md"), Page("api/m.html", "m", "", names=("m",))]
    )
    page = Page("guide/b.html", "B", "", "docs/b.md")
    body = '<a href="a.md#the-s">A</a> <a href="a.md#t">A</a> <a href="../Makefile">M</a> <code>m</code>'
    body += "<pre><code>m</code></pre>"
    made = links.Links(book, tmp_path).rewrite(page, body)
    assert (
        '<a href="../guide/a.html#The-s">A</a> <a href="../guide/a.html">A</a> <span title="../Makefile">M</span>'
        in made
    )
    assert made.count('<a href="../api/m.html"><code>m</code></a>') == 1


# -------------------------------------------------------------------------------------------------- glossary


def test_the_glossary_is_long_enough_and_each_term_says_where_it_is_at_work():
    assert len(TERMS) >= 45 and len({term.anchor for term in TERMS}) == len(TERMS)
    said = (checkout() / "docs" / "glossary.md").read_text(encoding="utf-8")
    for part in said.split("\n### ")[1:]:
        assert re.search(r"\*See\* \[\d\d_\w+\]\(\.\./notebooks/\d\d_\w+\.ipynb\)", part.split("\n## ")[0]), part[:40]


def test_each_term_is_used_in_the_lesson_that_it_names():
    texts = {path.stem: "\n".join(cell.source for cell in read(path).cells) for path in all_notebooks()}
    said = (checkout() / "docs" / "glossary.md").read_text(encoding="utf-8")
    for term, part in zip(TERMS, said.split("\n### ")[1:], strict=True):
        lesson = re.search(r"notebooks/(\d\d_\w+)\.ipynb", part)[1]
        assert pattern(term).search(texts[lesson]), f"{term.name} does not occur in {lesson}"


def test_a_term_is_linked_once_and_never_in_code_or_a_link():
    terms = [glossary.Term("Mask", ("Mask",)), glossary.Term("Empty mask", ("Empty mask",))]
    body = "<h2>Mask</h2><p><code>mask</code> <a href='x'>mask</a> An empty mask. Two masks, unmasked, masks.</p>"
    made = link_terms(body, terms, "g.html")
    assert made.count('href="g.html#Empty-mask">empty mask</a>') == 1
    assert made.count('href="g.html#Mask">masks</a>') == 1 and "unmasked" in made
    assert "<h2>Mask</h2><p><code>mask</code> <a href='x'>mask</a> An" in made


# --------------------------------------------------------------------------------------------------- command


def test_the_command_writes_and_says_where_and_never_over_something_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "collect_pages", lambda only: build.Book([Page("index.html", "T", "<h1>T</h1>")]))
    monkeypatch.setattr(build, "write_page", lambda path: path.write_text("<p>look</p>"))
    assert main(["site", "-o", str(tmp_path / "book")]) == 0 and "1 pages" in capsys.readouterr().out
    assert 'href="explorer.html">Look inside' in text(tmp_path / "book", "index.html")
    assert main(["site", "-o", str(tmp_path / "book"), "--no-explorer"]) == 0  # its own folder is written anew
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert main(["site", "-o", str(tmp_path / "mine")]) == 1
    assert "holds no site of this kit" in capsys.readouterr().err


def test_a_book_with_a_link_to_nowhere_is_refused(tmp_path, monkeypatch):
    bad = build.Book([Page("index.html", "T", '<a href="gone.html">x</a>')])
    monkeypatch.setattr(build, "collect_pages", lambda only: bad)
    with pytest.raises(UserError, match="gone.html"):
        build.build(tmp_path)
