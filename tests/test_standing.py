"""Which rows of the papers' tables have no run: each has a price or a reason, and no empty row passes for filled."""

from toy_records import toy_record
from typer.testing import CliRunner

from covidseg.cli import app
from covidseg.tables import load_table
from covidseg.tables.standing import as_lines, grid_reasons, standing

TABLE = "infnet/table2"


def record(variant, *, model="infnet", data="semiseg", **more):
    return toy_record(variant, model=model, data=data, budget="paper", fold=0, **more)


def of(records, reasons=None, name=TABLE):
    return standing(records, reasons or {}, [name])[0]


def test_every_row_of_every_paper_has_a_run_a_price_or_a_reason():
    assert {one.table.name: one.unanswered for one in standing([], grid_reasons()) if one.unanswered} == {}


def test_a_run_fills_its_own_row_alone():
    rows = [(row.model, row.variant) for row in load_table(TABLE).rows]
    found = of([record("Inf-Net"), record("U-Net", model="unet", changed={"recipe": "infnet_short"})])
    assert (found.full, found.short) == (("infnet, Inf-Net",), ("unet, U-Net",))
    assert len(found.empty) == len(rows) - 2 == len(found.unanswered)


def test_a_phantom_a_lesson_and_another_set_fill_nothing():
    others = (record("Inf-Net", data="phantom"), record("Inf-Net", data="p9"), record("Inf-Net") | {"budget": "lesson"})
    for other in others:
        assert not of([other]).full and not of([other]).short


def test_a_set_that_a_table_names_beside_its_own_counts_as_short():
    there = record("", model="chsnet", data="chsnet_patients")
    assert of([there], name="chsnet/table3").short == ("chsnet",)


def test_each_reason_is_told_once_and_a_row_without_one_is_called_so():
    reasons = {("unet", "U-Net", "semiseg"): "an hour", ("dense_unet", "Dense-UNet", "semiseg"): "an hour"}
    lines = as_lines([of([record("Inf-Net")], reasons)])
    assert lines[0] == f"{TABLE}: 7 rows, 1 as long as the paper's, 6 without a run"
    assert lines[1:3] == ["  unet, U-Net; dense_unet, Dense-UNet", "    an hour"]
    assert lines[-1] == "7 rows in 1 tables; 4 without a run and without a reason."
    assert any("NOBODY" in line for line in lines)


def test_the_command_takes_one_table_or_all_and_refuses_a_wrong_name(tmp_path):
    told = CliRunner().invoke(app, ["report", TABLE, "--missing", "--records", str(tmp_path)])
    assert told.exit_code == 0 and "0 without a run and without a reason" in told.output
    assert CliRunner().invoke(app, ["report", "infnet/table22", "--missing"]).exit_code
