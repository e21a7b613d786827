"""The small networks that come with the kit: trained on phantoms, small, and good enough to look into."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from covidseg import papers
from covidseg.data import load_dataset
from covidseg.errors import UnknownName
from covidseg.nn import create_model
from covidseg.paper import Row, Shown
from covidseg.runs import shipped
from covidseg.training.evaluation import evaluate

ALL = papers.shown()
LARGEST_TOGETHER = 15e6  # bytes: a clone should take seconds
each = pytest.mark.parametrize("name", ALL)


@each
def test_a_shipped_network_is_found_by_its_name_and_is_what_is_declared(name):
    paper, one = ALL[name]
    loaded = papers.weights(name)
    assert name in papers.weight_names() and loaded.label == one.label and loaded.about["seed"] == 0
    assert type(loaded.model) is type(create_model(one.row.network, **one.row.options))
    assert one.row.network in paper.networks and (one.learn or one.recipe in {r.name for r in paper.recipes})


def test_together_they_stay_small():
    files = [papers.folder(paper.name) / one.file for paper, one in ALL.values()]
    assert sum(path.stat().st_size for path in files) < LARGEST_TOGETHER and len(set(files)) == len(files)


@each
def test_a_shipped_network_finds_lesions_in_phantoms_it_never_saw(name):
    """Cases of the validation split: training took "train", the number in the file is of "test"."""
    _, one = ALL[name]
    flat = one.dataset == "phantom"
    cases = load_dataset(one.dataset, split="val", n=4 if flat else 1, size=one.held_out[0].get("size", 256))
    assert evaluate(papers.weights(name).model, cases, distances=False)["dice"] > 0.5


def test_training_one_goes_by_its_declaration_and_writes_what_loads(tmp_path, monkeypatch):
    paper, one = ALL["phantom"]
    small = {"name": "tiny", "recipe": "quick", "learns": ({"n": 4, "size": 64},), "held_out": ({"n": 2, "size": 64},)}
    tiny = replace(one, **small, learn=None)
    monkeypatch.setattr(papers, "shown", lambda: {"tiny": (paper, tiny)})
    facts = shipped.make("tiny", tmp_path / "tiny.pt")
    loaded = papers.weights(str(tmp_path / "tiny.pt"))
    assert loaded.label == one.label and loaded.about["phantoms"] == 4
    assert 0 <= facts["dice_on_held_out_phantoms"] <= 1 and loaded.about["recipe"]["name"] == "quick"
    assert all(p.dtype == torch.float32 for p in loaded.model.parameters() if p.is_floating_point())
    with pytest.raises(UnknownName, match="Did you mean 'tiny'"):
        shipped.make("tinny")


def test_a_training_of_its_own_is_called_with_the_seed(tmp_path, monkeypatch):
    paper, one = ALL["phantom"]
    model = papers.weights("phantom").model
    own = Shown(name="own", file="own.pt", label="own", row=Row(network="miniseg"), held_out=({"n": 1, "size": 64},),
                  learn=lambda seed: (model, {"seen": seed}))  # fmt: skip
    monkeypatch.setattr(papers, "shown", lambda: {"own": (paper, own)})
    assert shipped.make("own", tmp_path / "own.pt", seed=7) | {"seen": 7, "seed": 7} == papers.weights(
        str(tmp_path / "own.pt")
    ).about | {"label": "own", "licence": shipped.LICENCE}


def test_packed_weights_load_as_before_and_take_less(tmp_path):
    paper, one = ALL["phantom"]
    plain = (papers.folder(paper.name) / one.file).read_bytes()
    (tmp_path / "a.pt").write_bytes(plain)
    shipped.pack(tmp_path / "a.pt")
    before, after = papers.weights("phantom").model, papers.weights(str(tmp_path / "a.pt")).model
    for name, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[name]) and value.dtype == after.state_dict()[name].dtype
    assert (tmp_path / "a.pt").stat().st_size < 0.9 * len(plain)


def test_phantoms_of_several_sets_follow_each_other():
    one = Shown(name="x", file="x.pt", label="x", row=Row(network="miniseg"))
    sets = ({"n": 1, "size": 32, "view": "lungs"}, {"n": 2, "size": 64})
    cases = shipped.cases(one, sets, "train", 0)
    assert [case.image.shape for case in cases] == [(32, 32), (64, 64), (64, 64)]
    again = load_dataset("phantom", split="train", seed=0, **sets[1])
    assert np.array_equal(cases[2].image, again[1].image)
