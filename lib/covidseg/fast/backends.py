"""Programs that run a network's graph in torch's place. Each is imported where it is used, never before."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from io import BytesIO
from typing import Any

import torch
from torch import Tensor, nn

from covidseg.errors import UserError, unknown_name
from covidseg.fast.graph import Main, as_onnx, package
from covidseg.nn.layers import main_output

__all__ = ["BACKENDS", "runner_of"]

SHAPES = 8  # recorded graphs that are kept; a scan needs two, its batch and the last one


def runner_of(backend: str, model: nn.Module, half: bool) -> Any:
    """What runs a copy of ``model``: called with (network, input), it answers float32 logits; None for torch itself.

    ``wants_plain`` : it rearranges graphs itself, better where it gets them as they were written.
    Raises UnknownName, UserError where it is not installed or cannot run on the model's device.
    """
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    make = BACKENDS[backend]
    if make is None:
        return None
    on_gpu = next((p.device.type == "cuda" for p in model.parameters()), False)
    if make.device != ("cuda" if on_gpu else "cpu"):
        place = "a GPU" if make.device == "cuda" else "a CPU"
        raise UserError(f"backend={backend!r} runs networks that are on {place}; take backend='torch', or move it.")
    if make.package:
        package(make.package, f"backend={backend!r}")
    return make(half)


class _Runner(ABC):
    """A backend that compiles at first use; a pickle holds none of what was compiled."""

    device, package, wants_plain = "cpu", "", True

    def __init__(self, half: bool):
        self.half = half
        self.compiled: Any = None

    @abstractmethod
    def __call__(self, network: nn.Module, x: Tensor) -> Tensor:
        """Logits of ``x`` by what was compiled of the network."""

    def __getstate__(self) -> dict[str, Any]:
        return {"half": self.half, "compiled": None}

    def __deepcopy__(self, memo: Any) -> "_Runner":
        return type(self)(self.half)


class _Runtime(_Runner):
    """A program beside torch, which is given the whole graph once."""

    def __call__(self, network: nn.Module, x: Tensor) -> Tensor:
        if self.compiled is None:
            self.compiled = self.compile(network, x)
        return self.ask(x)

    @abstractmethod
    def compile(self, network: nn.Module, x: Tensor) -> Any:
        """The program's form of the network, for inputs like ``x``."""

    @abstractmethod
    def ask(self, x: Tensor) -> Tensor:
        """Its answer, float32."""


class OpenVINO(_Runtime):
    """Intel's runtime: it fuses what stands side by side, and runs on all threads of torch."""

    package = "openvino"

    def compile(self, network: nn.Module, x: Tensor) -> Any:
        ov = package(self.package, "OpenVINO")
        graph = ov.convert_model(Main(network), example_input=x.detach())
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.half else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        return ov.Core().compile_model(graph, "CPU", settings)

    def ask(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.compiled(x.detach().float().contiguous().numpy())[0].copy())


class ONNXRuntime(_Runtime):
    """The graph as ONNX, without half precision."""

    package = "onnxruntime"

    def __init__(self, half: bool):
        super().__init__(half)
        if half:
            raise UserError("backend='onnxruntime' has no half precision here; leave half out, or take 'openvino'.")

    def compile(self, network: nn.Module, x: Tensor) -> Any:
        ort = package(self.package, "ONNX Runtime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        file = BytesIO()
        as_onnx(network, x, file)
        return ort.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])

    def ask(self, x: Tensor) -> Tensor:
        name = self.compiled.get_inputs()[0].name
        return torch.from_numpy(self.compiled.run(None, {name: x.detach().float().contiguous().numpy()})[0])


class CUDAGraphs(_Runner):
    """A whole pass recorded once a shape and replayed: the hundreds of small kernels start without Python between."""

    device, wants_plain = "cuda", False

    def __call__(self, network: nn.Module, x: Tensor) -> Tensor:
        key = (tuple(x.shape), x.dtype)
        self.compiled = self.compiled or {}
        if key not in self.compiled:
            if len(self.compiled) == SHAPES:
                self.compiled.pop(next(iter(self.compiled)))
            inside = next((p.dtype for p in network.parameters()), x.dtype)
            self.compiled[key] = record(lambda given: main_output(network(given)), x.to(inside))
        return self.compiled[key](x).to(x.dtype)


def record(network: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
    """One pass of ``network`` on input of x's shape as a CUDA graph: a function of such inputs, on the same GPU."""
    held = x.clone(memory_format=torch.channels_last)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # algorithms are chosen, and workspaces made, before the recording
        for _ in range(3):
            network(held)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = network(held)

    def replay(given: Tensor) -> Tensor:
        held.copy_(given)
        graph.replay()
        return out.clone()

    return replay


BACKENDS: dict[str, Any] = {
    "torch": None,
    "openvino": OpenVINO,
    "onnxruntime": ONNXRuntime,
    "cudagraphs": CUDAGraphs,
}
