"""Memory counted, seconds measured, all networks on one scale, and MiniSeg's Table 5 beside the rebuilt ones."""

import csv
import gc
import io

import numpy as np
import pytest
import torch
from torch import nn

from covidseg import create_model, list_models, profile_model, speed, zoo
from covidseg.attention import capture
from covidseg.cli import main
from covidseg.fetch.catalog import data_file
from covidseg.nn import card
from covidseg.speed import fastest, forward, memory, peak_activations, race
from covidseg.tables import benchmark, field, versus

KIB = 64 * 64 * 4 // 1024  # a map of 64 x 64, in KiB
conv = lambda C, C_out: nn.Conv2d(C, C_out, 3, padding=1)  # noqa: E731


# --- memory


def peak_in_maps(*layers):
    return peak_activations(nn.Sequential(*layers), (3, 64, 64)) / 1024 / KIB


def test_peak_is_what_must_be_there_at_once():
    assert peak_in_maps(conv(3, 8), conv(8, 4)) == 3 + 8 + 4  # the second convolution reads 8 and writes 4
    assert peak_in_maps(conv(3, 8), nn.ReLU(), conv(8, 4)) == 3 + 8 + 8
    assert peak_in_maps(conv(3, 8), nn.ReLU(inplace=True), conv(8, 4)) == 3 + 8 + 4
    assert peak_in_maps(conv(3, 8), nn.MaxPool2d(2), conv(8, 4)) == 3 + 8 + 2  # the pooled map is a quarter


def test_a_skip_is_held_until_it_is_used():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = conv(3, 8), conv(8, 1), conv(1, 8)

        def forward(self, x):
            kept = self.a(x)
            return self.c(self.b(kept)) + kept  # kept, the branch, their sum

    assert peak_activations(Skip(), (3, 64, 64)) / 1024 / KIB == 3 + 8 + 8 + 8


def test_views_and_parameters_cost_nothing():
    assert peak_in_maps(conv(3, 8), nn.Flatten(), nn.Unflatten(1, (8, 64, 64)), conv(8, 4)) == 3 + 8 + 4
    wide = nn.Conv2d(3, 1, 3, padding=1, bias=True)
    assert peak_activations(wide, (3, 64, 64)) == 4 * (3 + 1) * 64 * 64


def test_written_bytes_are_those_of_every_map_that_is_made_or_changed():
    layers = nn.Sequential(conv(3, 8), nn.ReLU(inplace=True), nn.Flatten(), nn.Unflatten(1, (8, 64, 64)), conv(8, 4))
    counted = memory(layers, (3, 64, 64))
    assert (counted.written / 1024 / KIB, counted.operators) == (8 + 8 + 4, 3)  # the two views write nothing


def test_counting_memory_leaves_the_network_as_it_was_and_frees_its_copy():
    model = create_model("miniseg").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = peak_activations(model, (3, 64, 64))
    gc.collect()
    assert model.training and peak_activations(model, (3, 64, 64)) == first
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# --- time


def test_runners_take_turns_after_one_pass_that_is_not_counted(monkeypatch):
    clock, order = iter(range(1000)), []
    monkeypatch.setattr(speed, "perf_counter", lambda: float(next(clock)))
    times = fastest([lambda: order.append("a"), lambda: order.append("b")], seconds=0, least=2)
    assert order == list("ab" * 3) and times == [1.0, 1.0]


def test_the_fastest_pass_counts_and_more_follow_until_the_seconds_are_spent(monkeypatch):
    ticks = iter([0, 9, 10, 14, 20, 25, 30, 37, 40, 43])  # passes of 9, 4, 5, 7, 3
    monkeypatch.setattr(speed, "perf_counter", lambda: next(ticks))
    assert fastest([lambda: None], seconds=28, least=2) == [3]


def test_forward_runs_in_eval_mode_on_a_batch_of_the_shape():
    seen = []
    model = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Dropout())
    model.register_forward_hook(lambda m, inputs, y: seen.append((inputs[0].shape, m.training, y.requires_grad)))
    forward(model.train(), (2, 3, 8, 8))()
    assert seen == [((2, 3, 8, 8), False, False)]


def test_a_race_gives_images_a_second_in_batches(monkeypatch):
    monkeypatch.setattr(speed, "fastest", lambda runners, seconds: [0.5, 0.1])
    slow, fast = race([conv(3, 1), conv(3, 1)], [(3, 8, 8)] * 2, batch=4)
    assert (slow.latency, slow.throughput, fast.throughput, fast.batch) == (0.5, 8.0, 40.0, 4)


# --- all networks


