"""Runs of more than one training: Semi-Inf-Net, and the networks of Inf-Net's Table III that it guides."""

import re

import numpy as np
import pytest

from covidseg.cli import main
from covidseg.data import load_dataset
from covidseg.errors import UnknownName, UserError
from covidseg.papers import find_row
from covidseg.papers.infnet.labelling import SETTINGS
from covidseg.papers.infnet.tasks import PSEUDO
from covidseg.runs.costs import SCORING, START, estimate
from covidseg.runs.record import score
from covidseg.runs.trial import recipe_for, trial
from covidseg.tables import compare, load_table

GUIDED = ("multiclass_unet", "Semi-Inf-Net & MC, width 16")


@pytest.fixture(scope="module")
def guided(smoke_run):
    """A guided labelling on phantoms from first to last step: (run, folder, cases, record, network)."""
    done = smoke_run(*GUIDED)
    return done.run, done.folder, done.scored, done.record, done.network


def test_a_guided_labelling_trains_its_guide_in_the_same_run(guided):
    _, folder, _, record, _ = guided
    steps = ["guide/teacher", "guide/step_1", "guide/step_2", "."]
    assert all((folder / step / "last.pt").is_file() for step in steps)
    assert len(list((folder / "guide" / "labels").glob("round_*.json"))) == 2, "8 phantoms in groups of 4"
    assert record["data"]["guide"]["pseudo"] == {"labels": 8, "epochs": 1, "of": "Algorithm 1"}


def test_the_record_counts_the_time_of_every_step(guided):
    run, folder, *_ = guided
    by_hand = 0
    for step in ("teacher", "step_1", "step_2"):
        lines = (folder / "guide" / step / "curves.csv").read_text().splitlines()
        by_hand += sum(float(line.split(",")[-1]) for line in lines[1:])
    assert run.task.seconds == pytest.approx(by_hand, abs=0.01) and by_hand > 0


def test_the_scored_slices_have_the_guides_maps_as_priors_not_the_truth(guided):
    run, _, scored, _, network = guided
    assert set(run.task.priors) == set(scored.ids)
    assert not any(np.array_equal(run.task.priors[case.id], case.infection) for case in scored)
    other = load_dataset("phantom", n=1, size=32)[0]
    assert run.task.mask(network, other).shape == other.mask.shape, "a case that was not scored gets a map, too"


def test_both_kinds_are_scored_over_the_slices_that_have_them_and_over_all(guided):
    _, _, scored, record, _ = guided
    scores = record["selections"]["last"]["scores"]
    assert list(scores) == ["GGO", "consolidation", "GGO, all slices", "consolidation, all slices", "clean"]
    for kind, number in (("GGO", 1), ("consolidation", 2)):
        having = sum(bool((case.mask == number).any()) for case in scored)
        assert scores[kind]["n"]["Dice"] == having and scores[f"{kind}, all slices"]["n"]["Dice"] == len(scored)
        assert (score(record, "Dice", protocol=kind) is None) == (having == 0)


def test_a_record_of_table_iii_stands_in_both_of_its_tables(guided):
    record = guided[3] | {"changed": {}}
    for kind in ("GGO", "consolidation"):
        comparison = compare(load_table(f"infnet/table3-{kind.lower()}"), [record], data="phantom", budget="smoke")
        (line,) = [line for line in comparison.lines if line.records]
        assert line.row.variant == GUIDED[1]
        ours, expected = line.cells[f"{kind.lower()}_dice"].ours, score(record, "Dice", protocol=kind)
        assert ours == expected if expected is not None else ours != ours


def paper_and_task(model, variant):
    paper, row = find_row(model, variant)
    return paper.name, row.task


def test_which_rows_have_more_than_one_training():
    places = (("infnet", "Semi-Inf-Net"), ("infnet", "Inf-Net"), GUIDED, ("multiclass_unet", "Multi-class U-Net"))
    assert [find_row(*place)[1].task for place in places] == ["semi", "soft", "guided", "labelling"]
    assert [paper_and_task("fcn8s", v) for v in ("FCN8s", "")] == [("infnet", "labelling"), ("miniseg", "infection")]
    semi, plain = (
        {"model": "infnet", "variant": v, "dataset": "semiseg", "fold": 0, "seed": 0, "budget": "paper",
         "recipe": "infnet_short"} for v in ("Semi-Inf-Net", "Inf-Net")
    )  # fmt: skip
    how, own = PSEUDO["infnet_short"], 20 * (3 * 50 + 48)  # passes: 50 slices forward and back, 48 are scored
    around = START + SCORING * 48
    more = (estimate(semi, []).seconds - around) / (estimate(plain, []).seconds - around)
    assert more == pytest.approx(1 + 3 * how.labels * how.epochs / own)


