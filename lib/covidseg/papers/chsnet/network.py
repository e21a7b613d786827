"""CHS-Net: hierarchical segmentation of COVID-19 infected CT images (Punn and Agarwal, arXiv 2012.07079).

Read this file beside section 3: CHS-Net is Figure 5, RAIU-Net Figure 6. Its blocks are in ``blocks`` (Figures 7 and 9,
Eqns 3-5), its attention in ``attention`` (Figures 10 and 11, Eqns 8-12), spectral pooling (Eqn 2) in ``spectral``.
E_k are the encoder's maps, D_k the decoder's, S_k the refined skips; B is the batch.

There is no released code, and the text leaves much open. Each point is one field of ``Wiring`` (wiring.py).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, cat, nn

from covidseg.errors import UserError, unknown_name
from covidseg.nn.layers import Double, refuse_smaller
from covidseg.nn.registry import register
from covidseg.papers.chsnet.attention import SSD
from covidseg.papers.chsnet.blocks import RIB, HybridPool
from covidseg.papers.chsnet.wiring import Wiring, choose_wiring

WIDTH = 20  # 4.02 million parameters; the text prints 4.2 and no width, and 20 is the nearest round number
PARTS = ("lungs", "infection")
OUTSIDE = -10.0  # logit of infection outside the lungs, where the wiring cuts it off

_ALLOWED = {"block": ("rib", "double"), "rib_pool": ("hybrid", "max"), "down_pool": ("hybrid", "max"),
            "skip": ("ssd", "plain")}  # fmt: skip


class RAIUNet(nn.Module):
    """RAIU-Net, Figure 6: (B, in_channels, H, W) slices, 0..1 -> logits (B, num_classes, H, W); sides from 16.

    Sides that 16 does not divide are padded on the right and below with the border's own values, and the answer is cut.
    The paper has one channel in and one out: sigmoid of the logit is the probability, of lungs or of infection.

    width : channels of E_1, doubled at every halving; or of E_1..E_5, as (20, 40, 80, 164, 328): 4.2 million.
    block, rib_pool, down_pool, skip : "rib" or U-Net's "double" convolution; pooling inside the block and between
    blocks, "hybrid" or "max"; "ssd" or "plain" skips. Rows of Tables 4 and 5 are ready in ``ABLATIONS``.
    wiring : "paper", "printed", "authors" or a ``Wiring``.
    """

    def __init__(
        self, num_classes: int = 1, in_channels: int = 1, *, width: int | Sequence[int] = WIDTH, block="rib",
        rib_pool="hybrid", down_pool="hybrid", skip="ssd", wiring: str | Wiring = "paper",
    ):  # fmt: skip
        super().__init__()
        _check(block=block, rib_pool=rib_pool, down_pool=down_pool, skip=skip)
        wiring = choose_wiring(wiring)
        self.stages = wiring.stages
        self.widths = w = _widths(width, wiring.stages)

        def make(C: int, C_out: int) -> nn.Module:
            return Double(C, C_out) if block == "double" else RIB(C, C_out, wiring, pool=rib_pool)

        def make_down(C: int) -> nn.Module:
            return nn.MaxPool2d(2) if down_pool == "max" else HybridPool(C, C, "valid", wiring)

        steps = list(zip(w[:-1], w[1:], strict=True))  # (w_k, w_{k+1}), k = 1..4
        self.encoder = nn.ModuleList(make(C, C_out) for C, C_out in zip((in_channels, *w[:-1]), w, strict=True))
        self.down = nn.ModuleList(make_down(C) for C, _ in steps)
        self.SSD = nn.ModuleList(SSD(C, C_deep, wiring) for C, C_deep in steps) if skip == "ssd" else None
        self.up = nn.ModuleList(nn.ConvTranspose2d(C_deep, C, 2, stride=2) for C, C_deep in steps)
        C_skip = [ssd.channels for ssd in self.SSD] if self.SSD else w
        self.decoder = nn.ModuleList(make(C + C_s, C) for C, C_s in zip(w[:-1], C_skip, strict=False))
        self.head = nn.Conv2d(w[0], num_classes, 1)
        self.head_bn = nn.BatchNorm2d(num_classes) if wiring.head_bn else None

    def forward(self, I: Tensor) -> Tensor:  # B, in_channels, H, W
        H, W = I.shape[-2:]
        refuse_smaller((H, W), 2**self.stages, "RAIU-Net")
        E = self.encode(_pad(I, 2**self.stages))
        S = [ssd(*pair) for ssd, pair in zip(self.SSD, zip(E[:-1], E[1:], strict=True), strict=True)] if self.SSD else E
        D = E[-1]
        for k in reversed(range(self.stages)):
            D = self.decoder[k](cat([self.up[k](D), S[k]], 1))  # D_k: B, w_k, H/2^(k-1), W/2^(k-1)
        logits = self.head(D)
        logits = logits if self.head_bn is None else self.head_bn(logits)
        return logits[..., :H, :W]

    def encode(self, x: Tensor) -> list[Tensor]:
        """E_1..E_5, where E_k is (B, w_k, H/2^(k-1), W/2^(k-1)); the last is the bottleneck."""
        E = [self.encoder[0](x)]
        for down, block in zip(self.down, self.encoder[1:], strict=True):
            E.append(block(down(E[-1])))
        return E

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """Inner maps under the paper's names; A_d/E_k and A_s/E_k are the gates of the skip that starts at E_k.

        max/E_k and spectral/E_k are the two halves of hybrid pooling P_h/E_k. A_s is at the size of E_k, upsampled.
        """
        maps = {f"E_{k}": (block, None) for k, block in enumerate(self.encoder, 1)}
        for k, down in enumerate(self.down, 1):
            if isinstance(down, HybridPool):
                maps |= {f"max/E_{k}": (down.max, None), f"spectral/E_{k}": (down.spectral, None)}
                maps[f"P_h/E_{k}"] = (down, None)
        for k, ssd in enumerate(self.SSD or (), 1):
            maps |= {f"A_d/E_{k}": (ssd.depth.descriptor, None), f"F_d/E_{k}": (ssd.depth, None)}  # (8, 9)
            maps |= {f"A_s/E_{k}": (ssd.spatial.up, None), f"F_s/E_{k}": (ssd.spatial, None)}  # (11, 12)
        maps |= {f"D_{k + 1}": (self.decoder[k], None) for k in reversed(range(self.stages))}
        return maps | {"P_1": (self.head if self.head_bn is None else self.head_bn, None)}


class Contour(nn.Module):
    """The lung contour map: what the second network sees of slices I (B, C, H, W), given lung logits (B, 1, H, W).

    "pred" and "gt" multiply by the hard mask, so everything else becomes the darkest grey; "soft" multiplies by the
    probability; "concat" leaves the slice whole and adds the hard mask as a channel.
    floor : the darkest grey, 0 for slices 0..1
    """

    def __init__(self, cascade: str, floor: float = 0.0):
        super().__init__()
        self.cascade, self.floor = cascade, floor

    def forward(self, I: Tensor, lungs: Tensor) -> Tensor:
        mask = lungs.sigmoid() if self.cascade == "soft" else (lungs > 0).to(I.dtype)  # p > 1/2
        return cat([I, mask], 1) if self.cascade == "concat" else self.floor + (I - self.floor) * mask


class CHSNet(nn.Module):
    """CHS-Net, Figure 5: (B, in_channels, H, W) slices, 0..1 -> logits of infection (B, num_classes, H, W).

    lungs, infection : the two RAIU-Nets. They are trained in order, each by its own targets: first ``model.lungs``
    as a network of its own; then the whole, or ``model.infection`` on what ``model.masked`` answers. No gradient
    reaches ``lungs`` through the mask, and ``train()`` leaves it in eval mode, so that the second network is trained
    on the masks that it will meet.
    cascade : what joins the two, the wiring's by default.
        "pred" hard predicted mask; "soft" its probability; "concat" hard mask as a further channel; "gt" a drawn mask,
        for which the call is ``model(slices, mask)``, with mask 0/1 (B, 1, H, W). A mask given replaces the predicted
        one under every cascade.
    floor : the darkest grey of normalised slices, which becomes all that is not lung: 0 for slices 0..1, -2 under
        the kit's plain ``Preprocessing()``
    An empty lung mask leaves the second network an empty slice. Other options go to both networks.
    """

    def __init__(
        self, num_classes: int = 1, in_channels: int = 1, *, cascade: str | None = None, floor: float = 0.0,
        wiring: str | Wiring = "paper", **options,
    ):  # fmt: skip
        super().__init__()
        self.wiring = wiring = choose_wiring(wiring, cascade)
        self.cascade, self.inside = wiring.cascade, wiring.inside
        self.lungs = RAIUNet(1, in_channels, wiring=wiring, **options)
        self.contour = Contour(self.cascade, floor)
        self.infection = RAIUNet(num_classes, in_channels + (self.cascade == "concat"), wiring=wiring, **options)

    def train(self, mode: bool = True) -> "CHSNet":
        super().train(mode)
        self.lungs.eval()
        return self

    def forward(self, I: Tensor, mask: Tensor | None = None) -> Tensor:
        lungs = self.lung_logits(I, mask)
        logits = self.infection(self.contour(I, lungs))  # B, num_classes, H, W
        return _cut(logits, lungs > 0) if self.inside and not self.training else logits

    def masked(self, I: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the infection network sees of slices I: (B, in_channels, H, W), with "concat" one channel more."""
        return self.contour(I, self.lung_logits(I, mask))

    @torch.no_grad()
    def lung_logits(self, I: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits of the lungs, (B, 1, H, W), from the first network or, where given, from a 0/1 mask."""
        if mask is not None:
            if mask.shape != (I.shape[0], 1, *I.shape[-2:]):
                wanted = (I.shape[0], 1, *I.shape[-2:])
                raise UserError(f"The lung mask has shape {tuple(mask.shape)}; slices of this shape want {wanted}.")
            return torch.where(mask > 0, float("inf"), -float("inf"))  # probabilities 1 and 0
        if self.cascade == "gt":
            raise UserError("cascade='gt' masks with drawn lungs: call model(slices, mask), or choose cascade='pred'.")
        return self.lungs(I)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """The maps of `RAIUNet.named_maps`, as lungs/E_1 and infection/E_1, and ``contour`` in between."""
        parts = [{f"{part}/{n}": m for n, m in getattr(self, part).named_maps().items()} for part in PARTS]
        return parts[0] | {"contour": (self.contour, None)} | parts[1]


def _pad(I: Tensor, multiple: int) -> Tensor:
    H, W = I.shape[-2:]
    below, right = -H % multiple, -W % multiple
    return nn.functional.pad(I, (0, right, 0, below), mode="replicate") if below or right else I


def _cut(logits: Tensor, inside: Tensor) -> Tensor:
    """No infection where ``inside``, (B, 1, H, W), is False: far below 0, or with several classes below background."""
    if logits.shape[1] == 1:
        return logits.where(inside, OUTSIDE)
    background, rest = logits[:, :1], logits[:, 1:]
    return cat([background, rest.where(inside, background + OUTSIDE)], 1)


def _widths(width: int | Sequence[int], stages: int) -> tuple[int, ...]:
    widths = tuple(width * 2**k for k in range(stages + 1)) if isinstance(width, int) else tuple(width)
    if len(widths) != stages + 1 or min(widths) < 2:
        levels = f"one number for each of {stages + 1} levels"
        raise UserError(f"width is {width}; give the channels of E_1, 2 or more, or {levels}.")
    return widths


def _check(**options) -> None:
    for option, value in options.items():
        if value not in _ALLOWED[option]:
            raise unknown_name(f"value of RAIU-Net's {option}", value, _ALLOWED[option])


_PAPER = dict(paper="Punn and Agarwal, Neural Processing Letters 2022", arxiv="2012.07079")


@register(
    "raiunet", params=4_022_924, **_PAPER,  # Table 3: 4.2M
    notes=("the paper prints 4.2M and no width: width=(20, 40, 80, 164, 328) has 4.195M",),
)  # fmt: skip
def raiunet(num_classes: int = 1, in_channels: int = 1, **options) -> RAIUNet:
    return RAIUNet(num_classes, in_channels, **options)


@register(
    "chsnet", params=8_045_848, **_PAPER,  # Table 3: 8.4M
    notes=("two RAIU-Nets, trained in order: the 4,022,924 parameters of the lungs' rest in the second training",),
)  # fmt: skip
def chsnet(num_classes: int = 1, in_channels: int = 1, **options) -> CHSNet:
    return CHSNet(num_classes, in_channels, **options)
