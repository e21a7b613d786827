"""The papers' tables as grids: which runs, against which printed numbers, at what cost."""

import csv
import math
from dataclasses import replace
from statistics import median

import pytest
from toy_records import toy_record

from covidseg.cli import main
from covidseg.errors import UnknownName, UserError
from covidseg.papers import find_row, variant_options
from covidseg.papers.miniseg import MINISEG_LESSON
from covidseg.papers.miniseg.recipes import MINISEG_TABLE6_SHORT
from covidseg.runs import costs
from covidseg.runs.costs import SCORING, START, Cost, estimate, in_time, total
from covidseg.runs.record import load_record
from covidseg.runs.trial import Trial, trial
from covidseg.tables import command, compare, find_all_records, html, list_tables, load_table
from covidseg.tables import text as show

KINDS = ("ggo", "consolidation")
RUN = {"model": "miniseg", "variant": "SB", "dataset": "phantom", "fold": 1, "seed": 0, "budget": "lesson"}


@pytest.mark.parametrize("name", list_tables())
def test_every_row_of_a_table_is_a_network_that_can_be_built_and_a_line_of_the_papers_csv(name):
    table = load_table(name)
    for row in table.rows:
        if row.model:  # else the row shows printed numbers alone
            variant_options(row.model, row.variant)
        printed = [metric.column for metric in table.metrics if metric.column in row.printed]  # else a score of ours
        assert len(printed) > len(table.metrics) / 2
        for column in printed:
            assert not math.isnan(compare(table, []).lines[table.rows.index(row)].cells[column].paper)


@pytest.mark.parametrize(("name", "file"), [(f"miniseg/table{n}", f"miniseg_table{n}.csv") for n in (2, 3, 4)])
def test_every_line_of_the_papers_csv_is_a_row_of_the_table(name, file, repo):
    with (repo / "data" / "papers" / file).open(newline="") as lines:
        printed = list(csv.DictReader(lines))
    rows = [row.printed for row in load_table(name).rows]
    assert all(line in rows for line in printed)


def test_the_average_of_two_protocols_is_the_mean_of_their_cells():
    short = {"changed": {"recipe": "multiclass_short"}, "data": "semiseg"}
    records = find_all_records()
    whole, *parts = (compare(load_table(f"infnet/table3-{name}"), records, **short) for name in ("average", *KINDS))
    compared = 0
    for line, *others in zip(whole.lines, *(part.lines for part in parts), strict=True):
        for metric in ("dice", "mae"):
            cell = line.cells[f"average_{metric}"]
            pair = [one.cells[f"{kind}_{metric}"] for kind, one in zip(KINDS, others, strict=True)]
            assert cell.n == pair[0].n
            if cell.n:
                assert cell.ours == pytest.approx((pair[0].ours + pair[1].ours) / 2)
                compared += 1
    assert compared


def test_table_6_is_a_grid_of_32_networks_as_released_on_four_sets():
    for data in ("ct100", "p9", "p20", "p1110"):
        table = load_table(f"miniseg/table6-{data}-rivals")
        networks = {(run["model"], run["variant"]) for run in table.runs()}
        assert (len(table.rows), len(networks), len(table.runs()), table.data) == (32, 32, 160, data)
        assert [metric.column.partition("_")[0] for metric in table.metrics] == [data] * 5
        rivals = [place for place in networks if place[0] not in ("miniseg", "infnet")]
        assert all(variant_options(*place) == {"config": "released"} for place in rivals)
        assert networks > {(row.model, row.variant) for row in load_table("miniseg/table6-ct100-nine").rows}


@pytest.mark.parametrize(("model", "precision"), [("unet", "bf16"), ("espnetv2", "float32")])
def test_the_short_recipe_of_table_6_is_the_same_for_all_but_for_the_precision_of_light_networks(model, precision):
    run = trial(model, "released", "ct100", 1, 0, "paper", recipe="table6_short")
    assert run.recipe == replace(MINISEG_TABLE6_SHORT, precision=precision)


