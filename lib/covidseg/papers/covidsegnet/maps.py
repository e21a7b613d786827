"""What the inner maps of COVID-SegNet mean, for the captions of the attention explorer (`Paper.maps`)."""

from covidseg.paper import MapKind

__all__ = ["MAPS"]

DILATED = "Eqn 6: what the dilated convolution makes of F_p; of t = 1 to 4 the dilation is 1, 2, 4, 8."

MAPS = (
    MapKind("F_g/*", "number", "Eqn 2, the contrast number: one for all channels and voxels of this patch.", unit=True),
    MapKind("A/*", "channel", "Eqn 4, the position map: near 1 where FV hands its input on.", unit=True),
    MapKind("FV/*", "channel", "Eqn 1: the feature variation block's input, plus what its three branches make of it."),
    MapKind("F_p/*", "channel", "Input of a dilated convolution: a 1x1x1 to a quarter of E_4's channels."),
    MapKind("F_d/*", "channel", DILATED),
    MapKind("F_dd/*", "channel", "Eqn 8: two branches as one, of small dilations (1) and of large ones (2)."),
    MapKind("P_1", "class", "The answer, one logit for each class; the largest wins."),
    MapKind("E_*", "channel", "Output of a layer of the encoder; E_4 is what PASPP answers."),
    MapKind("D_*", "channel", "Output of a layer of the decoder."),
)
