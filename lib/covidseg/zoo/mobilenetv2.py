"""MobileNetV2: inverted residuals and linear bottlenecks (Sandler et al., CVPR 2018, arXiv 1801.04381).

The encoder is in backbones/mobilenetv2.py (read it beside Figure 3 and Tables 1 and 2), with the 1280 channels of its
last convolution. The decoder of MiniSeg's benchmark takes them from there to half the image's size.
"""

from covidseg.nn.registry import register
from covidseg.zoo._configs import configured
from covidseg.zoo._with_decoder import CONFIGS, WithDecoder, table_5

IDEA = "a block widens a thin map, filters each channel by itself, and narrows it again without an activation"


@register(
    "mobilenetv2", paper="Sandler et al., CVPR 2018", arxiv="1801.04381", params=2_366_114,
    notes=(IDEA, table_5(2_223_872)),  # printed: 2.17M of 1,024,000
)  # fmt: skip
def mobilenetv2(num_classes: int = 2, in_channels: int = 3, *, config: str = "released", **options) -> WithDecoder:
    chosen = configured("mobilenetv2", CONFIGS, config, {"backbone": "mobilenetv2", **options})
    return WithDecoder(num_classes, in_channels, **chosen)
