"""Ready-made builds of one network: where two papers, or a paper and its code, compared different ones.

"paper" and "released" are MiniSeg's benchmark (Qiu et al., AAAI 2021): the build that Table 5 counts, and that of the
published code. "infnet" is the build of Tables II and III of Inf-Net (Fan et al., IEEE TMI 2020).
"""

from covidseg.errors import UserError, unknown_name

__all__ = ["configured", "u_channels"]

U_DEPTH = 5  # resolutions of every U-Net here, so four halvings: sides from 16


def configured(network: str, configs: dict[str, dict], config: str, options: dict) -> dict:
    """The options of a ready-made build with the caller's own laid over them; raises UnknownName."""
    if config not in configs:
        raise unknown_name(f"config of {network}", config, configs)
    return configs[config] | options


def u_channels(width: int) -> list[int]:
    """Channels of the five levels of a U: width times 1, 2, 4, 8, 16; raises UserError for a width below 1."""
    if width < 1:
        raise UserError(f"width={width}: the first level of a U-Net needs one channel or more.")
    return [width * 2**i for i in range(U_DEPTH)]
