"""Phantom volumes are phantoms too: sized by the budget, warned of in tables, filed apart from patients."""

from toy_records import toy_record

from covidseg.runs.record import save_record
from covidseg.runs.trial import trial
from covidseg.tables import compare, load_table
from covidseg.tables.committed import adopt
from covidseg.tables.text import WARNING, caption


def test_a_run_on_phantom_volumes_takes_as_many_and_as_large_ones_as_its_budget_says():
    train, scored = trial("miniseg", "", "phantom3d", 1, 0, "smoke").data()
    assert (len(train), len(scored)) == (8, 4) and train[0].image.shape == (64, 64, 24)


def test_a_table_of_phantom_volumes_warns_and_its_records_lie_with_the_phantoms(tmp_path):
    record = toy_record("SB", data="phantom3d")
    assert WARNING in caption(compare(load_table("miniseg/table2"), [record], data="phantom3d"))
    save_record(record, tmp_path / "runs" / "result.json")
    (path,) = adopt(tmp_path / "runs", tmp_path)
    assert path.startswith("results/phantom/")
