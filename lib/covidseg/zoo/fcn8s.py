"""Fully convolutional networks for semantic segmentation (Long, Shelhamer, Darrell, CVPR 2015, arXiv 1411.4038).

Two networks go by this name. ``FCN8s`` is the paper's, Figure 3: VGG16 with its classifier turned into convolutions,
and three scores added up from strides 32, 16 and 8. Inf-Net's Table III names it. ``DilatedFCN`` is what MiniSeg's
benchmark calls FCN-8s: a VGG16 that keeps stride 8 by dilation, and one score. It has no skips.
"""

from torch import Tensor, arange, nn, no_grad

from covidseg.backbones import trunk
from covidseg.errors import UserError
from covidseg.nn.layers import ConvBNReLU, pointwise, refuse_smaller, resize
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured


def bilinear_kernel(kernel: int) -> Tensor:
    """The filter (kernel, kernel) with which a transposed convolution interpolates bilinearly (section 3.3)."""
    centre = (kernel - 1) / 2
    tent = 1 - (arange(kernel) - centre).abs() / ((kernel + 1) // 2)
    return tent[:, None] * tent[None, :]


class Up2(nn.ConvTranspose2d):
    """Learned upsampling by 2, which starts as bilinear interpolation (section 4.2)."""

    def __init__(self, K: int):
        super().__init__(K, K, 4, 2, padding=1, bias=False)

    def reset_parameters(self) -> None:
        with no_grad():
            self.weight.zero_()
            for k in range(self.in_channels):
                self.weight[k, k] = bilinear_kernel(4)


class Fuse(nn.Module):
    """A skip of Figure 3: the coarser scores (B, K, h, w), doubled, plus the scores of a pool (B, C, H, W)."""

    def __init__(self, C: int, K: int):
        super().__init__()
        self.up, self.score = Up2(K), _score(C, K)

    def forward(self, coarse: Tensor, pool: Tensor) -> Tensor:
        score = self.score(pool)  # B, K, H, W
        return self.up(coarse, output_size=score.shape[-2:]) + score


class FCN8s(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 32.

    fc : channels of the two convolutions that were the classifier; dropout : after each of them. imagenet : a file of
    VGG16's ImageNet weights; with fc=4096 the classifier's numbers are used too, as in the paper.
    Ours: the paper pads the image by 100 pixels and crops the scores; here the 7x7 convolution keeps the size.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, fc: int = 4096, dropout: float = 0.5, imagenet=None
    ):  # fmt: skip
        super().__init__()
        if fc < 1:
            raise UserError(f"fc={fc}: the classifier needs one channel or more.")
        self.backbone = trunk("vgg16", imagenet, in_channels=in_channels)
        C_3, C_4, C_5 = self.backbone.channels[2:]  # 256, 512, 512
        self.pool = nn.MaxPool2d(2)
        fc6, fc7 = nn.Conv2d(C_5, fc, 7, padding=3), nn.Conv2d(fc, fc, 1)
        drop = [nn.ReLU(inplace=True), nn.Dropout2d(dropout)]
        self.classifier = nn.Sequential(fc6, *drop, fc7, *drop)
        self.score, self.fuse_4, self.fuse_3 = _score(fc, num_classes), Fuse(C_4, num_classes), Fuse(C_3, num_classes)
        if imagenet:
            from covidseg.nn.weights import read_tensors

            _convolutionalise(read_tensors(imagenet), {"classifier.0": fc6, "classifier.3": fc7})

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        refuse_smaller(size, 32, "FCN-8s")
        pool3, pool4, pool5 = (self.pool(f) for f in self.backbone(x)[2:])  # strides 8, 16, 32
        P_5 = self.score(self.classifier(pool5))  # FCN-32s: B, K, H/32, W/32
        P_4 = self.fuse_4(P_5, pool4)  # FCN-16s: B, K, H/16, W/16
        P_3 = self.fuse_3(P_4, pool3)  # FCN-8s: B, K, H/8, W/8
        return resize(P_3, size)  # the last step is fixed to bilinear (section 4.3)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk (before each pool), and P_5, P_4, P_3, the scores of FCN-32s, -16s and -8s."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        return maps | {"P_5": (self.score, None), "P_4": (self.fuse_4, None), "P_3": (self.fuse_3, None)}


class DilatedFCN(nn.Module):
    """MiniSeg's "FCN-8s": (B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 16.

    imagenet : a file of ImageNet weights of VGG16 with BatchNorm.
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 3, *, imagenet=None):
        super().__init__()
        self.backbone = trunk("vgg16_bn", imagenet, in_channels=in_channels, output_stride=8)
        last = [nn.Dropout2d(0.1), pointwise(256, num_classes, bias=True)]
        self.head = nn.Sequential(ConvBNReLU(self.backbone.channels[4], 256, bias=True), *last)

    def forward(self, x: Tensor) -> Tensor:
        refuse_smaller(x.shape[-2:], 16, "FCN-8s")
        f_5 = self.backbone(x)[-1]  # B, 512, H/8 - 1, W/8 - 1
        return resize(self.head(f_5), x.shape[-2:])

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk and P_5 the scores."""
        return {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)} | {"P_5": (self.head, None)}


def _score(C: int, K: int) -> nn.Conv2d:
    """1x1 to one score per class; it starts at zero (section 4.3), so the skips come in gently."""
    score = nn.Conv2d(C, K, 1)
    nn.init.zeros_(score.weight)
    nn.init.zeros_(score.bias)
    return score


def _convolutionalise(state: dict, layers: dict[str, nn.Conv2d]) -> None:
    """Numbers of linear layers for convolutions of the same size (section 3.1, Figure 2); others are left alone."""
    for key, conv in layers.items():
        weight = state.get(f"{key}.weight")
        if weight is not None and weight.numel() == conv.weight.numel():
            conv.weight.data.copy_(weight.view_as(conv.weight))
            conv.bias.data.copy_(state[f"{key}.bias"])


CONFIGS: dict[str, dict] = {  # parameters with 2 classes, measured
    "infnet": dict(network=FCN8s),  # 134,270,406; Inf-Net's Table III names FCN8s and prints no count
    "paper": dict(network=DilatedFCN),  # 15,904,066; MiniSeg Table 5: 15.53M of 1,024,000
    "released": dict(network=DilatedFCN),  # the same
}


@register(
    "fcn8s", paper="Long et al., CVPR 2015", arxiv="1411.4038", params=134_270_406,
    notes=("config='paper' is MiniSeg's Table 5, a dilated VGG16 without skips: 15,904,066 parameters",),
)  # fmt: skip
def fcn8s(num_classes: int = 2, in_channels: int = 3, *, config: str = "infnet", **options) -> nn.Module:
    chosen = configured("fcn8s", CONFIGS, config, options)
    return chosen.pop("network")(num_classes, in_channels, **chosen)
