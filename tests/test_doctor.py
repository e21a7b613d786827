"""The doctor names what is missing and the way out, and only FAIL makes it exit with 1."""

import json

import pytest

from covidseg.cli import main
from covidseg.lessons import doctor
from covidseg.lessons.doctor import FAIL, OK, OPTIONAL, Item


def test_this_machine_is_ready(capsys):
    status = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert [item for item in report["items"] if item["verdict"] == FAIL] == []
    assert status == 0 and report["ready"]
    names = {item["name"] for item in report["items"]}
    assert {"Python", "torch", "nibabel", "nbval", "kernel python3", "weights phantom", "disk space"} <= names


def test_a_package_that_is_absent_or_too_old_fails_with_the_command_that_mends_it():
    from packaging.requirements import Requirement

    absent = doctor._dependency(Requirement("no-such-package>=1"))
    assert (absent.verdict, absent.way_out) == (FAIL, "pip install 'no-such-package>=1'")
    old = doctor._dependency(Requirement("numpy>=99"))
    assert old.verdict == FAIL and ">=99 is needed" in old.detail


def test_a_mirror_that_is_no_folder_fails_and_an_unset_one_does_not(monkeypatch, tmp_path):
    monkeypatch.setenv("COVIDSEG_MIRROR", str(tmp_path / "gone"))
    monkeypatch.delenv("COVIDSEG_REFERENCE", raising=False)
    items = {item.name: item for item in doctor.folders()}
    assert items["COVIDSEG_MIRROR"].verdict == FAIL and "unset" in items["COVIDSEG_MIRROR"].way_out
    assert items["COVIDSEG_REFERENCE"].verdict == OPTIONAL


def test_an_item_that_breaks_is_a_verdict_not_a_traceback(monkeypatch):
    def broken_thing():
        raise OSError("disk on fire")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (broken_thing,))
    (item,) = doctor.examine()
    assert (item.name, item.verdict, item.detail) == ("broken thing", FAIL, "OSError: disk on fire")


@pytest.mark.parametrize(("verdict", "status"), [(OK, 0), (OPTIONAL, 0), (FAIL, 1)])
def test_only_a_failure_sets_the_exit_status(monkeypatch, capsys, verdict, status):
    monkeypatch.setattr(doctor, "CHECKS", (lambda: iter([Item("thing", verdict, "detail", "Do this.")]),))
    assert main(["doctor"]) == status
    assert ("Do this." in capsys.readouterr().out) == (verdict != OK)
