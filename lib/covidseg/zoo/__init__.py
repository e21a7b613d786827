"""The rivals of the four papers, one file per network; importing this package enters them in the registry."""

from covidseg.zoo import (  # noqa: F401
    attention_unet,
    deeplabv3plus,
    dense_unet,
    fcn8s,
    gated_unet,
    unet,
    unetplusplus,
)
