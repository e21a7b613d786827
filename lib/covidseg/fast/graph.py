"""A network as an ONNX file, which phones, browsers and other runtimes read."""

import json
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.errors import UserError
from covidseg.fast.difference import EXACT, Difference, difference
from covidseg.files import write_atomically
from covidseg.nn.layers import dimensions, input_channels, main_output

__all__ = ["Exported", "as_onnx", "export", "package"]

OPSET = 17
AXES = "BCHWD"
FOLLOWED = {2: (128, 128), 3: (32, 32, 32)}  # sides on which a network is followed, multiples of what they all want
OTHER = {2: (96, 160), 3: (32, 32, 64)}  # and other sides, on which the file must agree as well


@dataclass(frozen=True)
class Exported:
    """path, bytes : the file; sides : the only ones it takes, None where it takes all that the network takes

    apart : its answer beside torch's, on noise
    """

    path: Path
    bytes: int
    sides: tuple[int, ...] | None
    apart: Difference

    def lines(self) -> list[str]:
        sides = "any sides and batch" if self.sides is None else " x ".join(map(str, self.sides)) + ", one at a time"
        return [
            f"written  {self.path} ({self.bytes / 1e6:.1f} MB), for {sides}",
            f"checked  against torch: {self.apart}",
        ]


class Main(nn.Module):
    """A network at rest without its side outputs."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return main_output(self.network(x))


def package(name: str, wanted_by: str) -> Any:
    """A package that only some need; UserError, saying how to get it, where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        raise UserError(f"{wanted_by} needs the package {name}: pip install 'covidseg[fast]'.") from None


def as_onnx(network: nn.Module, x: Tensor, file: BinaryIO, *, any_size: bool = True) -> None:
    """Write the graph that the network runs on x, "scan" in and "logits" out; any_size : for other sides and batches.

    torch's older exporter, which needs no package but onnx. Whatever it raises on a graph that it cannot write passes.
    """
    package("onnx", "ONNX")
    axes = {axis: AXES[axis] for axis in range(x.ndim) if axis != 1}
    names = {"input_names": ["scan"], "output_names": ["logits"]}
    sizes = {"dynamic_axes": {"scan": axes, "logits": axes}} if any_size else {}
    with warnings.catch_warnings(), redirect_stdout(StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter's age, and of every "if" on a size
        torch.onnx.export(Main(network), (x,), file, dynamo=False, opset_version=OPSET, **names, **sizes)


def export(
    model: nn.Module, path: str | Path, *, sides: tuple[int, ...] | None = None, about: Mapping[str, Any] | None = None
) -> Exported:
    """Write a network as ONNX, after its answer was held against torch's on noise of several sizes.

    sides : for a network that cannot be written for all sides at once, those that it is written for; default 512 x 512,
        for 3-D 64 x 64 x 64. about : plain facts for the file, each stored as JSON
    Raises UserError, one line, where the network cannot be written or the file answers otherwise; then none is written.
    """
    package("onnx", "export")
    d, channels = dimensions(model), input_channels(model)
    model = model.cpu().eval()
    fixed = sides or (512 if d == 2 else 64,) * d
    attempts = [(None, FOLLOWED[d], [(1, *FOLLOWED[d]), (2, *OTHER[d])]), (fixed, fixed, [(1, *fixed)])]
    for only, followed, seen in attempts:
        try:
            graph = _graph(model, _noise(1, channels, *followed), only is None)
            apart = max((_apart(model, graph, _noise(b, channels, *s)) for b, *s in seen), key=lambda a: a.logits)
        except UserError:
            raise
        except Exception as error:  # of the exporter, or of the runtime that reads what it wrote
            problem = " ".join(str(error).split())[:160] or type(error).__name__
            continue
        if apart.logits <= EXACT:
            file = _described(graph, {"sides": only, **(about or {})})
            return Exported(_written(path, file), len(file), only, apart)
        problem = f"its answer is {apart.logits:.1e} away from torch's"
    raise UserError(f"{type(model).__name__} cannot be written as ONNX: {problem}")


def _written(path: str | Path, content: bytes) -> Path:
    return write_atomically(path, lambda file: file.write(content))


def _graph(model: nn.Module, x: Tensor, any_size: bool) -> bytes:
    file = BytesIO()
    as_onnx(model, x, file, any_size=any_size)
    return file.getvalue()


def _noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _apart(model: nn.Module, graph: bytes, x: Tensor) -> Difference:
    with torch.inference_mode():
        wanted = main_output(model(x))
    return difference(wanted, torch.from_numpy(np.asarray(_reader(graph)({"scan": x.numpy()}))))


def _reader(graph: bytes) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """What runs a graph: ONNX Runtime if it is here, else the slow reference that comes with onnx."""
    try:
        runtime = import_module("onnxruntime")
    except ImportError:
        slow = import_module("onnx.reference").ReferenceEvaluator(graph)
        return lambda inputs: slow.run(None, inputs)[0]
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)[0]


def _described(graph: bytes, about: Mapping[str, Any]) -> bytes:
    onnx = import_module("onnx")
    model = onnx.load_from_string(graph)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in about.items()})
    return model.SerializeToString()
