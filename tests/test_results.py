"""A run is one JSON: whole or not there, refused by field where it does not fit, and the only source of a table."""

import json
import os
import re
import shutil

import pytest
from toy_records import toy_record

from covidseg.errors import UnknownName, UserError
from covidseg.runs import record as results
from covidseg.tables import committed
from covidseg.text import to_json


def test_a_record_survives_the_file(tmp_path):
    record = toy_record()
    path = results.save_record(record, tmp_path / "a" / "result.json", results={"dice": 0.5})
    assert results.load_record(path) == record | {"results": {"dice": 0.5}}


def test_a_record_keeps_every_case_under_both_protocols_and_both_selections():
    record = toy_record()
    for selection in results.SELECTIONS:
        for protocol in ("clean", "miniseg"):
            cases = record["selections"][selection]["scores"][protocol]["cases"]
            assert [case["case"] for case in cases] == ["a", "b"]


def test_a_score_is_found_by_protocol_and_selection():
    record = toy_record(hit=4)
    assert results.score(record, "DSC", protocol="miniseg", selection="best") == pytest.approx(8 / 9)  # 4 of 4, 1 false
    assert results.score(record, "dice") == pytest.approx(6 / 8)  # last: 3 of 4, 1 false
    assert results.score(record, "mIoU", protocol="miniseg") == pytest.approx((3 / 5 + 3 / 5) / 2, abs=1e-6)
    with pytest.raises(UnknownName, match="Did you mean 'dice'"):
        results.score(record, "dise")


def test_an_undefined_score_is_null_in_the_file_and_none_in_python(tmp_path):
    path = results.save_record(toy_record(hit=1), tmp_path / "result.json")  # last: nothing hit, so a false alarm only
    assert "NaN" not in path.read_text()
    clean = results.load_record(path)["selections"]["last"]["scores"]["clean"]
    assert clean["means"]["dice"] == 0 and results.plain(float("nan")) is None


def test_each_case_is_one_line_of_the_file_and_the_rest_is_as_json_indents_it(tmp_path):
    record = toy_record() | {"text": "two\nlines", "empty": [{}, []], "none": {}, "deep": [[1, {"a": [2]}]]}
    text = results.write_json(tmp_path / "r.json", record).read_text()
    assert json.loads(text) == record
    rows = [line.strip().rstrip(",") for line in text.splitlines() if '"case"' in line]
    assert len(rows) == 8 and {json.loads(row)["case"] for row in rows} == {"a", "b"}  # 2 cases, 2 rules, 2 protocols
    plainly = re.sub(r"\{\n\s*\"case\".*?\}", "ROW", json.dumps(record, indent=1), flags=re.S)
    assert re.sub(r'\{"case".*?\}', "ROW", text) == plainly + "\n"


def test_every_committed_record_has_the_form_in_which_it_would_be_written(repo):
    records = [path for path in (repo / "results").rglob("*.json") if results.SCHEMA in path.read_text()]
    assert len(records) >= 64
    for path in records:
        assert path.read_text() == to_json(json.loads(path.read_text())) + "\n", path.name


