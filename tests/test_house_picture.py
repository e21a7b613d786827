"""The picture of the house shows every room, every paper, and no arrow that leads upwards."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lib" / "covidseg"

sys.path.insert(0, str(ROOT / "tools"))
import levels  # noqa: E402


def rooms() -> set[str]:
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    return found - {"__init__"} | {levels.PREDICT}


def test_the_command_draws_every_room_and_every_paper(tmp_path):
    file = tmp_path / "house.svg"
    subprocess.run([sys.executable, ROOT / "tools" / "house.py", "-o", file], check=True, timeout=120)
    ids = {element.get("id", "") for element in ElementTree.parse(file).iter()}
    assert {name.removeprefix("room-") for name in ids if name.startswith("room-")} == rooms()
    assert {name.removeprefix("paper-") for name in ids if name.startswith("paper-")} == set(levels.PAPERS)
    assert file.stat().st_size < 100_000


def test_no_arrow_leads_upwards_and_every_line_is_counted_once():
    house = levels.look()
    assert [(a, b) for a, them in house.imports.items() for b in them if house.floor[b] > house.floor[a]] == []
    files = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    assert sum(house.lines.values()) == sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def test_an_arrow_is_left_out_where_a_longer_way_leads_there_too():
    assert sorted(levels.direct({"a": {"b", "c"}, "b": {"c"}, "c": set()})) == [("a", "b"), ("b", "c")]
    both = {"a": {"b", "c"}, "b": {"a"}, "c": set()}  # b leads to c through a alone
    assert sorted(levels.direct(both)) == [("a", "b"), ("a", "c"), ("b", "a")]


def test_a_module_without_a_floor_is_named():
    try:
        levels.home("attic.box")
    except KeyError as error:
        assert "attic.box" in str(error)
    else:
        raise AssertionError("the attic has no floor")
