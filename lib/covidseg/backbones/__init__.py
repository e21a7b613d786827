"""Trunks trained on ImageNet, by name. The kit brings no ImageNet weights: it reads the files the user has.

Each file here enters the trunks of its table ``TRUNKS``, with the public files of their weights; a file that begins
with _ is shared by some. State-dict names are torchvision's (or the authors', for Res2Net), so those files fit as they
are.
"""

from importlib import import_module
from pathlib import Path

from torch import nn

from covidseg.backbones._trunk import Trunk
from covidseg.errors import UserError, unknown_name

__all__ = ["BACKBONES", "Trunk", "create_backbone", "freeze_norms", "load_backbone", "network_on", "trunk"]


def _entered() -> dict[str, Trunk]:
    """The trunks of all files, by name; a second entry of the same name raises ValueError."""
    found: dict[str, Trunk] = {}
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        for name, one in import_module(f"{__name__}.{file.stem}").TRUNKS.items():
            if found.setdefault(name, one) is not one:
                raise ValueError(f"Two trunks want the name {name!r}.")
    return found


BACKBONES = _entered()


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
    needed = [key for key in own | state if not _optional(key, getattr(network, "not_in_files", ()))]
    misfit = [key for key in needed if key not in own or getattr(state.get(key), "shape", None) != own[key].shape]
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


def network_on(file: str | Path, name: str, **options) -> nn.Module:
    """The network ``name`` (`covidseg.create_model`) whose trunk begins with the weights of a file.

    Raises UserError as `load_backbone`, and for a network that has no trunk of that kind.
    """
    from covidseg.nn.registry import create_model

    try:
        return create_model(name, **options, imagenet=file)
    except TypeError as error:
        if "imagenet" not in str(error):
            raise
        raise UserError(f"{name} has no trunk that could begin with {file}: leave those weights out.") from None


def _optional(key: str, not_in_files: tuple[str, ...]) -> bool:
    """Classifiers are not ours to keep, files older than torch 0.4.1 do not count batches, no file has ScaledNorms.

    not_in_files : how the names of layers begin that this trunk has of its own.
    """
    own = ("fc.", "classifier.", *not_in_files)
    return key.startswith(own) or key.endswith(("num_batches_tracked", ".gain", ".offset"))


def freeze_norms(network: nn.Module) -> nn.Module:
    """Stop training the weight and bias of every BatchNorm (PSPNet's trunk); running statistics still move."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
    return network
