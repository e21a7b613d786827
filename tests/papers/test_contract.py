"""Every paper and every network that is declared keeps to the contract."""

import json
from copy import deepcopy

import contract
import numpy as np
import pytest
import torch
from contract import NETWORKS, PAPERS
from torch import nn

from covidseg import load_dataset, papers, zoo
from covidseg.attention import capture
from covidseg.data.datasets import data_set
from covidseg.data.transforms import Preprocessing
from covidseg.errors import UserError
from covidseg.metrics import Scores, list_protocols, segmentation_scores
from covidseg.metrics.protocols import find_protocol
from covidseg.nn import card, create_model, registry
from covidseg.nn.layers import input_channels
from covidseg.nn.weights import load_weights
from covidseg.paper import MapKind
from covidseg.runs.trial import trial
from covidseg.tables import list_tables, load_table


def each(names: str, declared):
    """One test for each thing that is declared; its id comes first."""
    return pytest.mark.parametrize(names, [pytest.param(*values, id=name) for name, *values in declared])


each_paper = pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
each_network = pytest.mark.parametrize("network", NETWORKS)

# -------------------------------------------------------------------------------- rows, networks, recipes, tables


@each("paper, row", contract.declared_rows())
def test_a_row_builds_has_a_task_of_its_paper_and_is_found_by_all_its_names(paper, row):
    contract.row_is_sound(paper, row)


@each_network
def test_the_default_build_of_a_network_counts_as_its_card_says(network):
    assert contract.parameters(network) == card(network).params and card(network).paper


@each_network
def test_a_network_is_a_papers_own_or_a_rival_in_a_file_of_its_name(network):
    contract.network_is_claimed_once(network)


def test_no_network_is_registered_that_nobody_declares():
    for network in NETWORKS:
        card(network)  # enters it
    entered = {name for name, build in registry._BUILDERS.items() if build.__module__.startswith("covidseg.")}
    assert entered == {*zoo.names(), *(network for paper in PAPERS for network in paper.networks)}


def test_names_of_papers_rows_recipes_protocols_and_parts_are_given_once():
    assert [paper.name for paper in PAPERS] == list(papers.NAMES)
    places = [(row.network, row.variant) for paper in PAPERS for row in paper.rows]
    places += [alias for paper in PAPERS for row in paper.rows for alias in row.aliases]
    for names in (places, [one.name for paper in PAPERS for one in paper.recipes], list_protocols(), papers.NAMES):
        assert len(names) == len(set(names))


@each_paper
def test_a_papers_own_networks_can_be_run(paper):
    assert {row.network for row in paper.rows} >= set(paper.networks) and paper.cite


@each("paper, recipe", contract.declared_recipes())
def test_a_recipe_round_trips_names_parts_that_exist_and_always_has_a_rate(paper, recipe):
    contract.recipe_is_sound(recipe)


@each("paper, task", contract.declared_tasks())
def test_a_task_has_three_budgets_whose_recipes_it_takes(paper, task):
    contract.budgets_are_sound(paper, task)


@pytest.mark.parametrize("name", list_tables())
def test_every_row_of_a_table_can_be_run_in_every_budget_or_is_printed_only(name):
    table, places = load_table(name), []
    for row in table.rows:
        assert row.printed
        for data, folds in ((table.data, table.folds), ("phantom", table.phantom_folds)):
            places += [(row.model, row.variant, data, fold) for fold in folds if row.model]
    for place in dict.fromkeys(places):
        task = papers.find_row(*place[:2])[0].tasks[papers.find_row(*place[:2])[1].task]
        data = place[2] if place[2] == table.data else contract.phantoms_for(task)
        for budget in contract.BUDGETS:
            run = trial(*place[:2], data, place[3], 0, budget)
            assert run.changed == {} and run.task.takes(run.recipe)


# ------------------------------------------------------------------------------------- tasks, from first to last


@pytest.fixture(scope="module", params=contract.declared_tasks(), ids=lambda declared: declared[0])
def done(request, smoke_run):
    """The smallest network of a task, run in the smoke budget on phantoms."""
    _, paper, task = request.param
    row = contract.smallest_row(paper, task)
    return smoke_run(row.network, row.variant, contract.phantoms_for(paper.tasks[task]))


def test_a_task_learns_and_scores_by_each_protocol_it_declares(done):
    contract.run_is_sound(done)


def test_a_task_draws_masks_of_the_cases_shape(done):
    contract.mask_is_sound(done)


def test_a_tasks_scores_are_the_columns_of_its_papers_tables(done):
    contract.tables_find_their_scores(done, done.run.paper)


# ----------------------------------------------------------------------------------------------------- protocols

