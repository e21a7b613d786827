"""ShuffleNet: an extremely efficient CNN for mobile devices (Zhang et al., CVPR 2018, arXiv 1707.01083).

The encoder, 1x with three groups, is in backbones/shufflenet.py (read it beside Figure 2 and Table 1). The decoder of
MiniSeg's benchmark takes its 960 channels to a quarter of the image's size, where the max-pooled stem is.
"""

from covidseg.nn.registry import register
from covidseg.zoo._configs import configured
from covidseg.zoo._with_decoder import CONFIGS, WithDecoder, table_5

IDEA = "1x1 convolutions work in groups, and a shuffle hands each group's channels on to all groups"


@register(
    "shufflenet", paper="Zhang et al., CVPR 2018", arxiv="1707.01083", params=1_805_162,
    notes=(IDEA, table_5(916_920)),  # printed: 0.92M
)  # fmt: skip
def shufflenet(num_classes: int = 2, in_channels: int = 3, *, config: str = "released", **options) -> WithDecoder:
    chosen = configured("shufflenet", CONFIGS, config, {"backbone": "shufflenet", "finest": 2, **options})
    return WithDecoder(num_classes, in_channels, **chosen)