def test_one_network_that_fails_is_a_line_and_stops_no_other(monkeypatch, capsys):
    def build(name, config=""):
        if name == "unet":
            raise RuntimeError("no such layer\nand a long story")
        return conv(3, 2), "paper"

    monkeypatch.setattr(benchmark, "build", build)
    line = ["profile", "--all", "[mu]*net", "--size", "16", "--device", "cpu", "--seconds", "0"]
    names = field.names("[mu]*net")
    assert main(line) == 0 and "unet" in names and len(names) > 1
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "unet: not measured. RuntimeError: no such layer" and len(out) == 1 + 1 + len(names)
    assert "16 x 16, on cpu" in out[0] and "batches of 2" in out[0]
    assert main([*line, "--csv"]) == 0
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert set(rows) == set(names) and rows["unet"]["problem"] and not rows["unet"]["macs_ratio"]
    other = rows[next(name for name in names if name != "unet")]
    assert int(other["params"]) == 3 * 2 * 9 + 2 and float(other["params_ratio"]) == 56 / 82_912


def test_ratios_are_to_minisegs_numbers_of_the_same_run():
    (row,) = benchmark.measure(["gated_unet"], side=32, seconds=0)
    counts = [sum(p.numel() for p in create_model(name).parameters()) for name in ("gated_unet", "miniseg")]
    assert not row.problem and row.params == counts[0] and row.ratios[0] == pytest.approx(counts[0] / counts[1])
    assert row.latency > 0 and row.throughput > 0 and row.peak > 4 * 3 * 32 * 32 and all(r > 0 for r in row.ratios)


def test_all_means_every_2_d_network_miniseg_first():
    names = field.names()
    assert names[0] == "miniseg" and set(zoo.names()) < set(names)
    assert {name for name in list_models() if card(name).dimensions == 2} == set(names)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["profile"], "Name a network, see `covidseg models`; or measure all of them with --all."),
        (["profile", "--all", "nothing*"], "No 2-D model matches 'nothing*'."),
        (["profile", "--all", "--config", "relased"], "No config is called 'relased'. Did you mean 'released'?"),
        (["profile", "--all", "--device", "tpu9"], "Device 'tpu9' is not available here"),
    ],
)
def test_a_wrong_line_is_refused_in_one_line(line, message, capsys):
    assert main(line) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"covidseg: {message}") and err.count("\n") == 1


def test_a_build_is_the_benchmarks_where_it_has_one():
    with torch.device("meta"):
        assert field.build("unet", "released")[1] == "released"
        assert field.build("gated_unet", "released")[1] == "own" and field.build("miniseg", "paper")[1] == "own"


# --- two side by side


