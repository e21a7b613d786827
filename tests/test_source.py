"""Which versions of the code stand behind a table: the engine's, and what is proved to be equal."""

import json
import shutil

import pytest
import torch
from toy_records import toy_record

from covidseg import create_model, papers, zoo
from covidseg.runs import source
from covidseg.runs import trial as trials
from covidseg.runs.source import engine_key, version_of
from covidseg.tables import compare, load_table
from covidseg.tables.text import caption


@pytest.fixture
def equal(tmp_path, monkeypatch):
    """A checkout whose results say that "old" and "new" give the same numbers."""

    def write(*groups):
        (tmp_path / "results").mkdir(exist_ok=True)
        (tmp_path / "results" / "same_numbers.json").write_text(json.dumps({"groups": list(groups)}))
        source._equal_keys.cache_clear()

    monkeypatch.setattr(source, "find_checkout", lambda: tmp_path)
    source._equal_keys.cache_clear()
    yield write
    source._equal_keys.cache_clear()


def record(variant, **where):
    return toy_record(variant, provenance={"code": "0.1.0", **where})


def versions(*records) -> str:
    comparison = compare(load_table("miniseg/table2"), list(records))
    return next((line for line in caption(comparison) if "versions of the code" in line), "")


def test_rows_of_one_engine_are_one_version_whatever_their_own_keys(equal):
    equal()
    rows = [record("SB", source="1", engine="e"), record("MB", source="2", engine="e")]
    assert versions(*rows) == ""
    assert "2 versions" in versions(*rows, record("MiniSeg", source="3", engine="f"))


def test_versions_that_are_proved_equal_count_as_one(equal):
    old, new = record("SB", source="old"), record("MB", source="2", engine="new")
    equal()
    assert "2 versions" in versions(old, new)
    equal({"keys": ["old", "new"], "proof": "golden"})
    assert versions(old, new) == "" and version_of(new) == "old"


def test_the_committed_equalities_name_keys_and_a_proof(repo):
    groups = json.loads((repo / "results" / "same_numbers.json").read_text())["groups"]
    for group in groups:
        assert group["proof"] and all(len(key) == 64 and int(key, 16) >= 0 for key in group["keys"])
    keys = [key for group in groups for key in group["keys"]]
    assert len(keys) == len(set(keys)) >= 2


def test_the_engine_key_does_not_depend_on_where_the_package_lies(tmp_path):
    copy = shutil.copytree(source.PACKAGE, tmp_path / "covidseg", ignore=shutil.ignore_patterns("__pycache__", "*.pt"))
    assert engine_key(copy) == engine_key()
    (copy / "losses.py").write_text("a = 1\n")
    source._text.cache_clear()
    assert engine_key(copy) != engine_key()


def test_a_run_that_borrows_from_another_paper_by_name_is_stale_when_that_changes(tmp_path, monkeypatch):
    copy = shutil.copytree(source.PACKAGE, tmp_path / "covidseg", ignore=shutil.ignore_patterns("__pycache__", "*.pt"))
    given = []
    monkeypatch.setattr(trials, "source_key", lambda *place: given.append(place))
    trials.trial("multiclass_unet", "Multi-class U-Net", "phantom", 1, 0, "lesson").source_key()
    trials.trial("infnet", "Inf-Net", "phantom", 1, 0, "lesson").source_key()
    labelling, soft = given
    assert "papers/miniseg/augment" in labelling[3] and "papers/miniseg/protocol" in soft[3]
    before = [source.source_key(*place, package=copy) for place in given]
    (copy / "papers/miniseg/augment.py").write_text("a = 1\n")
    source._text.cache_clear()
    after = [source.source_key(*place, package=copy) for place in given]
    assert before[0] != after[0] and before[1] == after[1]
    source._text.cache_clear()


# --------------------------------------------------------------------------------------------------------- trunks

ROWS = {(row.network, row.variant): row for paper in papers.papers() for row in paper.rows}
NEW_TRUNK = """from covidseg.backbones._trunk import Trunk
from covidseg.backbones.resnet import ResNet, kaiming

TRUNKS = {
    "brandnew": Trunk(ResNet, None),
}
"""


def test_a_new_trunk_leaves_the_keys_of_all_networks_as_they_are_until_one_takes_it(tmp_path):
    copy = shutil.copytree(source.PACKAGE, tmp_path / "covidseg", ignore=shutil.ignore_patterns("__pycache__", "*.pt"))
    places = [place for place in ROWS if place[0] != "miniseg" or not place[1]]
    before = {place: source.source_key(*place, package=copy) for place in places}
    every = source.source_key(package=copy)
    new, taker = copy / "backbones" / "new.py", copy / "zoo" / "deeplabv3plus.py"
    new.write_text(NEW_TRUNK)
    assert {place: source.source_key(*place, package=copy) for place in places} == before
    assert source.source_key(package=copy) != every

    def key():
        source._text.cache_clear()
        return source.source_key("deeplabv3plus", package=copy)

    taker.write_text(taker.read_text().replace('"xception"', '"brandnew"'))
    taken = key()
    new.write_text(NEW_TRUNK + "a = 1\n")
    assert key() != taken != before["deeplabv3plus", ""]
    source._text.cache_clear()


def test_a_key_covers_the_files_of_all_trunks_and_rivals_that_its_network_is_made_of(monkeypatch):
    monkeypatch.setattr(source, "_hash", lambda files, data: {source.PACKAGE / file for file in files})
    made = set()
    for network, variant in [*((name, "") for name in zoo.names()), *(p for p in ROWS if p[0].startswith("infnet"))]:
        with torch.device("meta"):
            parts = create_model(network, **ROWS[network, variant].options).modules()
        modules = {
            m for m in (type(p).__module__ for p in parts) if m.startswith(("covidseg.backbones", "covidseg.zoo"))
        }
        files = {source.PACKAGE / (m.removeprefix("covidseg.").replace(".", "/") + ".py") for m in modules}
        assert files <= source.source_key(network, variant), f"{network}/{variant}"
        made |= files
    assert len(made) > 10
