"""Networks whose BatchNorms are not the identity."""

import torch
from torch import nn


def seeded(model, seed=0):
    """Random norms beside the random filters, so that no term is one or zero by luck; eval mode."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            for value in (module.weight.data, module.running_var):
                value.copy_(torch.rand_like(value) + 0.5)
            for value in (module.bias.data, module.running_mean):
                value.copy_(torch.randn_like(value) / 5)
    return model.eval()
