"""The explorer's page without a browser: what is packed comes back, the page stands alone. In one: tests/browser."""

import base64
import gzip
import json
import re

import numpy as np
import pytest

from covidseg.cli import main
from covidseg.errors import UserError
from covidseg.explore import build, looks
from covidseg.explore.looks import PageSlice, look_at, phantom_slices
from covidseg.explore.networks import shown_networks
from covidseg.explore.pack import pack, pack_look
from covidseg.inference import predict
from covidseg.nn.layers import dimensions

PAGE = build.HERE / "page"


@pytest.fixture(scope="module")
def networks():
    return [network for network in shown_networks() if dimensions(network.model) == 2]


@pytest.fixture(scope="module")
def one():
    rng = np.random.default_rng(0)
    return PageSlice("noise", rng.integers(-1000, 300, (40, 56)).astype(np.int16), "HU", np.zeros((40, 56), np.uint8))


@pytest.fixture(scope="module")
def html(networks, one):
    return build.page_html([one], networks)


def unpacked(text):
    return gzip.decompress(base64.b64decode(text))


def stored(html, name):
    return re.search(rf'id="{name}">([^<]*)</script>', html)[1]


def test_a_packed_look_has_every_value_to_half_a_step_and_the_mask_to_the_pixel():
    rng = np.random.default_rng(0)
    odds = np.concatenate([[0.0, 1e-9, -1e-9, 700, -700], rng.normal(size=95)]).astype(np.float32).reshape(10, 10)
    maps = [rng.normal(size=(2, 3, 4)).astype(np.float32), np.full((1, 2, 2), 7, np.float32)]
    data = unpacked(pack_look(odds, maps))
    ends, rest = np.frombuffer(data[:24], "<f4").reshape(3, 2), np.frombuffer(data[24:], np.uint8)
    assert np.array_equal(rest[:100].reshape(10, 10) >= 128, odds > 0)
    values = rest[100:124].reshape(2, 12) / 255 * np.ptp(ends[:2], axis=1)[:, None] + ends[:2, :1]
    assert np.abs(values - maps[0].reshape(2, 12)).max() <= np.ptp(maps[0]) / 255 / 2 + 1e-6
    assert ends[2].tolist() == [7, 7] and len(rest) == 128
    assert pack(odds) == pack(odds.copy())


def test_a_look_has_the_mask_of_predict_and_a_volume_network_marks_its_slice(networks):
    one = phantom_slices(2)[1]
    assert one.truth.sum() >= looks.LEAST
    for network in shown_networks():
        found = look_at(network, one).odds > 0
        if dimensions(network.model) == 2:
            assert np.array_equal(found, predict(network.model, one.image, network.preprocessing) > 0)
        assert 2 * (found & (one.truth > 0)).sum() / (found.sum() + one.truth.sum()) > 0.5
        if dimensions(network.model) == 3:
            with pytest.raises(UserError, match="needs a volume"):
                look_at(network, PageSlice("alone", one.image))


def test_the_page_forbids_every_request_and_names_no_address(html):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src 'none'") and "http" not in policy
    addresses = set(re.findall(r"https?://[^\s\"'`<>)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}, addresses  # a name, not a place


def test_what_the_page_holds_is_what_the_network_made(html, networks, one):
    catalogue = json.loads(stored(html, "catalogue"))
    assert len(catalogue["networks"]) == len(networks) and catalogue["slices"][0]["label"] == "noise"
    assert unpacked(stored(html, "image-0")) == one.image.astype("<i2").tobytes()
    for n, network in enumerate(catalogue["networks"]):
        values = sum(int(np.prod(info["shape"])) for info in network["maps"])
        channels = sum(info["shape"][0] for info in network["maps"])
        assert len(unpacked(stored(html, f"look-0-{n}"))) == 8 * channels + one.image.size + values
        assert values <= looks.MOST_VALUES


def test_the_live_part_stays_below_a_megabyte(html):
    numbers, live = stored(html, "numbers-0"), re.search(r'id="live-program">(.*?)</script>', html, re.S)[1]
    network = json.dumps(json.loads(stored(html, "catalogue"))["networks"][0]["live"])
    assert 300_000 < len(numbers) + len(live) + len(network) < 1_000_000


def test_the_command_keeps_a_page_that_is_there(tmp_path, capsys):
    page = tmp_path / "page.html"
    page.write_text("mine")
    assert main(["explore", "--html", str(page)]) == 1 and page.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert main(["explore", "--html", str(tmp_path / "b.html"), "--weights", "nosuch"]) == 1
    assert "nosuch" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ for everybody


def luminance(colour):
    """Of '#rrggbb', as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return sum(
        w * (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4)
        for w, v in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
    )


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_text_and_rims_stand_out_in_the_light_and_in_the_dark():
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    themes = [
        dict(re.findall(r"--(\S+): (#\w+);", block)) for block in re.findall(r"\{([^{}]*--paper:[^{}]*)\}", style)
    ]
    assert len(themes) == 3 and themes[1] == themes[2]
    for theme in themes:
        for text in ("ink", "quiet", "accent", "warn"):
            assert min(contrast(theme[text], theme[ground]) for ground in ("paper", "card")) >= 4.5, text
        assert contrast(theme["on-accent"], theme["accent"]) >= 4.5 and contrast(theme["ink"], theme["soft"]) >= 4.5
        assert contrast(theme["rim"], theme["card"]) >= 3


def test_files_of_the_page_are_short_and_each_is_used():
    files = sorted(build.HERE.glob("*/*.js"))
    assert {f"{path.parent.name}/{path.stem}" for path in files} == {
        *(f"live/{name}" for name in build.LIVE),
        *(f"page/{name}" for name in build.PAGE),
    }
    lines = {path.name: path.read_text(encoding="utf-8").splitlines() for path in files}
    assert {name: len(text) for name, text in lines.items() if len(text) > 300} == {}
    assert all(text[0].startswith("//") for text in lines.values())
