"""How much faster is an optimised network than the plain one, and does it draw the same mask?

    python benchmarks/inference_speed.py                     # MiniSeg, 512 x 512, batch 1 and 8, 2 threads
    python benchmarks/inference_speed.py --network unet --batch 1
    python benchmarks/inference_speed.py --device cuda       # batch 1, 30 and 256; CUDA graphs, float16

Plain is the network as `create_model` builds it, asked in eager torch. All ways are timed in turn in one run, so that
they meet the same load of the machine; printed are medians, and their ratios. Inputs are slices of a phantom; the
weights are those that ship with the kit where there are some, else of chance. A backend that is not installed (pip
install 'covidseg[fast]') costs a line. Threads that wait must not spin: OMP_WAIT_POLICY=PASSIVE is set here.
Aims on a CPU: 2.3 times plain with torch alone and 3.5 with the best backend at batch 1, 2.5 at batch 8, no pixel
moved.
"""

import argparse
import os
import statistics
from time import perf_counter

from _history import option, save

WAYS = {  # name -> what `optimize` is told
    "cpu": {
        "optimised": {},
        "openvino": {"backend": "openvino"},
        "onnxruntime": {"backend": "onnxruntime"},
    },
    "cuda": {
        "optimised": {},
        "cudagraphs": {"backend": "cudagraphs"},
        "cudagraphs, half": {"backend": "cudagraphs", "half": True},
    },
}
BATCHES = {"cpu": [1, 8], "cuda": [1, 30, 256]}
ASKED = {("cpu", 1, "torch"): 2.3, ("cpu", 1, "best"): 3.5, ("cpu", 8, "torch"): 2.5, ("cuda", 30, "best"): 5.0}


def main():
    options = parse()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch starts its threads
    import torch

    torch.set_num_threads(options.threads)
    network = load(options.network).to(options.device)
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.threads} threads"
    print(f"{options.network}, {options.size} x {options.size}, on {options.device} ({where})")
    for batch in options.batch or BATCHES[options.device]:
        x = slices(batch, options.size).to(options.device)
        ways, moved = prepared(network, x, options.device)
        show(options, batch, timed(ways, x, options.rounds or (15 if batch == 1 else 5)), moved)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="miniseg", help="a name from `covidseg models`, 2-D")
    parser.add_argument("--device", default="cpu", choices=BATCHES)
    parser.add_argument("--batch", type=int, nargs="*", help="slices at a time; 1 and 8, on a GPU 1, 30 and 256")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, help="times that each is measured; 15, for larger batches 5")
    option(parser)
    return parser.parse_args()


def load(name):
    import torch

    from covidseg import create_model, papers

    if name == papers.NAMES[0]:
        return papers.weights("phantom").model
    torch.manual_seed(0)
    return create_model(name).eval()


def slices(batch, size):
    """Normalised slices of a phantom, (batch, 3, size, size)."""
    import numpy as np
    import torch

    from covidseg.data.transforms import Preprocessing
    from covidseg.inference import prepare
    from covidseg.phantom.chest import phantom_volume

    hu = np.moveaxis(phantom_volume(0, shape=(size, size, 8)).hu, -1, 0)
    x = prepare(np.ascontiguousarray(hu, dtype=np.float32), Preprocessing(size=size), "HU")
    return torch.cat([x] * -(-batch // len(x)))[:batch].contiguous()


def prepared(network, x, device):
    """Name -> what is asked, and name -> pixels of the mask that it moves."""
    import torch

    from covidseg.errors import UserError
    from covidseg.fast import difference, optimize
    from covidseg.nn.layers import main_output

    ways, moved = {"plain": lambda given: main_output(network(given))}, {}
    with torch.inference_mode():
        wanted = ways["plain"](x)
        for name, how in WAYS[device].items():
            try:
                fast = optimize(network, x[:1], **how)
            except UserError as error:
                print(f"  {name}: {error}")
                continue
            ways[name], moved[name] = fast, difference(wanted, fast(x))
    return ways, moved


def timed(ways, x, rounds):
    """Median seconds of each."""
    import torch

    times = {name: [] for name in ways}
    with torch.inference_mode():
        for ask in ways.values():
            ask(x)
        for _ in range(rounds):
            for name, ask in ways.items():
                begin = perf_counter()
                ask(x)
                if x.device.type == "cuda":
                    torch.cuda.synchronize()
                times[name].append(perf_counter() - begin)
    return {name: statistics.median(all_) for name, all_ in times.items()}


def show(options, batch, medians, moved):
    plain = medians["plain"]
    print(f"batch {batch}: plain {1000 * plain:.1f} ms, {batch / plain:,.0f} slices/s")
    for name, apart in moved.items():
        ms = medians[name]
        print(f"  {name:<18} {1000 * ms:8.1f} ms  {plain / ms:5.2f} times plain  {batch / ms:7,.0f} slices/s  {apart}")
    exact = {name: ms for name, ms in medians.items() if name in moved and moved[name].exact}
    for kind, name in (("torch", "optimised"), ("best", min(exact, key=exact.get, default=None))):
        if name in exact:
            keep(options, batch, kind, plain / exact[name], name, batch / exact[name])


def keep(options, batch, kind, ratio, name, rate):
    asked = ASKED.get((options.device, batch, kind)) if options.network == "miniseg" else None
    claim = f"inference: {options.network}, batch {batch}, {'torch' if kind == 'torch' else 'best backend'}"
    claim += "" if options.device == "cpu" else f", {options.device}"
    numbers = {"slices per second": rate}
    save(
        options,
        claim,
        ratio,
        reference=f"plain eager network ({name})",
        asked=asked,
        numbers=numbers,
        device=options.device,
    )


if __name__ == "__main__":
    main()