def test_only_what_departs_from_the_budget_counts_as_changed():
    place = ("miniseg", "", "phantom", 1, 0, "lesson")
    assert trial(*place, recipe="lesson", epochs=28, size=96) == trial(*place)
    assert trial(*place, recipe="lesson", epochs=2, size=128).changed == {"epochs": 2, "size": 128}


@pytest.mark.parametrize(
    ("model", "variant", "recipe", "lr"),
    [
        ("fcn8s", "FCN8s", "multiclass_short", 3e-4),  # no BatchNorm: Adam at 5e-3 would throw the weights away
        ("fcn8s", "FCN8s", "multiclass_released", 1e-2),  # the authors' own rate, of SGD, stays
        ("multiclass_unet", "Multi-class U-Net", "multiclass_short", 5e-3),
        ("fcn8s", "", "released", 1e-3),  # MiniSeg's rival of this name has BatchNorm
    ],
)
def test_the_rate_is_lowered_only_where_a_network_needs_it(model, variant, recipe, lr):
    paper, row = find_row(model, variant)
    assert recipe_for(recipe, paper.tasks[row.task], row).lr == lr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("infnet", "Semi-Inf-Net", "ct100", 1, 0, "paper"),
            "nobody labelled, and ct100 has none: .*semiseg",
        ),
        (("fcn8s", "FCN8s", "p9", 1, 0, "paper"), "ground glass told from consolidation, and p9 has none: .*semiseg"),
    ],
)
def test_a_set_that_cannot_teach_it_is_told_at_once(words, line):
    with pytest.raises(UserError, match=line):
        trial(*words)


@pytest.mark.parametrize(
    ("model", "variant", "told"),
    [
        ("infnet", "Semi-Inf-Net", 'Semi-Inf-Net takes more .* -p model=infnet -p "variant=Semi-Inf-Net" -p dataset='),
        ("chsnet", "", "chsnet takes more .* -p model=chsnet -p dataset="),
    ],
)
def test_the_train_command_refuses_what_it_would_train_as_something_else(tmp_path, capsys, model, variant, told):
    words = ["train", model, "--variant", variant, "--recipe", "infnet_quick", "--fold", "2"]
    assert main([*words, "-o", str(tmp_path / "run")]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and re.search(f"covidseg: {told}phantom -p fold=2`", line)
    assert not (tmp_path / "run").exists()


def test_names_with_commas_are_told_apart():
    with pytest.raises(UnknownName, match="Known: BU; BU\\+RIB; .*; BU, width 8; concat mask"):
        find_row("chsnet", "SBB")


@pytest.mark.parametrize(
    ("model", "variant", "recipe", "error", "line"),
    [
        (*GUIDED, "infnet_short", UserError, "has no kinds of infection.*multiclass_short"),
        ("miniseg", "", "multiclass_short", UserError, "masks of infection alone.*choose released"),
        ("infnet", "Inf-Net", "multiclass_short", UserError, "no soft masks"),
        (*GUIDED, "multiclass_shrt", UnknownName, "Did you mean 'multiclass_short'"),
    ],
)
def test_a_recipe_of_another_family_is_refused(model, variant, recipe, error, line):
    with pytest.raises(error, match=line):
        trial(model, variant, "semiseg", 0, 0, "paper", recipe=recipe)


def test_a_labelling_run_follows_its_familys_settings():
    run = trial(*GUIDED, "semiseg", 0, 0, "paper", recipe="multiclass_short")
    assert run.recipe == SETTINGS["multiclass_short"].recipe and run.changed == {"recipe": "multiclass_short"}
    guiding = run.task._guiding()
    assert (guiding.model, guiding.variant) == ("infnet", "Semi-Inf-Net")
    assert guiding.recipe.name == "infnet_short" and guiding.seed == run.seed
