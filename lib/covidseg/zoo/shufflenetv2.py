"""ShuffleNet V2: practical guidelines for efficient CNNs (Ma et al., ECCV 2018, arXiv 1807.11164).

The encoder, 1.0x, is in backbones/shufflenetv2.py (read it beside Figure 3 and Table 5). The decoder of MiniSeg's
benchmark takes its 1024 channels to a quarter of the image's size, where the max-pooled stem is.
"""

from covidseg.nn.registry import register
from covidseg.zoo._configs import configured
from covidseg.zoo._with_decoder import CONFIGS, WithDecoder, table_5

IDEA = "a unit convolves one half of the channels, passes the other on, and shuffles both"


@register(
    "shufflenetv2", paper="Ma et al., ECCV 2018", arxiv="1807.11164", params=1_597_702,
    notes=(IDEA, table_5(1_253_604)),  # printed: 1.22M of 1,024,000
)  # fmt: skip
def shufflenetv2(num_classes: int = 2, in_channels: int = 3, *, config: str = "released", **options) -> WithDecoder:
    chosen = configured("shufflenetv2", CONFIGS, config, {"backbone": "shufflenetv2", "finest": 2, **options})
    return WithDecoder(num_classes, in_channels, **chosen)
