"""MobileNets: efficient convolutional networks for mobile vision applications (Howard et al. 2017, arXiv 1704.04861).

The encoder is in backbones/mobilenet.py (read it beside Figure 2 and Table 1). The decoder of MiniSeg's benchmark takes
its 1024 channels to half the image's size.
"""

from covidseg.nn.registry import register
from covidseg.zoo._configs import configured
from covidseg.zoo._with_decoder import CONFIGS, WithDecoder, table_5

IDEA = "a convolution is taken apart into one filter a channel and a 1x1 mixture of channels"


@register(
    "mobilenet", paper="Howard et al., arXiv 2017", arxiv="1704.04861", params=4_274_626,
    notes=(IDEA, table_5(3_206_976)),  # printed: 3.13M of 1,024,000
)  # fmt: skip
def mobilenet(num_classes: int = 2, in_channels: int = 3, *, config: str = "released", **options) -> WithDecoder:
    chosen = configured("mobilenet", CONFIGS, config, {"backbone": "mobilenet", **options})
    return WithDecoder(num_classes, in_channels, **chosen)
