"""A notebook as slides: what is shown, how it is cut, and that the file needs nothing from elsewhere."""

import re

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from toy_notebooks import good_notebook, save, stream

from covidseg.cli import main
from covidseg.lessons.slides import MOST_WORDS, slides, slides_html


def test_parameters_set_up_and_exercises_with_their_solutions_are_left_out():
    shown = " ".join(part for slide in slides(good_notebook()) for part in slide.parts)
    assert "A toy" in shown and "six times seven" in shown  # the task stays, to be talked about
    for gone in ("lesson.start", "answer", "Solution", "ctx.result", "seed"):
        assert gone not in shown
    assert "print" in shown and "<details><summary>Code" in shown  # the code of what is shown, folded


def test_a_slide_ends_at_a_heading_and_before_it_grows_too_long():
    words = "word " * 60
    text = f"# One\n\n{words}\n\n{words}\n\n## Two\n```python\n# no heading\n\nx = 1\n```"
    made = slides(new_notebook(cells=[new_markdown_cell(text)]))
    assert [slide.head for slide in made] == ["", "One", ""]
    assert all(len(re.sub("<[^>]+>", " ", slide.parts[0]).split()) <= MOST_WORDS for slide in made)
    assert "no heading" in made[2].parts[0] and "x" in made[2].parts[0]


def test_a_few_lines_stand_below_their_text_and_a_figure_by_itself():
    figure = new_output("display_data", data={"image/png": "AAAA", "text/plain": "<Figure>"})
    cells = [
        new_markdown_cell("## Head\n\nText."),
        new_code_cell("print(1)", outputs=[stream("1\n")]),
        new_code_cell("plot()", outputs=[figure]),
        new_code_cell("silent = 1"),
        new_markdown_cell("Skipped.", metadata={"slideshow": {"slide_type": "skip"}}),
    ]
    made = slides(new_notebook(cells=cells))
    assert [len(slide.parts) for slide in made] == [2, 1] and made[1].head == "Head"
    assert 'class="figure"' in made[1].parts[0] and "&lt;Figure" not in made[1].parts[0]


def test_the_page_asks_nothing_of_the_network():
    page = slides_html(good_notebook("<b>"), "<b>")
    assert "default-src 'none'" in page and "<title>&lt;b&gt;</title>" in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)


def test_the_command_writes_one_file_for_each_name(tmp_path, capsys):
    source = save(good_notebook(), tmp_path)
    assert main(["slides", str(source), "-o", str(tmp_path / "out")]) == 0
    assert "20_toy.html" in capsys.readouterr().out and (tmp_path / "out" / "20_toy.html").is_file()
    assert main(["slides", "20_minisek", "-o", str(tmp_path / "out")]) == 1
    assert "Did you mean '20_miniseg'" in capsys.readouterr().err