def test_a_number_that_json_does_not_know_is_refused_in_a_row_too(tmp_path):
    for value in ({"a": float("nan")}, {"rows": [{"a": float("inf")}]}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            results.write_json(tmp_path / "r.json", value)
    assert os.listdir(tmp_path) == []


def lose(record, name):
    *parents, last = name.split(".")
    for part in parents:
        record = record[part]
    del record[last]


def put(record, name, value):
    *parents, last = name.split(".")
    for part in parents:
        record = record[part]
    record[last] = value


@pytest.mark.parametrize("name", [*results.FIELDS, "selections.best.scores.clean.means", "selections.last"])
def test_a_missing_field_is_named_with_the_file(name, tmp_path):
    record = json.loads(json.dumps(toy_record()))
    lose(record, name)
    (tmp_path / "r.json").write_text(json.dumps(record))
    with pytest.raises(UserError) as caught:
        results.load_record(tmp_path / "r.json")
    assert name in str(caught.value) and "r.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("seed", "0", "field seed is '0', not a whole number"),
        ("seed", True, "field seed is True, not a whole number"),
        ("data.fold", "one", "field data.fold is 'one', not a whole number or null"),
        ("cost.seconds", None, "field cost.seconds is None, not a whole number or a number"),
        ("schema", "covidseg-run-0", "field schema is 'covidseg-run-0', not 'covidseg-run-1'"),
        ("selections.first", {}, "No selection is called 'first'"),
        (
            "selections.last.scores.clean.means.DSC",
            "0.7",
            "field selections.last.scores.clean.means.DSC is '0.7', not a whole number",
        ),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(name, value, complaint):
    record = json.loads(json.dumps(toy_record()))
    put(record, name, value)
    with pytest.raises(UserError, match=complaint):
        results.check_record(record, "r.json")


def test_half_a_file_is_refused_and_named(tmp_path):
    path = results.save_record(toy_record(), tmp_path / "result.json")
    path.write_text(path.read_text()[:500])
    with pytest.raises(UserError, match="result.json: is damaged, or no JSON"):
        results.find_records(tmp_path)


def test_json_that_is_no_record_is_passed_by_and_a_damaged_record_is_one_line(tmp_path):
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "lost.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "foreign.json").write_bytes(b'{"name": "caf\xe9"}')
    assert results.find_records(tmp_path) == []
    (tmp_path / "cut.json").write_bytes(b'{"schema": "covidseg-run-1", "model": "caf\xc3')
    with pytest.raises(UserError, match="cut.json: is damaged, or no JSON"):
        results.find_records(tmp_path)


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = results.save_record(toy_record(seed=1), tmp_path / "result.json")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(UserError, match="result.json: could not be written .No space left"):
        results.save_record(toy_record(seed=2), path)
    assert results.load_record(path)["seed"] == 1 and os.listdir(tmp_path) == ["result.json"]


def test_records_are_found_in_order_and_unfinished_runs_are_not(tmp_path):
    for folder in ("b", "a", "c.part-1f", "d.failed"):
        results.save_record(toy_record(variant=folder[0]), tmp_path / folder / "result.json")
    (tmp_path / "a" / "other.json").write_text("{}")
    found = results.find_records(tmp_path, tmp_path / "not there")
    assert [record["variant"] for record in found] == ["a", "b"]
    assert found[0]["file"].endswith("result.json")


def test_the_table_has_one_row_per_record_and_selection():
    rows = results.table([toy_record(), toy_record("SB")])
    assert [(row["variant"], row["selection"]) for row in rows] == [
        ("MiniSeg", "best"), ("MiniSeg", "last"), ("SB", "best"), ("SB", "last")
    ]  # fmt: skip
    assert {"clean dice", "miniseg mIoU", "seconds", "epoch", "data"} <= rows[0].keys()


# ------------------------------------------------------------------------------------- the committed tables


def test_every_committed_number_has_a_record_behind_it(repo):
    assert committed.rewrite(repo, check=True) == [], "run `covidseg report --write`"


def test_committed_records_are_whole_and_phantoms_are_kept_apart(repo):
    for record in results.find_records(repo / "results"):
        folder = record["file"].removeprefix(str(repo)).split(os.sep)[2]
        assert (folder == "phantom") == (record["data"]["name"] == "phantom"), record["file"]


@pytest.fixture
def checkout(tmp_path):
    """A small repository: two records, a CSV and a README block made from them."""
    for seed in (0, 1):
        record = toy_record("SB", seed=seed, hit=3 + seed, data="ct100", budget="paper")
        results.save_record(record, tmp_path / "results" / "records" / f"{seed}.json")
    (tmp_path / "results" / "miniseg_table2.csv").write_text("")
    (tmp_path / "README.md").write_text(
        "# x\n<!-- results: miniseg/table2 data=ct100 -->\n<!-- /results -->\nend\n", encoding="utf-8"
    )
    assert committed.rewrite(tmp_path) == ["results/miniseg_table2.csv", "README.md"]
    assert committed.rewrite(tmp_path, check=True) == []
    return tmp_path


def test_a_number_changed_by_hand_is_found(checkout):
    for name in ("README.md", "results/miniseg_table2.csv"):
        path = checkout / name
        text = path.read_text(encoding="utf-8")
        assert "75.78" in text and "68.75" in text  # the paper's mIoU; ours: (3/5 + 3/5) / 2 and (4/5 + 3/4) / 2
        path.write_text(text.replace("68.75", "78.75"), encoding="utf-8")
        assert committed.rewrite(checkout, check=True) == [name]
        path.write_text(text, encoding="utf-8")


def test_a_number_whose_record_is_gone_is_found(checkout):
    (checkout / "results" / "records" / "1.json").unlink()
    assert committed.rewrite(checkout, check=True) == ["results/miniseg_table2.csv", "README.md"]
    shutil.rmtree(checkout / "results" / "records")
    with pytest.raises(UserError, match="miniseg_table2.csv: no record"):
        committed.rewrite(checkout, check=True)


def test_adopting_a_batch_copies_its_records_and_replaces_older_ones(tmp_path):
    for n, record in enumerate([toy_record("5x5 -> 3x3 DB"), toy_record("SB", data="ct100", budget="paper")]):
        results.save_record(record, tmp_path / "batch" / str(n) / "result.json", results={"dice": 1})
    expected = [
        "results/phantom/miniseg-5x5____3x3_DB-phantom-fold1-seed0-lesson.json",
        "results/records/miniseg-SB-ct100-fold1-seed0-paper.json",
    ]
    for _ in range(2):
        assert committed.adopt(tmp_path / "batch", tmp_path) == expected
    assert [r["variant"] for r in results.find_records(tmp_path / "results")] == ["5x5 -> 3x3 DB", "SB"]
    again = toy_record("SB", data="ct100", budget="paper", seconds=99.0, provenance={"started": "2026-12-01"})
    results.save_record(again, tmp_path / "batch" / "0, earlier in the alphabet" / "result.json")
    committed.adopt(tmp_path / "batch", tmp_path)
    assert results.load_record(tmp_path / expected[1])["cost"]["seconds"] == 99.0, "the later run holds"
    with pytest.raises(UserError, match="holds no run record"):
        committed.adopt(tmp_path / "nothing", tmp_path)
    results.save_record(toy_record(changed={"epochs": 2}), tmp_path / "own" / "result.json")
    assert committed.adopt(tmp_path / "own", tmp_path)[0].endswith("-lesson-epochs=2.json")  # its own file


def test_a_table_without_a_source_is_refused(checkout):
    (checkout / "results" / "best_model.csv").write_text("dice\n0.99\n")
    with pytest.raises(UserError, match="best_model.csv: no table best/model is known"):
        committed.rewrite(checkout, check=True)


def test_a_block_can_show_some_columns():
    block = "<!-- results: miniseg/table2 data=phantom metrics=dsc,miou -->\n<!-- /results -->"
    head = committed.update_blocks(block, [toy_record("SB")], "README.md").split("\n\n")[1].splitlines()[0]
    assert head.index("DSC") < head.index("mIoU") and "SEN" not in head and head.count("phantom") == 2


def test_a_block_with_a_misspelt_source_is_refused(checkout):
    with pytest.raises(UnknownName, match="Did you mean 'miou'"):
        committed.update_blocks("<!-- results: miniseg/table2 metrics=mio -->\n<!-- /results -->", [], "README.md")
    with pytest.raises(UnknownName, match="Did you mean 'miniseg/table2'"):
        committed.update_blocks("<!-- results: minise/table2 -->\n<!-- /results -->", [], "README.md")
    with pytest.raises(UserError, match="README.md: a results block knows data"):
        committed.update_blocks("<!-- results: miniseg/table2 dat=x -->\n<!-- /results -->", [], "README.md")
