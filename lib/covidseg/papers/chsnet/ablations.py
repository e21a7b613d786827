"""Rows of CHS-Net's Tables 4 (direct) and 5 (hierarchical): a row is a dict of what differs from RAIU-Net.

The same options build `raiunet` for Table 4 and both networks of `chsnet` for Table 5. The paper says neither how wide
its base U-Net is nor what pools inside BU+RIB: here all rows have the same widths and halvings, so that each row adds
one part. Parameters of one network at width 20, and at width 16, which is the authors' usual base.
"""

__all__ = ["ABLATIONS", "READINGS"]

_PLAIN = dict(down_pool="max", skip="plain")

ABLATIONS: dict[str, dict] = {  # modes as printed
    "BU": dict(_PLAIN, block="double"),  # 3,035,621 and 1,943,761
    "BU+RIB": dict(_PLAIN, rib_pool="max"),  # 3,098,969 and 1,999,761
    "BU+RIB+HP": dict(skip="plain"),  # 3,507,670 and 2,261,378
    "BU+RIB+HP+SSD": {},  # 4,022,924 and 2,591,982: RAIU-Net
}

READINGS: dict[str, dict] = {  # other readings, for comparison
    "BU+RIB, hybrid inside": dict(_PLAIN),  # 3,439,370 and 2,217,618: as RCA-IUnet's own ablation has it
    "BU+SSD": dict(down_pool="max", block="double"),  # 3,550,875: the attention alone
    "BU, 64 channels": dict(_PLAIN, block="double", width=64),  # 31,042,369: U-Net as published
    "4.2 million": dict(width=(20, 40, 80, 164, 328)),  # 4,194,674: the count that Table 3 prints
}
