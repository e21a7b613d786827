"""What the inner maps of RAIU-Net and CHS-Net mean, for the captions of the attention explorer (`Paper.maps`).

CHS-Net's own maps carry the part in front, as in infection/A_s/E_2; one pattern serves both networks.
"""

from covidseg.paper import MapKind

__all__ = ["MAPS"]


def _both(pattern: str, note: str, *, word: str = "channel", **options) -> tuple[MapKind, MapKind]:
    return tuple(MapKind(prefix + pattern, word, note, **options) for prefix in ("", "*/"))


MAPS = (
    MapKind("contour", "channel", "The lung contour map: the slice where the first network sees lung, 0 elsewhere."),
    *_both("A_d/*", "Eqn 8, the depth gate: one weight per channel of this map, read from its mean.", unit=True),
    *_both("A_s/*", "Eqn 11, the spatial gate: near 1 where this skip hands its map on.", unit=True),
    *_both("F_d/*", "Eqn 9: the map after the depth gate and a 1x1 convolution."),
    *_both("F_s/*", "Eqn 12: the map after both gates, as the decoder reads it."),
    *_both("max/*", "The first half of hybrid pooling: the largest of each 2 x 2 pixels."),
    *_both("spectral/*", "The second half of hybrid pooling: the low frequencies, cut to half the size."),
    *_both("P_h/*", "Hybrid pooling: max and spectral pooling mixed by a 1x1 convolution."),
    *_both("P_1", "The answer, as probability.", word="class", unit=True, logits=True),
    *_both("E_*", "Output of a residual inception block of the encoder; E_5 is the bottleneck."),
    *_both("D_*", "Output of a residual inception block of the decoder."),
)
