"""Two versions of the code are called equal only where a run done again gives every score back."""

import copy
import sys
from pathlib import Path

from toy_records import toy_record

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from same_numbers import compared, joined


def run(engine, *, hit=2, seed=0, file="results/records/a.json"):
    return toy_record(hit=hit, seed=seed, provenance={"engine": engine}) | {"file": file}


def test_a_run_that_gives_every_score_back_proves_its_two_versions_equal():
    equal, unequal = compared([run("new", file="again/mine/result.json")], [run("old"), run("other", seed=1)])
    assert (equal, unequal) == ([("old", "new", "mine")], [])


def test_one_score_of_one_case_that_differs_proves_nothing():
    again = copy.deepcopy(run("new", file="again/mine/result.json"))
    again["selections"]["last"]["scores"]["clean"]["cases"][0]["dice"] += 1e-9
    equal, unequal = compared([again], [run("old")])
    assert not equal and "selections differ" in unequal[0] and "records/a.json" in unequal[0]


def test_a_run_that_is_not_committed_proves_nothing():
    equal, unequal = compared([run("new", seed=7, file="again/mine/result.json")], [run("old")])
    assert not equal and "no such run" in unequal[0]


def test_versions_that_share_one_become_one_group_with_all_its_proofs():
    groups = joined([{"keys": ["a", "b"], "proof": "first"}, {"keys": ["x", "y"], "proof": "other"}], [("b", "c", "r")])
    assert {"keys": ["x", "y"], "proof": "other"} in groups and len(groups) == 2
    assert groups[-1]["keys"] == ["a", "b", "c"] and groups[-1]["proof"].startswith("first; r done again")
    assert joined(groups, [("c", "c", "r"), ("a", "c", "again")]) == groups  # nothing new is proved
    assert len(joined(groups, [("a", "x", "s")])) == 1
