"""A small 3-D network with a map worth a look, for the tests of volumes."""

import torch
from torch import nn


class Toy3D(nn.Module):
    """Encoder and decoder with one attention map: planes halved twice, slices once."""

    def __init__(self, classes=2, channels=1):
        super().__init__()
        self.first = nn.Sequential(nn.Conv3d(channels, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU())
        self.down = nn.Conv3d(4, 8, 3, stride=2, padding=1)
        self.lower = nn.Conv3d(8, 8, 3, stride=(2, 2, 1), padding=1)
        self.attend = nn.Sequential(nn.Conv3d(8, 8, 1), nn.Sigmoid())
        self.up = nn.ConvTranspose3d(8, 4, (4, 4, 2), stride=(4, 4, 2))
        self.head = nn.Conv3d(8, classes, 1)

    def forward(self, x):  # B, 1, H, W, D
        f = self.first(x)
        low = self.lower(self.down(f).relu())  # B, 8, H/4, W/4, D/2
        return self.head(torch.cat([f, self.up(low * self.attend(low))], 1)), low

    def named_maps(self):
        return {"G/E_1_1": (self.attend, None), "X_1": (self.first, None)}


def toy(**options):
    torch.manual_seed(0)
    return Toy3D(**options).eval()