LESION = np.pad(np.ones((3, 4), np.uint8), 4)
NOTHING, EVERYWHERE, ELSEWHERE = (
    np.zeros_like(LESION),
    np.ones_like(LESION),
    np.flip(LESION) * 0 + np.eye(11, 12, dtype=np.uint8),
)
SITUATIONS = {
    "a perfect prediction": (LESION, LESION),
    "another place": (ELSEWHERE, LESION),
    "an empty prediction": (NOTHING, LESION),
    "an empty truth": (LESION, NOTHING),
    "both empty": (NOTHING, NOTHING),
    "infection everywhere": (EVERYWHERE, EVERYWHERE),
    "one lesion pixel": (np.eye(1, 132, dtype=np.uint8).reshape(11, 12), LESION),
}


def as_seen_by(protocol: str, mask: np.ndarray) -> np.ndarray:
    """A slice, or three of it as a volume where the protocol scores those."""
    return np.stack([mask] * 3, 2) if find_protocol(protocol).per == "volume" else mask


@pytest.mark.parametrize("case", SITUATIONS)
@pytest.mark.parametrize("protocol", list_protocols())
def test_a_protocol_scores_or_says_in_one_line_why_not(protocol, case):
    pred, truth = (as_seen_by(protocol, mask) for mask in SITUATIONS[case])
    try:
        scores = segmentation_scores(pred, truth, protocol)
    except UserError as refusal:
        assert case in ("an empty truth", "both empty") and "\n" not in str(refusal)
        return
    assert isinstance(scores, Scores) and json.dumps(scores.to_dict()) and str(scores) and scores.rules
    for name in scores.means:
        assert scores.n[name] + scores.undefined[name] == scores.counts["cases"] == 1


@each_paper
def test_the_options_with_which_a_task_scores_are_its_protocols(paper):
    for task in paper.tasks.values():
        for name, options in task.protocols.items():
            if name in list_protocols():
                lesion, nothing = (as_seen_by(name, mask) for mask in (LESION, NOTHING))
                assert isinstance(segmentation_scores([lesion, lesion], [lesion, nothing], name, **options), Scores)


# ------------------------------------------------------------------------------------------------ every network


@pytest.fixture(scope="module", params=NETWORKS)
def built(request):
    """(name, network): its default build with the first weights of a seed, in eval mode; each is built once."""
    torch.manual_seed(0)
    return request.param, contract.awake(create_model(request.param)).eval()


@pytest.fixture(scope="module", params=NETWORKS)
def shape(request):
    """The same without memory: it knows sizes only."""
    with torch.device("meta"):
        return request.param, create_model(request.param).eval()


def test_any_size_is_answered_in_its_own_or_refused_with_the_size_to_pad_to(shape):
    for size in contract.SIZES[card(shape[0]).dimensions]:
        contract.size_is_answered_or_refused(*shape, size)


def test_a_side_that_the_card_promises_is_taken(shape):
    name, model = shape
    side = card(name).multiple_of * -(-64 // card(name).multiple_of)
    size = (side,) * card(name).dimensions
    assert model(contract.input_of(name, model, 1, size)).shape[2:] == size


@each_network
def test_classes_and_input_channels_are_options(network):
    contract.classes_and_channels_are_options(network)


@torch.no_grad()
def test_a_constant_input_has_a_finite_answer_the_same_each_time_and_after_loading(built):
    name, model = built
    x = contract.input_of(name, model)
    assert torch.isfinite(model(x)).all()
    x = x + 1
    answer = model(x)
    assert torch.isfinite(answer).all() and torch.equal(model(x), answer)
    torch.manual_seed(1)
    other = contract.awake(create_model(name)).eval()
    assert any(not torch.equal(p, q) for p, q in zip(other.parameters(), model.parameters(), strict=True))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), answer)


def test_gradients_reach_every_parameter_that_takes_part(built):
    name, model = built
    before = deepcopy(model.state_dict())
    try:
        contract.gradients_reach_what_takes_part(name, model)
    finally:
        model.load_state_dict(before)
        model.eval().zero_grad()


def test_the_maps_that_a_network_names_are_captured_for_the_whole_batch(built):
    if not hasattr(built[1], "named_maps"):
        pytest.skip(f"{built[0]} names no maps")
    contract.maps_are_captured(*built)


