"""Inf-Net: automatic COVID-19 lung infection segmentation (Fan et al., IEEE TMI 2020, arXiv 2004.14133).

Read this file beside the paper's section III-A: the network is Figure 2, the parallel partial decoder (PPD) Figure 3,
reverse attention (RA) Figure 4 and Eqns 2-3, edge attention (EA) the text around Eqn 1. Letters are the paper's:
f_1..f_5 the features of the trunk, S_g the global map, S_5, S_4, S_3 the maps of the RA units R_5, R_4, R_3, S_e the
edge map, A_i the reverse attention weights, e_att the edge feature. All maps are logits. B is the batch.

The published code is another network than the text. Each point where they part is one field of ``Wiring``
(wiring.py): ``wiring="official"`` is what ran, ``wiring="paper"`` is the text.
"""

from copy import deepcopy
from functools import partial

from torch import Tensor, cat, nn, zeros_like

from covidseg.backbones import trunk
from covidseg.errors import UserError
from covidseg.nn.layers import corner_resize, refuse_smaller, resize
from covidseg.nn.registry import register
from covidseg.papers.infnet.wiring import RAUnit, Wiring, choose_wiring, narrowed

WIDTH = 64  # of a ResNet's first stage; what follows is written for it
CHANNELS = 32  # of the PPD's inputs; the text does not say
EDGE = 64  # of e_att in the code


