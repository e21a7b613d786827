"""Rows of COVID-SegNet's Table II: a row is a dict of what differs from the whole network.

Table II ticks "UNet4" in all nine rows; rows 2 to 8 tick one box more, row 9 ticks FV and PASPP. A block of context
stands in place of E4's residual block, as the whole network has it, so it makes the network smaller. All rows keep
residual blocks elsewhere. Parameters with two classes at width 64, 16 and 8; multiply-accumulates at 64 x 64 x 32.
"""

__all__ = ["ABLATIONS", "READINGS"]

_PLAIN = dict(fv="none", context="res")

ABLATIONS: dict[str, dict] = {
    "UNet4": dict(_PLAIN),  # 35,130,370, 2,197,762, 550,146; 130.78 G, 8.22 G, 2.07 G
    "UNet4 + CAB": dict(_PLAIN, fv="cab"),  # 54,230,626, 3,392,410, 849,102; 156.62 G, 9.84 G, 2.47 G
    "UNet4 + CEB": dict(_PLAIN, fv="ceb"),  # 54,143,941, 3,386,869, 847,677; 156.62 G, 9.84 G, 2.47 G
    "UNet4 + PSB": dict(_PLAIN, fv="psb"),  # 72,639,618, 4,543,266, 1,136,914; 181.98 G, 11.42 G, 2.87 G
    "UNet4 + FV": dict(_PLAIN, fv="fv"),  # 82,015,813, 5,129,365, 1,283,469; 194.67 G, 12.21 G, 3.07 G
    "UNet4 + ASPP": dict(_PLAIN, context="aspp"),  # 23,269,378, 1,456,642, 364,930; 127.74 G, 8.03 G, 2.02 G
    "UNet4 + ResASPP": dict(_PLAIN, context="resaspp"),  # 23,269,378, 1,456,642, 364,930; 127.74 G, 8.03 G, 2.02 G
    "UNet4 + PASPP": dict(_PLAIN, context="paspp"),  # 23,401,474, 1,465,090, 367,106; 127.78 G, 8.03 G, 2.02 G
    "UNet4 + FV + PASPP": {},  # 70,286,917, 4,396,693, 1,100,429; 191.66 G, 12.03 G, 3.02 G
}

READINGS: dict[str, dict] = {  # where FV sits and how wide it is, which the paper does not decide
    "FV after the residual blocks": dict(fv_at="post"),  # 35,124,517, 2,198,413, 550,649; 255.55 G, 16.02 G, 4.02 G
    "FV before the doubling": dict(fv_width="before"),  # 28,146,853, 1,761,901, 441,385; 134.42 G, 8.45 G, 2.13 G
}