def test_the_full_network_reads_the_same_in_all_three_tables_of_ablations():
    values = set()
    for name in ("miniseg/table2", "miniseg/table3", "miniseg/table4"):
        comparison = compare(load_table(name), [])
        full = next(line for line in comparison.lines if line.row.variant == "MiniSeg")
        values.add(tuple(full.cells[column].paper for column in ("miou", "sen", "spc", "dsc", "hd")))
    assert values == {(78.33, 79.62, 97.71, 64.84, 71.69)}


def test_a_tables_runs_are_rows_times_folds_times_seeds():
    table = load_table("miniseg/table2")
    assert len(table.runs()) == 5 * 5 * 1  # the paper: five folds, once
    phantom = table.runs("phantom", budget="lesson")
    assert len(phantom) == 5 * 1 * 3 and {run["seed"] for run in phantom} == {0, 1, 2}
    assert table.runs("ct100", folds=(2,), seeds=(7,))[0] == {
        "model": "miniseg", "variant": "SB", "dataset": "ct100", "fold": 2, "seed": 7, "budget": "paper"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: load_table("miniseg/tabel2"), "Did you mean 'miniseg/table2'"),
        (lambda: variant_options("miniseg", "SBB"), "Did you mean 'SB'"),
        (lambda: variant_options("minisg", "SB"), "Did you mean 'miniseg'"),
        (lambda: load_table("miniseg/table2").metric("dcs"), "Did you mean 'dsc'"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(call, hint):
    with pytest.raises(UnknownName, match=hint):
        call()


# --------------------------------------------------------------------------------------------- the comparison


def cell(comparison, variant, column="miou"):
    return next(line for line in comparison.lines if line.row.variant == variant).cells[column]


def test_ours_is_the_mean_over_runs_and_spread_their_standard_deviation():
    records = [toy_record("SB", seed=seed, hit=hit) for seed, hit in ((0, 3), (1, 4))]
    got = cell(compare(load_table("miniseg/table2"), records), "SB")
    assert got.ours == pytest.approx(68.75, abs=1e-4) and got.n == 2  # mIoU 60 and 77.5
    assert got.spread == pytest.approx(17.5 / math.sqrt(2), abs=1e-4)
    assert math.isnan(got.difference), "of a phantom and a patient none is taken"


def test_a_difference_is_taken_on_the_papers_data_alone_and_of_pixels_on_pixels_of_its_size():
    table, real = load_table("miniseg/table2"), {"data": "p1110", "budget": "paper"}
    for side, subtracted in ((256, False), (512, True)):
        recipe = {"name": "released", "epochs": 80, "val_size": side}
        comparison = compare(table, [toy_record("SB", hit=3, recipe=recipe, **real)])
        assert cell(comparison, "SB").difference == pytest.approx(60 - 75.78, abs=1e-4)
        assert math.isnan(cell(comparison, "SB", "hd").difference) != subtracted
        text = show.as_text(comparison)
        said = "No difference of HD px is taken: scored at a side of 256 pixels, in the paper at 512."
        assert (said in text) != subtracted and text.count("diff") == 5 + (not subtracted)
    phantoms = show.as_text(compare(table, [toy_record("SB", hit=3)]))
    assert "diff" not in phantoms.replace("no difference is taken", "")
    private = compare(load_table("covidsegnet/table2-short"), [])
    assert not private.same_data and "paper: private" in show.as_text(private)


def test_the_table_of_a_notebook_keeps_each_number_on_one_line_and_says_the_data():
    comparison = compare(load_table("miniseg/table2"), [toy_record("SB", hit=3)])
    few = html.show_table(comparison, ("miou", "hd"))
    page = few._repr_html_()
    assert "60.00" in page and page.count(">phantom</th>") == 2 and page.count("<tr>") == 2 + 5
    assert page.count("<td") == page.count('<td style="white-space:nowrap') and "<code>covidseg batch" in page
    assert str(few) == show.as_text(few.comparison) and "SEN" not in page
    with pytest.raises(UnknownName, match="Did you mean 'dsc'"):
        html.show_table(comparison, ("dcs",))


def test_one_run_has_no_spread_and_no_run_no_number():
    comparison = compare(load_table("miniseg/table2"), [toy_record("SB")])
    assert math.isnan(cell(comparison, "SB").spread) and math.isnan(cell(comparison, "MB").ours)


def test_the_selection_decides_which_epoch_counts():
    table, records = load_table("miniseg/table2"), [toy_record("SB", hit=4)]
    best, last = (cell(compare(table, records, selection=s), "SB").ours for s in ("best", "last"))
    assert (best, last) == (pytest.approx(77.5, abs=1e-4), pytest.approx(60, abs=1e-4))
    with pytest.raises(UserError, match="selection is 'first'"):
        compare(table, records, selection="first")


def test_runs_that_do_not_compare_stay_out():
    table = load_table("miniseg/table2")
    fits = [toy_record("SB", seed=0, hit=3), toy_record("MB", seed=0, hit=3)]
    shorter = toy_record("SB", seed=1, hit=4, recipe={"name": "lesson", "epochs": 8})
    own = toy_record("SB", seed=2, hit=4, changed={"epochs": 3})
    other = [toy_record("SB", seed=0, hit=4, budget="smoke"), toy_record("K=2", hit=4)]
    comparison = compare(table, [*fits, shorter, own, *other])
    assert cell(comparison, "SB").n == 1 and cell(comparison, "SB").ours == pytest.approx(60, abs=1e-4)
    assert comparison.left_out == 1 and (comparison.data, comparison.budget) == ("phantom", "lesson")


def test_rows_of_one_recipe_compare_though_a_network_keeps_its_precision():
    halved = toy_record("SB", recipe={"name": "lesson", "epochs": 16, "precision": "bf16"})
    whole = toy_record("MB", recipe={"name": "lesson", "epochs": 16})
    comparison = compare(load_table("miniseg/table2"), [halved, whole])
    assert cell(comparison, "SB").n == cell(comparison, "MB").n == 1 and comparison.left_out == 0


def test_runs_with_a_changed_parameter_are_a_table_of_their_own():
    table = load_table("miniseg/table2")
    short = [toy_record("SB", hit=4, changed={"recipe": "short", "epochs": 20}), toy_record("SB", hit=3)]
    comparison = compare(table, short, changed={"recipe": "short", "epochs": 20})
    assert cell(comparison, "SB").ours == pytest.approx(77.5, abs=1e-4) and cell(comparison, "SB").n == 1
    assert all(run["recipe"] == "short" and run["epochs"] == 20 for run in comparison.missing)
    text = show.as_text(comparison)
    assert "depart from that budget: recipe=short epochs=20" in text and "-p recipe=short -p epochs=20` does" in text
    assert {fact["changed"] for fact in comparison.facts()} == {"recipe=short epochs=20"}


def test_a_run_done_twice_counts_once_and_the_later_one_holds_in_whatever_folder_it_lies():
    later, earlier = (
        toy_record("SB", hit=hit, provenance={"code": "0.1.0", "started": f"2026-{month}-01T00:00:00+00:00"})
        for hit, month in ((4, "12"), (3, "01"))
    )
    for records in ([earlier, later], [later, earlier]):
        comparison = compare(load_table("miniseg/table2"), records)
        got = cell(comparison, "SB")
        assert got.n == 1 and got.ours == pytest.approx(77.5, abs=1e-4)
        assert "Left out, since the runs were done again later: 1." in show.as_text(comparison)


def test_of_two_recipes_with_as_many_runs_the_later_one_stands_in_the_table():
    def made(seed, hit, month, epochs):
        when = {"code": "0.1.0", "started": f"2026-{month}-01T00:00:00+00:00"}
        return toy_record("SB", seed=seed, hit=hit, recipe={"name": "lesson", "epochs": epochs}, provenance=when)

    earlier, later = made(0, 3, "01", 16), made(1, 4, "02", 28)
    for records in ([earlier, later], [later, earlier]):
        comparison = compare(load_table("miniseg/table2"), records)
        got = cell(comparison, "SB")
        assert got.n == 1 and got.ours == pytest.approx(77.5, abs=1e-4) and comparison.left_out == 1
    more = [earlier, made(2, 3, "01", 16), later]
    assert cell(compare(load_table("miniseg/table2"), more), "SB").n == 2, "the larger group before the later one"


def test_the_papers_own_data_are_preferred_to_phantoms():
    records = [toy_record("SB"), toy_record("SB", data="p1110", budget="paper")]
    assert compare(load_table("miniseg/table2"), records).data == "p1110"


def test_missing_runs_are_named_once_though_two_rows_may_need_them():
    comparison = compare(load_table("miniseg/table4"), [toy_record("MiniSeg", seed=1)])
    assert len(comparison.missing) == 8 * 3 - 1
    assert {"variant": "MiniSeg", "seed": 1} not in [
        {name: run[name] for name in ("variant", "seed")} for run in comparison.missing
    ]


@pytest.mark.parametrize("form", [show.as_text, show.as_csv, show.as_markdown])
def test_a_phantom_number_never_stands_without_the_word(form):
    text = form(compare(load_table("miniseg/table2"), [toy_record("SB", hit=3)]))
    lines = [line for line in text.splitlines() if "60.00" in line]
    header = text.splitlines()[:6] if form is not show.as_csv else []
    assert lines and all("phantom" in line or any("phantom" in head for head in header) for line in lines)
    if form is not show.as_csv:
        columns = next(line for line in text.splitlines() if line.count("paper") == 5)
        assert columns.count("phantom") == 5  # one per metric


def test_an_empty_table_tells_where_its_rows_have_records_and_the_told_line_shows_them(capsys, tmp_path, monkeypatch):
    short = [toy_record("SB", seed=seed) | {"changed": {"epochs": 20}} for seed in (0, 1)]
    text = show.as_text(compare(load_table("miniseg/table2"), short))
    told = "covidseg report miniseg/table2 --data phantom --budget lesson -p epochs=20"
    assert f"`{told}`: 2" in text and "  0/5" in text
    monkeypatch.setattr(command, "find_all_records", lambda: short)
    assert main(told.split()[1:]) in (0, None)
    assert "  2/3" in capsys.readouterr().out
    full = show.as_text(compare(load_table("miniseg/table2"), [toy_record("SB"), *short]))
    assert "of others there are" not in full, "a table with runs does not point elsewhere"


def test_the_text_names_runs_spread_difference_and_what_is_missing():
    records = [toy_record("SB", seed=seed, hit=hit) for seed, hit in ((0, 3), (1, 4))]
    comparison = compare(load_table("miniseg/table2"), records)
    text = show.as_text(comparison, [Cost(30.0, "measured on 1 run")] * len(comparison.missing))
    row = next(line for line in text.splitlines() if line.startswith("SB"))
    assert row.split()[:6] == ["SB", "2/3", "75.78", "68.75", "±12.37", "71.80"]
    assert "13 runs missing, 6 min one after the other (measured on 1 run):" in text
    assert "  SB: fold 1, seed 2" in text and "  MB: fold 1, seed 0 1 2" in text
    assert "`covidseg batch miniseg/table2 -p dataset=phantom -p budget=lesson` does them." in text


def test_runs_of_different_code_are_said_to_be_so():
    table = load_table("miniseg/table2")
    for sources, said in ((("a", "a"), False), (("a", "b"), True)):
        records = [toy_record("SB", seed=n, provenance={"source": s}) for n, s in enumerate(sources)]
        assert ("2 versions of the code" in show.as_text(compare(table, records))) == said


def test_rows_of_two_networks_with_one_variant_are_told_apart():
    lines = show.as_text(compare(load_table("chsnet/table3-short"), [])).splitlines()
    named = [line.split(", width 8")[0] for line in lines if ", width 8" in line and "/" in line]
    assert named == ["raiunet, BU+RIB+HP+SSD", "chsnet, BU+RIB+HP+SSD"]


def test_a_best_epoch_that_was_chosen_on_cases_held_out_is_not_called_optimistic():
    table = load_table("miniseg/table2")
    seen, unseen = toy_record(), toy_record(seed=1)
    unseen["data"]["chosen_on"] = unseen["data"]["val"] | {"rule": "fold 1 of five"}

    def ours(records, selection):
        return next(line for line in show.caption(compare(table, records, selection=selection)) if "ours" in line)

    assert "optimistic" in ours([seen], "best") and "held out" not in ours([seen], "best")
    assert "held out" in ours([unseen], "best") and "optimistic" not in ours([unseen], "best")
    assert "optimistic" in ours([seen, unseen], "best") and "held out" in ours([seen, unseen], "best")
    assert "held out" not in ours([unseen], "last")
    paper = show.caption(compare(load_table("chsnet/table4"), []))[1]
    assert "held out" in paper and "optimistic" not in paper


def test_csv_and_text_hold_the_same_numbers():
    comparison = compare(load_table("miniseg/table2"), [toy_record("SB", hit=3)])
    facts = {(row["row"], row["metric"]): row for row in csv.DictReader(show.as_csv(comparison).splitlines())}
    fact = facts["SB", "miou"]
    assert (fact["paper"], fact["ours"], fact["difference"]) == ("75.78", "60.00", "")
    assert (fact["our data"], fact["runs"], fact["runs missing"]) == ("phantom", "1", "2")


# -------------------------------------------------------------------------------------------------- costs


AROUND = START + SCORING * 32 * (96 / 512) ** 2  # a lesson scores 32 phantoms


def test_a_measured_run_tells_its_own_cost():
    cost = estimate(RUN, [toy_record("SB", seconds=20), toy_record("SB", seed=1, seconds=30), toy_record("MB")])
    assert cost == Cost(25 + AROUND, "measured on 2 runs")


def test_a_changed_run_is_told_by_one_with_the_same_changes():
    records = [toy_record("SB", seconds=20), toy_record("SB", seconds=90) | {"changed": {"epochs": 4}}]
    assert estimate(RUN | {"epochs": 4}, records) == Cost(90 + AROUND, "measured on 1 run")
    assert estimate(RUN, records) == Cost(20 + AROUND, "measured on 1 run")


def test_a_run_of_another_network_is_scaled_by_macs():
    cost = estimate(RUN, [toy_record("MiniSeg", seconds=100)])
    assert cost.seconds - AROUND == pytest.approx(100 * 0.2164 / 0.4813, rel=1e-3)
    assert cost.basis == "scaled by MACs from 1 measured run of other networks"


def test_without_any_run_macs_and_slices_give_an_estimate_on_a_cpu_only():
    cost = estimate(RUN, [])
    passes = MINISEG_LESSON.epochs * (3 * 64 + 32) * (96 / 512) ** 2
    rate = find_row("miniseg")[0].tasks["infection"].macs_per_second
    assert cost.seconds - AROUND == pytest.approx(0.2164e9 * passes / rate, rel=1e-3)
    assert "estimated from MACs" in cost.basis
    assert estimate(RUN | {"device": "cuda"}, [toy_record("SB")]).seconds is None


@pytest.fixture(scope="module")
def measured(repo):
    """The committed runs of one CPU thread."""
    records = [load_record(path) for path in sorted((repo / "results").glob("*/*.json"))]
    return [record for record in records if record["cost"]["device"] == "cpu"]


@pytest.mark.parametrize("tasks", [{"infection"}, {"soft", "semi"}, {"labelling", "guided"}], ids=min)
def test_an_estimate_is_of_the_size_of_what_committed_runs_took(tasks, measured, monkeypatch):
    """One network may lie far off, the middle one of a task by less than three times."""
    macs = {(record["model"], record["variant"]): record["macs"] for record in measured}
    monkeypatch.setattr(Trial, "macs", lambda self: macs[self.model, self.variant])  # counting takes seconds
    ratios = {}
    for record in measured:
        network, data = (record["model"], record["variant"]), record["data"]
        if find_row(*network)[1].task in tasks:
            run = {"model": network[0], "variant": network[1], "dataset": data["name"], "fold": data["fold"]}
            run |= {"seed": record["seed"], "budget": record["budget"]}
            cost = estimate(run | record["changed"], [])
            ratios.setdefault((*network, data["name"]), []).append(cost.seconds / record["cost"]["seconds"])
    assert len(ratios) >= 2 and 1 / 3 < median(map(median, ratios.values())) < 3


def test_a_run_of_another_length_or_size_is_not_told_by_runs_of_the_usual_one():
    assert "estimated" in estimate(RUN | {"epochs": 4}, [toy_record("SB")]).basis
    small, large = (estimate(RUN | {"size": size}, [toy_record("SB")]) for size in (64, 256))
    assert "estimated" in large.basis and large.seconds - START == pytest.approx(16 * (small.seconds - START))


def test_a_set_of_which_a_part_is_here_is_priced_by_that_part(monkeypatch):
    run = RUN | {"dataset": "p9", "budget": "paper"}
    monkeypatch.setattr(costs, "volumes_here", lambda name: None)
    whole = estimate(run, [])
    monkeypatch.setattr(costs, "volumes_here", lambda name: (3, 9))
    third = estimate(run, [])
    assert third.seconds - START == pytest.approx((whole.seconds - START) / 3) and "3 of 9 volumes" in third.basis


@pytest.mark.parametrize(
    ("bases", "basis"),
    [
        (["measured on 1 run"] * 2, "measured on 1 run"),
        (["measured on 1 run", "estimated from MACs"], "in part estimated"),
        (["measured on 1 run", "scaled by MACs"], "in part scaled"),
        ([], "nothing to do"),
    ],
)
def test_a_sum_of_costs_says_how_sure_it_is(bases, basis):
    assert total([Cost(1.0, b) for b in bases]) == Cost(len(bases), basis)


def test_time_is_told_in_a_fitting_unit():
    assert [in_time(s) for s in (8.2, 95, 7300, None)] == ["8 s", "2 min", "2.0 h", "unknown"]


# ---------------------------------------------------------------------------------------------- the command


def test_report_lists_the_tables(capsys):
    assert main(["report"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list_tables()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["report", "miniseg/table9"], "No table is called 'miniseg/table9'"),
        (["report", "miniseg/table2", "--records", "nowhere"], "There is no folder nowhere."),
        (["report", "miniseg/table2", "--selection", "first"], "selection is 'first'; choose best or last."),
        (["report", "miniseg/table2", "--data", "ct10"], "No data set is called 'ct10'. Did you mean 'ct100'?"),
        (["report", "miniseg/table2", "-p", "epochs=-3"], "epochs=-3: give a whole number above 0."),
        (["report", "miniseg/table2", "-p", "recipe=shrot", "--csv"], "No recipe is called 'shrot'."),
        (["report", "miniseg/table2", "--budget", "smok"], "No budget is called 'smok'. Did you mean 'smoke'?"),
    ],
)
def test_a_bad_report_gives_one_line(line, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(line) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"covidseg: {message}") and err.count("\n") == 1