@pytest.fixture(scope="module")
def described(built):
    """(network's name, map's name -> what the explorer says of it)."""
    explorer = pytest.importorskip("covidseg.show.widgets").AttentionExplorer
    from ipywidgets import Widget

    name, model = built
    if not hasattr(model, "named_maps"):
        pytest.skip(f"{name} names no maps")
    flat = card(name).dimensions == 2
    case = load_dataset("phantom", n=1, size=64)[0] if flat else load_dataset("phantom3d", n=1, size=(32, 32, 16))[0]
    if flat and input_channels(model) > 3:  # it reads more than a slice: said in one line, and built for a slice alone
        with pytest.raises(UserError, match="in_channels=3"):
            explorer(model, case, Preprocessing(size=64), "*")
        model = contract.awake(create_model(name, in_channels=3)).eval()
    maps = explorer(model, case, Preprocessing(size=64), "*").maps
    Widget.close_all()  # ipywidgets keeps every widget, and with it network and maps: 7 GB over all networks
    return name, maps


def test_every_map_is_described(described, built):
    _, maps = described
    assert list(maps) == list(built[1].named_maps())
    for info in maps.values():
        assert info.label and info.patch and len(info.channels) == info.shape[0]


def test_a_papers_captions_stand_at_its_own_maps_and_at_no_rivals(described):
    name, maps = described
    paper = papers.paper_of_network(name)
    for map_name, info in maps.items():
        kinds = [kind for kind in (paper.maps if paper else ()) if kind.fits(map_name)]
        kind = kinds[0] if kinds else MapKind(map_name, "channel")
        assert (info.note, info.unit) == (kind.note, kind.unit)


# -------------------------------------------------------------------------------------- captions and drawings


class Foreign(nn.Module):
    """A network of nobody's, whose maps are called as those of papers are."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def named_maps(self):
        return {name: (layer, None) for name, layer in zip(("A_1", "S_2", "f_3", "A/E_1_1"), self.layers, strict=True)}


def test_a_network_that_is_no_papers_gets_no_papers_captions_and_no_sigmoid():
    explorer = pytest.importorskip("covidseg.show.widgets").AttentionExplorer
    torch.manual_seed(0)
    model, case, plain = Foreign(), load_dataset("phantom", n=1, size=64)[0], Preprocessing(size=64)
    looked = explorer(model, case, plain, "*")
    raw = capture(model, plain.apply(case.image, case.intensity)[None])
    for name, info in looked.maps.items():
        assert (info.note, info.unit) == ("", False), name
        assert np.array_equal(looked.look(0).maps[name], raw[name][0]), name


@each_paper
def test_every_caption_of_a_paper_has_a_map(paper):
    contract.captions_have_maps(paper)


@each_paper
def test_a_papers_diagram_draws_its_networks(paper):
    pytest.importorskip("matplotlib")
    if not paper.diagram:
        pytest.skip(f"{paper.name} has no diagram")
    assert contract.main_network(paper) in contract.drawn(paper)


# ----------------------------------------------------------------------------------------- who may name whom


@each_paper
def test_a_paper_imports_no_other_paper(paper):
    contract.imports_no_other_paper(paper)


TO_COME = ("semi_inf_net", "chs_net", "raiu_net", "covid_seg_net")  # papers whose folders do not exist yet
OWN = sorted({name for paper in PAPERS for name in (paper.name, *paper.networks)} | set(TO_COME))
BUILDS = {"", "released"}  # a rival as the zoo's own word calls it is no row of a paper's ablations
VARIANTS = sorted({row.variant for paper in PAPERS for row in paper.rows} - BUILDS)


@pytest.mark.parametrize("name", OWN)
def test_the_engine_names_no_paper_and_no_network_of_one(name):
    assert not contract.lines_with(contract.in_any_spelling(name))


@pytest.mark.parametrize("name", zoo.names())
def test_the_engine_names_no_rival(name):
    assert not contract.lines_with(contract.quoted(name))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_engine_names_no_variant(name):
    assert not contract.lines_with(contract.quoted(name))


@pytest.mark.parametrize(
    ("text", "found"),
    [("InfNetLoss", True), ("Inf-Net's", True), ("INFNET_X", True), ("show_infnet", True), ("an inf network", False)],
)
def test_a_name_is_found_in_any_spelling(text, found):
    assert bool(contract.in_any_spelling("infnet").search(text)) == found


def test_the_tasks_find_phantoms_that_have_what_they_need():
    assert all(data_set(contract.phantoms_for(t)).synthetic for paper in PAPERS for t in paper.tasks.values())


# ------------------------------------------------------------------------------------------- what can be looked at


@pytest.mark.parametrize("path", [path for path, _ in papers.shown_networks()], ids=lambda path: path.name)
def test_a_network_to_look_at_is_small_learned_from_phantoms_and_names_its_maps(path):
    assert path.stat().st_size < 2_000_000
    loaded = load_weights(path)
    assert "phantom" in loaded.label and "MIT" in loaded.licence and loaded.model.named_maps()
