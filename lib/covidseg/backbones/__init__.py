"""Trunks trained on ImageNet, by name. The kit brings no ImageNet weights: it reads the files the user has.

State-dict names are torchvision's (ResNet, VGG16, DenseNet) and the authors' (Res2Net), so those files fit as they
are. Of the aligned Xception no public file in these names is known.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from covidseg.backbones.densenet import DenseNet, densenet, modern_key
from covidseg.backbones.res2net import res2net50
from covidseg.backbones.resnet import ResNet, resnet
from covidseg.backbones.vgg import VGG16
from covidseg.backbones.xception import Xception
from covidseg.errors import UserError, unknown_name

__all__ = [
    "BACKBONES",
    "DenseNet",
    "ResNet",
    "VGG16",
    "Xception",
    "create_backbone",
    "freeze_norms",
    "load_backbone",
    "trunk",
]


@dataclass(frozen=True)
class Trunk:
    """How to build a trunk, the public file of its ImageNet weights if there is one, and its names if they differ."""

    build: Callable[..., nn.Module]
    file: str | None
    rename: Callable[[str], str] = str


_TORCHVISION = "https://download.pytorch.org/models/"
BACKBONES = {
    "resnet18": Trunk(partial(resnet, 18), _TORCHVISION + "resnet18-5c106cde.pth"),
    "resnet50": Trunk(partial(resnet, 50), _TORCHVISION + "resnet50-19c8e357.pth"),
    "resnet101": Trunk(partial(resnet, 101), _TORCHVISION + "resnet101-5d3b4d8f.pth"),
    "res2net50": Trunk(
        res2net50, "https://shanghuagao.oss-cn-beijing.aliyuncs.com/res2net/res2net50_v1b_26w_4s-3cf99910.pth"
    ),
    "vgg16": Trunk(VGG16, _TORCHVISION + "vgg16-397923af.pth"),
    "vgg16_bn": Trunk(partial(VGG16, norm=True), _TORCHVISION + "vgg16_bn-6c64b313.pth"),
    "densenet161": Trunk(partial(densenet, 161), _TORCHVISION + "densenet161-8d451a50.pth", modern_key),
    "xception": Trunk(Xception, None),
}


def create_backbone(name: str, **options) -> nn.Module:
    """A trunk with random weights; it answers [f_1, ..., f_5] and tells their ``channels`` and ``strides``."""
    if name not in BACKBONES:
        raise unknown_name("backbone", name, BACKBONES)
    return BACKBONES[name].build(**options)


def load_backbone(name: str, path: str | Path, **options) -> nn.Module:
    """A trunk with the ImageNet weights of a .pth file; numbers of the file's classifier are left aside.

    Raises UserError if there is no such file (and says which one it should be), if it would run code, or if it
    belongs to another network, or if the trunk has no such file.
    """
    from covidseg.nn.weights import read_tensors

    network, wanted = create_backbone(name, **options), BACKBONES[name].file
    if wanted is None:
        raise UserError(f"{name!r} has no public ImageNet file: leave `imagenet` out.")
    if not Path(path).is_file():
        raise UserError(f"{path}: there is no such file. ImageNet weights of {name!r} are in {wanted}.")
    state = read_tensors(path)
    if not isinstance(state, dict):
        raise UserError(f"{path} holds no weights by name. ImageNet weights of {name!r} are in {wanted}.")
    state = {BACKBONES[name].rename(key): value for key, value in state.items()}
    own = network.state_dict()
    misfit = [key for key in own if not _optional(key) and getattr(state.get(key), "shape", None) != own[key].shape]
    misfit += [key for key in state if key not in own and not _optional(key)]
    if misfit:
        more = f" and {len(misfit) - 1} more" if len(misfit) > 1 else ""
        raise UserError(f"{path} does not fit {name!r}: {misfit[0]}{more}. Its ImageNet weights are in {wanted}.")
    usable = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    network.load_state_dict(own | usable)
    return network


def trunk(backbone: str | nn.Module, imagenet: str | Path | None = None, **options) -> nn.Module:
    """What a network's ``backbone`` and ``imagenet`` options ask for: a trunk by name, or the module itself."""
    if isinstance(backbone, nn.Module):
        return backbone
    return load_backbone(backbone, imagenet, **options) if imagenet else create_backbone(backbone, **options)


def _optional(key: str) -> bool:
    """Classifiers are not ours to keep, files older than torch 0.4.1 do not count batches, no file has ScaledNorms."""
    return key.startswith(("fc.", "classifier.")) or key.endswith(("num_batches_tracked", ".gain", ".offset"))


def freeze_norms(network: nn.Module) -> nn.Module:
    """Stop training the weight and bias of every BatchNorm (PSPNet's trunk); running statistics still move."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
    return network