def test_macs_by_scale_add_up_to_the_profile_and_stand_where_their_map_does():
    with torch.device("meta"):
        two = nn.Sequential(
            conv(3, 8), nn.MaxPool2d(4), nn.Conv2d(8, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Conv2d(5, 2, 1)
        )
    macs = versus.macs_by_scale(two, (3, 64, 64))
    assert macs["1"] == 27 * 8 * 64 * 64 and macs["1/4"] == 8 * 5 * 16 * 16 and macs["1/32 on"] == 10
    for name in ("miniseg", "ocnet"):
        one = versus.portrait(name, "paper", 128)
        assert sum(one.macs.values()) == profile_model(field.build(name, "paper")[0], (3, 128, 128)).macs
        assert (one.macs["products"] > 0) == (name == "ocnet")


def test_maps_are_named_with_the_shapes_that_capture_finds():
    shapes = versus.portrait("miniseg", side=64).maps
    maps = capture(create_model("miniseg"), torch.zeros(1, 3, 64, 64))
    assert shapes == {name: " x ".join(map(str, value.shape[1:])) for name, value in maps.items()}


def test_influence_is_that_of_the_logit_in_the_middle_and_reach_its_square(monkeypatch):
    monkeypatch.setattr(versus, "build", lambda name, config: (nn.Sequential(conv(3, 4), conv(4, 2)), "own"))
    seen = versus.influence.__wrapped__("two 3x3", side=32)
    assert seen.shape == (32, 32) and np.argwhere(seen).min(0).tolist() == [14, 14]
    assert np.argwhere(seen).max(0).tolist() == [18, 18] and versus.reach(seen, 1.0) == 5
    assert versus.reach(np.pad(np.ones((3, 3)), 5), 0.1) == 1


def test_two_networks_are_compared_fact_by_fact_and_maps_of_a_shape_stand_together():
    text, html = versus.as_text("miniseg", "gated_unet", side=32), versus.as_html("miniseg", "gated_unet", side=32)
    for said in (text, html):
        assert "82,912" in said and f"{card('gated_unet').params:,}" in said and "0.481" in said
        assert "A/E_3_1 to A/E_3_9 (4 x 64 x 64)" in said


# --- families and ideas


@pytest.mark.parametrize("name", field.names())
def test_every_network_has_a_family_a_year_and_an_idea_in_a_sentence(name):
    assert field.family(name) in field.FAMILIES and 2010 < field.year(name) < 2030
    assert 20 < len(field.idea(name)) < 140 and "Table" not in field.idea(name)


def test_no_network_is_in_two_families_and_all_of_table_5_have_one():
    listed = " ".join(one.names for one in field.FAMILIES.values()).split()
    assert len(listed) == len(set(listed))
    plain = {name.replace("_", "") for name in listed}
    methods = [row["method"] for row in csv.DictReader(data_file("papers/miniseg_table5.csv").open(encoding="utf-8"))]
    keys = {"".join(c for c in m.lower().replace("+", "plus") if c.isalnum()) for m in methods}
    assert len(keys) == 32 and keys <= plain


def test_the_field_in_markdown_has_every_network_once_below_its_family(monkeypatch):
    monkeypatch.setattr(field, "count", lambda name, config: profile_model(conv(3, 2), (3, 8, 8)))
    lines = field.as_markdown().splitlines()
    rows = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert sorted(rows) == sorted(field.names())
    above = {line[2:].split(".")[0]: k for k, line in enumerate(lines) if line.startswith("**")}
    place = next(k for k, line in enumerate(lines) if line.startswith("| `danet`"))
    assert above["attention"] < place < above["light by design"]


def test_a_cards_own_idea_comes_first(monkeypatch):
    assert field.idea("pspnet") == card("pspnet").notes[0].removeprefix("idea: ")
    monkeypatch.setattr(field, "IDEAS", {})
    assert field.idea("unet") == "convolutional networks for biomedical image segmentation"  # the head of its file


# --- Table 5


@pytest.fixture(scope="module")
def table5():
    return {row.method: row for row in benchmark.table5(released=False)}


def test_table_5_has_32_rows_and_each_finds_its_network_if_it_is_there(table5):
    assert len(table5) == 32
    ours = {row.network for row in table5.values()} - {""}
    assert {"miniseg", "unet", "deeplabv3plus", "infnet_resnet50", "attention_unet"} <= ours
    assert set(zoo.names()) - ours >= {"dense_unet", "gated_unet"}  # Inf-Net's rivals alone


def test_every_rebuilt_count_is_the_print_but_ocnets(table5):
    rebuilt = {row.method for row in table5.values() if row.counted}
    assert {m for m in rebuilt if not table5[m].agrees} == {"OCNet"}
    for method in rebuilt - {"DFN"}:  # counted twice
        assert table5[method].gflops == pytest.approx(table5[method].counted[1] / 1e9, rel=0.06)


def test_known_misprints_are_named(table5):
    assert any("ResNet-101" in remark for remark in table5["PSPNet"].remarks)
    assert any("14 times too few" in remark for remark in table5["DeepLabv3+"].remarks)
    assert table5["MiniSeg"].remarks == table5["CCNet"].remarks == ()


def test_doubled_flops_and_another_trained_network_are_seen_in_the_numbers():
    row = benchmark.Printed("X", "", "43.53M", 81.88, 56.2, (44_569_940, 40_789_000_000), (25_577_750, 21_394_000_000))
    row = benchmark._remarked(row, usual=4000)
    assert row.agrees and len(row.remarks) == 2
    assert "2.01 times" in row.remarks[0] and "25,577,750 parameters" in row.remarks[1]


def test_a_network_that_cannot_be_counted_is_a_remark_and_not_the_end(monkeypatch):
    def broken(network, config):
        raise RuntimeError("no such trunk")

    monkeypatch.setattr(benchmark, "_counts", broken)
    row = next(row for row in benchmark.table5() if row.method == "U-Net")
    assert row.counted is None and row.remarks == ("cannot be counted, RuntimeError: no such trunk",)
    assert "not built" in benchmark.table5_text([row])


def test_the_text_of_table_5_says_what_m_means_and_which_rows_wait(table5):
    missing = benchmark.Printed("Nobody's", "", "1.00M", 2.0, 3.0)
    text = benchmark.table5_text([*table5.values(), missing])
    assert "1,024,000" in text and "OCNet: Table 5 prints 51.60M for what counts 51.62M" in text
    assert any(line.startswith("Nobody's") and "not built" in line for line in text.splitlines())
