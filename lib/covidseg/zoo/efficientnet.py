"""EfficientNet: rethinking model scaling for convolutional networks (Tan and Le, ICML 2019, arXiv 1905.11946).

The encoder, B0 at output stride 8, is in backbones/efficientnet.py (read it beside Table 1). The decoder of MiniSeg's
benchmark passes all its six maps on the way to half the image's size. Unlike the other light encoders it was trained
from scratch, and Table 5 counts all of it, with the ImageNet classifier that no output of it reads.
"""

from covidseg.nn.registry import register
from covidseg.zoo._configs import configured
from covidseg.zoo._with_decoder import WithDecoder

CONFIGS: dict[str, dict] = {"paper": {}, "released": {}}  # 8,573,706 parameters; MiniSeg Table 5: 8.37M of 1,024,000
IDEA = "inverted residuals, found by search, whose channels are weighed by what the whole map holds"


@register(
    "efficientnet", paper="Tan and Le, ICML 2019", arxiv="1905.11946", params=8_573_706,
    notes=(IDEA, "1,693,160 parameters are the unused ImageNet classifier, as in Table 5; classes=None leaves it out"),
)  # fmt: skip
def efficientnet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> WithDecoder:
    chosen = {"backbone": "efficientnet", "classes": 1000, **options}
    return WithDecoder(num_classes, in_channels, **configured("efficientnet", CONFIGS, config, chosen))
