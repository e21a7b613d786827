"""Other programs that run a network's graph, and the file they read: same answers, and one line where they are not."""

import json
import pickle
import sys

import pytest
import torch
from random_norms import seeded
from torch import nn
from typer.testing import CliRunner

from covidseg.cli import app
from covidseg.errors import UnknownName, UserError
from covidseg.fast import backends, difference, optimize
from covidseg.fast.graph import export
from covidseg.nn import create_model

ABSENT = "not installed: pip install 'covidseg[fast]'"


@pytest.fixture(autouse=True)
def the_same_networks():
    torch.manual_seed(0)


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_backend_gives_the_networks_answer_on_every_size(backend):
    pytest.importorskip(backend, reason=ABSENT)
    if backend == "onnxruntime":
        pytest.importorskip("onnx", reason=ABSENT)
    model = seeded(create_model("miniseg"))
    fast = optimize(model, backend=backend)
    for x in (noise(1, 3, 64, 64), noise(2, 3, 45, 70)):
        with torch.no_grad():
            assert difference(model(x), fast(x)).exact
    again = pickle.loads(pickle.dumps(fast))
    assert torch.equal(again(x), fast(x)) and optimize(fast, backend=backend) is fast


def test_a_wrong_backend_is_told_the_right_names():
    with pytest.raises(UnknownName, match="Did you mean 'openvino'"):
        optimize(create_model("miniseg"), backend="openvin")


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_backend_that_is_not_installed_is_one_line_with_the_way_out(backend, monkeypatch):
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(UserError, match=rf"needs the package {backend}: pip install 'covidseg\[fast\]'"):
        optimize(create_model("miniseg"), backend=backend)


def test_a_backend_of_another_device_is_refused():
    with pytest.raises(UserError, match="runs networks that are on a GPU"):
        optimize(create_model("miniseg"), backend="cudagraphs")


def test_a_graph_is_recorded_once_a_shape_and_the_oldest_is_dropped(monkeypatch):
    recorded = []

    def record(network, x):
        recorded.append(tuple(x.shape))
        return network

    monkeypatch.setattr(backends, "record", record)
    network, runner = nn.Conv2d(3, 2, 1), backends.CUDAGraphs(half=False)
    sides = list(range(1, backends.SHAPES + 2))
    for side in (*sides, *sides[1:], 1):
        x = noise(1, 3, side, side)
        torch.testing.assert_close(runner(network, x), network(x))
    assert recorded == [(1, 3, side, side) for side in (*sides, 1)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
@pytest.mark.parametrize("half", [False, True])
def test_on_a_gpu_a_replayed_pass_answers_as_the_network(half):
    model = seeded(create_model("miniseg")).cuda()
    fast = optimize(model, backend="cudagraphs", half=half)
    for seed in (0, 1):
        x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed)).cuda()
        with torch.no_grad():
            assert difference(model(x), fast(x)).logits < (0.05 if half else 1e-3)  # convolutions may use TF32


# ---------------------------------------------------------------------------------------------- covidseg export


def run(*args):
    return CliRunner().invoke(app, ["export", *map(str, args)])


def test_a_network_is_written_with_what_its_weights_want_to_see(tmp_path):
    onnx = pytest.importorskip("onnx", reason=ABSENT)
    done = run("miniseg", "--weights", "phantom", "-o", tmp_path / "m.onnx")
    assert done.exit_code == 0, done.exception
    assert "any sides and batch" in done.output and "checked  against torch" in done.output and "licence" in done.output
    facts = {entry.key: json.loads(entry.value) for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert facts["network"] == "miniseg" and facts["preprocessing"]["size"] and facts["sides"] is None
    assert run("miniseg", "-o", tmp_path / "m.onnx").exception.args[0].endswith("or name another file.")


class Pooled(nn.Conv2d):
    """A network that cannot be written for all sides at once."""

    def forward(self, x):
        return super().forward(nn.functional.adaptive_avg_pool2d(x, 4))


class Odd(nn.Conv2d):
    """A network of an operation that ONNX has not."""

    def forward(self, x):
        return super().forward(torch.special.bessel_j0(x))


def test_a_network_of_one_size_is_written_for_it_and_an_impossible_one_refused_in_a_line(tmp_path):
    pytest.importorskip("onnx", reason=ABSENT)
    done = export(Pooled(3, 2, 1), tmp_path / "p.onnx", sides=(32, 64))
    assert done.sides == (32, 64) and done.apart.logits < 1e-5 and "for 32 x 64, one at a time" in done.lines()[0]
    with pytest.raises(UserError, match="Odd cannot be written as ONNX") as refused:
        export(Odd(3, 2, 1), tmp_path / "odd.onnx")
    assert "\n" not in str(refused.value) and not (tmp_path / "odd.onnx").exists()


def test_what_export_cannot_do_is_one_line(tmp_path, monkeypatch):
    assert "ends in .onnx" in str(run("miniseg", "-o", tmp_path / "m.pt").exception)
    assert "Did you mean 'miniseg'" in str(run("minseg", "-o", tmp_path / "m.onnx").exception)
    assert "is no unet" in str(run("unet", "--weights", "phantom", "-o", tmp_path / "m.onnx").exception)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'covidseg[fast]'" in str(run("miniseg", "-o", tmp_path / "m.onnx").exception)
    assert not list(tmp_path.iterdir())
