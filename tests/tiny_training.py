"""A training of a second: discs of 24 pixels, a network of two layers."""

from dataclasses import replace

import torch
from torch import nn

from covidseg.data.case import Case, CaseDataset
from covidseg.data.transforms import Scale
from covidseg.papers.infnet import INFNET_QUICK, SoftSlices
from covidseg.training import CrossEntropy, Poly, Recipe, Slices

SIDE = 24
RECIPE = Recipe(
    name="tiny", lr=0.02, epochs=3, batch=4, scales=(Scale(24, 2), Scale(16, 2)), val_size=24,
    schedule=Poly(), feed=Slices(augment="miniseg"), objective=CrossEntropy(),
)  # fmt: skip
SOFT = replace(
    INFNET_QUICK, name="tiny soft", lr=0.02, batch=4, feed=SoftSlices(24, order="batch"), val_size=24,
    scales=(Scale(24, 0), Scale(32, 0)),
)  # fmt: skip


class TinyNet(nn.Module):
    """Two convolutions; with BatchNorm and dropout unless ``plain``; an auxiliary output in train()."""

    def __init__(self, plain=False, width=6):
        super().__init__()
        self.body = nn.Conv2d(3, width, 3, padding=1)
        self.extras = nn.Identity() if plain else nn.Sequential(nn.BatchNorm2d(width), nn.Dropout2d(0.2))
        self.head, self.aux = nn.Conv2d(width, 2, 1), nn.Conv2d(width, 2, 1)

    def forward(self, x):
        f = self.extras(self.body(x)).relu()
        return (self.head(f), [self.aux(f)]) if self.training else self.head(f)


def tiny_net(plain=False, seed=0, width=6):
    torch.manual_seed(seed)
    return TinyNet(plain, width)


def disc(number: int, intensity: str = "grey") -> Case:
    """A bright disc, the lesion, on a dark noisy ground."""
    g = torch.Generator().manual_seed(number)
    row, column = torch.randint(6, SIDE - 6, (2,), generator=g).tolist()
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    mask = ((y - row) ** 2 + (x - column) ** 2 <= 16).to(torch.uint8)
    image = torch.randint(0, 60, (SIDE, SIDE), generator=g) + 150 * mask
    image = image.float() if intensity == "grey" else image * 5.37 - 1100
    return Case(f"disc_{number:02d}", f"p{number}", image.float().numpy(), mask.numpy(), intensity, spacing=(1.0, 1.0))


def discs(first: int = 0, count: int = 10, intensity: str = "grey") -> CaseDataset:
    numbers = {f"disc_{n:02d}": n for n in range(first, first + count)}
    return CaseDataset(
        "discs", list(numbers), [f"p{n}" for n in numbers.values()], lambda i: disc(numbers[i], intensity)
    )