class CB(nn.Sequential):
    """Convolution and BatchNorm, the unit of Figure 3, without an activation: (B, C, H, W) -> (B, C', H, W)."""

    def __init__(self, C, C_out, kernel: int | tuple[int, int] = 1, *, dilation=1, relu=False):
        k = (kernel, kernel) if isinstance(kernel, int) else kernel
        same = [dilation * (side - 1) // 2 for side in k]
        conv = nn.Conv2d(C, C_out, k, padding=same, dilation=dilation, bias=False)
        super().__init__(conv, nn.BatchNorm2d(C_out), *([nn.ReLU(inplace=True)] if relu else []))


class RFB(nn.Module):
    """Receptive field block (Liu et al., ECCV 2018), code only: (B, C, H, W) -> (B, 32, H, W)."""

    def __init__(self, C, C_out=CHANNELS, unit=CB):
        super().__init__()
        self.branches = nn.ModuleList([unit(C, C_out)])
        for k in (3, 5, 7):  # a cross of 1 x k and k x 1, then 3x3 spread by k
            cross = [unit(C_out, C_out, (1, k)), unit(C_out, C_out, (k, 1))]
            self.branches.append(nn.Sequential(unit(C, C_out), *cross, unit(C_out, C_out, 3, dilation=k)))
        self.fuse, self.shortcut = unit(4 * C_out, C_out, 3), unit(C, C_out)

    def forward(self, f: Tensor) -> Tensor:
        branches = [branch(f) for branch in self.branches]  # 4 x [B, 32, H, W]
        return (self.fuse(cat(branches, 1)) + self.shortcut(f)).relu()


class PPD(nn.Module):
    """Parallel partial decoder p_d(f_3, f_4, f_5), Figure 3: three maps of 32 channels -> (B, 96, H_3, W_3).

    Deep features first gate the finer ones by multiplication, then join them by concatenation.
    """

    def __init__(self, C=CHANNELS, kernel=3, unit=CB):
        super().__init__()
        self.gate_45, self.gate_35, self.gate_34, self.up_5 = (unit(C, C, kernel) for _ in range(4))
        self.merge_4, self.up_4 = unit(2 * C, 2 * C, kernel), unit(2 * C, 2 * C, kernel)
        self.merge_3, self.last = unit(3 * C, 3 * C, kernel), unit(3 * C, 3 * C, kernel)

    def forward(self, f_3: Tensor, f_4: Tensor, f_5: Tensor) -> Tensor:
        U_5 = corner_resize(f_5, f_4)  # B, 32, H_4, W_4
        UU_5, U_4 = corner_resize(U_5, f_3), corner_resize(f_4, f_3)  # B, 32, H_3, W_3
        g_4 = self.gate_45(U_5) * f_4
        g_3 = self.gate_35(UU_5) * self.gate_34(U_4) * f_3
        d_4 = self.merge_4(cat([g_4, self.up_5(U_5)], 1))  # B, 64, H_4, W_4
        d_3 = self.merge_3(cat([g_3, self.up_4(corner_resize(d_4, f_3))], 1))  # B, 96, H_3, W_3
        return self.last(d_3)


class EA(nn.Module):
    """Edge attention: low-level f_2 (B, C, H_2, W_2) -> e_att, and the edge map S_e (B, 1, H_2, W_2) of Eqn 1."""

    def __init__(self, C, wiring: Wiring, unit=CB, edge=EDGE):
        super().__init__()
        self.channels = edge if wiring.edge == "branch" else C
        branch = [unit(C, edge), unit(edge, edge, 3), unit(edge, edge, 3)] if wiring.edge == "branch" else []
        self.feature = nn.Sequential(*branch)  # paper: e_att = f_2
        self.map = _one_channel(self.channels, 3, wiring)

    def forward(self, f_2: Tensor) -> tuple[Tensor, Tensor]:
        e_att = self.feature(f_2)
        return e_att, self.map(e_att)


class Reverse(nn.Module):
    """Eqn 3: the weight A_i is near 1 where the coarser map is empty. One channel; multiplication expands it."""

    def forward(self, S: Tensor) -> Tensor:  # B, 1, h, w
        return 1 - S.sigmoid()  # (3)


class RA(nn.Module):
    """Reverse attention unit R_i, Figure 4: f_i, coarser map S_{i+1} and e_att -> map S_i (B, 1, H_i, W_i)."""

    def __init__(self, C, C_edge, conv: RAUnit, wiring: Wiring, unit=CB):
        super().__init__()
        self.attend, self.reverse = wiring.attend, Reverse()
        self.squeeze = unit(C, conv.width) if conv.squeeze else nn.Identity()
        channels = [(conv.width if conv.squeeze else C) + C_edge, *[conv.width] * conv.convs]
        pairs = zip(channels[:-1], channels[1:], strict=True)
        self.convs = nn.Sequential(*[CB(c, c_out, conv.kernel, relu=True) for c, c_out in pairs])
        self.map = _one_channel(conv.width, conv.last, wiring)

    def forward(self, f: Tensor, S: Tensor, e_att: Tensor | None) -> Tensor:
        size = f.shape[-2:]
        S = resize(S, size)  # P(S_{i+1}) of Eqn 3; for R_5 it shrinks S_g by 4 without averaging
        A = self.reverse(S)  # (3) B, 1, H_i, W_i
        C = self.squeeze(f * A if self.attend == "feature" else f)  # (2) as the erratum has it: f_i * A_i first
        if e_att is not None:
            C = cat([C, resize(e_att, size)], 1)  # (2) C(f_i, Dow(e_att))
        R = self.convs(C)  # B, 64, H_i, W_i (code: R_5 has 256)
        R = R * A if self.attend == "fused" else R  # (2) as printed
        return self.map(R) + S  # Figure 2, "Addition": S_i corrects S_{i+1}


class InfNet(nn.Module):
    """Inf-Net, Figure 2: (B, in_channels, H, W) normalised slices -> logits (B, 1, H, W); sides from 32 (VGG16: 16).

    In ``eval()`` the answer is S_3 at the input size (S_g without RA). In ``train()`` it is
    (S_3, [S_4, S_5, S_g, S_e]), all at the input size, finest first, the edge map last; what an option leaves out is
    missing, and without any side map the answer is a tensor. Paper and code resize slices to 352 x 352.

    num_classes : 1 is the paper's. 2 puts a channel of zeros before each map, so that softmax answers what sigmoid did,
    argmax is S > 0 and cross-entropy is binary cross-entropy; the numbers of the network stay the same.
    backbone : "res2net50", "resnet50", "vgg16" (or "resnet18", "resnet101", "vgg16_bn"), or any module that answers
    [f_1, ..., f_5] and has ``channels`` and ``strides``. imagenet : a file of ImageNet weights for it. output_stride :
    of a named ResNet, 32 as published; 8 is dilated, as MiniSeg's benchmark trained it.
    width : of a named ResNet's first stage, 64 as published. Ours, for a CPU: with less, PPD, EA and RA shrink alike.
    ppd, ra, ea : the three components; rows of Table IV are ready in ``ABLATIONS``. Ours, as neither text nor code
    shows these networks: without PPD, S_g is a 1x1 convolution of f_5; with EA but no RA, e_att joins what S_g reads.
    wiring : "official", "paper", "official_max" (VGG16 halves by maxima) or a ``Wiring``.
    """

    def __init__(
        self, num_classes=1, in_channels=3, *, backbone: str | nn.Module = "res2net50", imagenet=None,
        output_stride: int | None = None, width=WIDTH, ppd=True, ra=True, ea=True, wiring: str | Wiring = "official",
    ):  # fmt: skip
        super().__init__()
        if num_classes not in (1, 2):
            raise UserError(
                f"Inf-Net marks infection alone: num_classes is 1 or 2 (background, infection), not {num_classes}. "
                "'multiclass_unet' labels more."
            )
        wiring, self.num_classes = narrowed(choose_wiring(wiring), width, WIDTH), num_classes
        unit = partial(CB, relu=wiring.cb_relu)
        self.backbone = _trunk(backbone, in_channels, imagenet, wiring, output_stride, width)
        C = self.backbone.channels  # of f_1..f_5
        c = CHANNELS * width // WIDTH
        self.EA = EA(C[1], wiring, unit, EDGE * width // WIDTH) if ea else None
        C_edge = self.EA.channels if ea else 0
        reduce = partial(RFB, unit=unit) if wiring.reduce == "rfb" else unit
        self.reduce = nn.ModuleList(reduce(C_i, c) for C_i in C[2:]) if ppd else None
        self.PPD = PPD(c, wiring.ppd_kernels[0], unit) if ppd else None
        to_map = (3 * c if ppd else C[4]) + (C_edge if not ra else 0)
        self.map_g = _conv(to_map, wiring.ppd_kernels[1] if ppd else 1)
        levels = zip((C[4], C[3], C[2]), wiring.ra, strict=True)
        self.RA = nn.ModuleList(RA(c, C_edge, conv, wiring, unit) for c, conv in levels) if ra else None
        self.unused = None
        if wiring.unused and backbone == "vgg16":
            self.unused = deepcopy(self.backbone.features[self.backbone.starts[3] :])

    def forward(self, I: Tensor):  # B, in_channels, H, W
        size = I.shape[-2:]
        refuse_smaller(size, self.backbone.strides[-1], "Inf-Net")
        f_1, f_2, f_3, f_4, f_5 = self.backbone(I)  # f_1 is not used
        e_att, S_e = self.EA(f_2) if self.EA else (None, None)
        S_g = self.locate(f_3, f_4, f_5, e_att)  # B, 1, H_3, W_3
        maps = [S_g]
        for R, f in zip(self.RA or (), (f_5, f_4, f_3), strict=False):
            maps.insert(0, R(f, maps[0], e_att))  # S_5, S_4, S_3
        if not self.training:
            return self.answer(maps[0], size)
        S, *sides = [self.answer(S, size) for S in maps + ([] if S_e is None else [S_e])]
        return (S, sides) if sides else S

    def locate(self, f_3: Tensor, f_4: Tensor, f_5: Tensor, e_att: Tensor | None) -> Tensor:
        """The global map S_g, (B, 1, H_3, W_3): where infection roughly is."""
        z = f_5
        if self.PPD is not None:
            z = self.PPD(*(reduce(f) for reduce, f in zip(self.reduce, (f_3, f_4, f_5), strict=True)))
        if self.RA is None and e_att is not None:
            z = cat([z, resize(e_att, z.shape[-2:])], 1)
        return self.map_g(z)

    def answer(self, S: Tensor, size: tuple[int, int]) -> Tensor:
        """A map at the input size, (B, num_classes, H, W)."""
        S = resize(S, size)
        return S if self.num_classes == 1 else cat([zeros_like(S), S], 1)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """Inner maps under the paper's names: module, and which of its outputs (None: it has one)."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {name: (self.EA, k) for k, name in enumerate(("e_att", "S_e")) if self.EA is not None}
        maps["S_g"] = (self.map_g, None)
        for i, R in zip((5, 4, 3), self.RA or (), strict=False):
            maps |= {f"A_{i}": (R.reverse, None), f"S_{i}": (R, None)}  # Eqn 3: B, 1, H_i, W_i
        return maps


def _conv(C: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(C, 1, kernel, padding=kernel // 2)


def _one_channel(C: int, kernel: int, wiring: Wiring) -> nn.Module:
    return CB(C, 1, kernel) if wiring.map_bn else _conv(C, kernel)


def _trunk(backbone: str | nn.Module, in_channels: int, imagenet, wiring: Wiring, output_stride, width) -> nn.Module:
    options = {"in_channels": in_channels} | ({"output_stride": output_stride} if output_stride else {})
    options |= {"width": width} if width != WIDTH else {}
    if backbone == "res2net50" and wiring.unused:
        options["classes"] = 1000
    if backbone in ("vgg16", "vgg16_bn"):
        options["pool"] = wiring.vgg_pool
    return trunk(backbone, imagenet, **options)


ABLATIONS: dict[str, dict] = {  # Table IV, methods as printed; parameters, measured
    "Backbone": dict(ppd=False, ra=False, ea=False),  # 25,720,401
    "Backbone+EA": dict(ppd=False, ra=False, ea=True),  # 25,811,539
    "Backbone+PPD": dict(ppd=True, ra=False, ea=False),  # 26,857,841
    "Backbone+RA": dict(ppd=False, ra=True, ea=False),  # 31,409,879
    "Backbone+RA+EA": dict(ppd=False, ra=True, ea=True),  # 31,984,281
    "Backbone+PPD+RA": dict(ppd=True, ra=True, ea=False),  # 32,547,319
    "Backbone+PPD+RA+EA": dict(ppd=True, ra=True, ea=True),  # 33,121,721
}

_PAPER = dict(paper="Fan et al., IEEE TMI 2020", arxiv="2004.14133")


@register(
    "infnet", params=33_121_721, **_PAPER,  # Table II: 33.122M
    notes=("2,049,000 parameters are Res2Net's ImageNet classifier, which takes no part",),
)  # fmt: skip
def infnet(num_classes: int = 1, in_channels: int = 3, **options) -> InfNet:
    return InfNet(num_classes, in_channels, **options)


@register("infnet_resnet50", params=30_911_401, **_PAPER)
def infnet_resnet50(num_classes: int = 1, in_channels: int = 3, **options) -> InfNet:
    return InfNet(num_classes, in_channels, backbone="resnet50", **options)


@register(
    "infnet_vgg16", params=34_278_057, **_PAPER,
    notes=("12,979,200 parameters are a second conv4 and conv5 in the published class, which take no part",),
)  # fmt: skip
def infnet_vgg16(num_classes: int = 1, in_channels: int = 3, **options) -> InfNet:
    return InfNet(num_classes, in_channels, backbone="vgg16", **options)
