"""COVID-SegNet: a deep 3-D network for COVID-19 chest CT (Yan et al., arXiv 2004.10987; IEEE Trans. Big Data 2021).

Read this file beside section III.A and Figure 2; the feature variation block FV (Figure 3, Eqns 1-4) and PASPP
(Figure 4, Eqns 6-9) are in ``blocks``. E_k are the encoder's layers, D_k the decoder's; B is the batch.

There is no released program, and the text leaves open where FV sits and how wide it is. Each such point is one field of
``Wiring`` (wiring.py).
"""

from torch import Tensor, cat, nn

from covidseg.errors import UserError, unknown_name
from covidseg.nn.registry import register
from covidseg.papers.covidsegnet.blocks import ASPP, FV, Res, down, grown, up
from covidseg.papers.covidsegnet.predictor import asked
from covidseg.papers.covidsegnet.wiring import Wiring, choose_wiring

FVS = {  # rows of Table II: what of FV's two branches there is beside the identity
    "fv": dict(contrast="scalar", position=True),
    "cab": dict(contrast="channels", position=False),
    "ceb": dict(contrast="scalar", position=False),
    "psb": dict(contrast="", position=True),
    "none": None,
}
CONTEXTS = ("paspp", "resaspp", "aspp", "res")
HALVED = 8  # sides are halved three times


class Layer(nn.Module):
    """E_k: from the layer before, (B, C, H, W, D), to (B, C_out, H/2, W/2, D/2); the first keeps its size.

    fv : None, or the FV block, which comes before ("pre") or after ("post") the body
    """

    def __init__(self, halve: nn.Module, fv: nn.Module | None, body: nn.Module, fv_at: str):
        super().__init__()
        self.down, self.fv_at = halve, fv_at
        if fv_at == "post":  # in the order of use: E_1's first convolution tells how many channels a patch has
            self.body, self.fv = body, fv
        else:
            self.fv, self.body = fv, body

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        x = self.fv(x) if self.fv is not None and self.fv_at == "pre" else x
        x = self.body(x)
        return self.fv(x) if self.fv is not None and self.fv_at == "post" else x


class COVIDSegNet(nn.Module):
    """COVID-SegNet, Figure 2: (B, in_channels, H, W, D) patches, greys 0..1 -> logits (B, num_classes, H, W, D).

    Sides that 8 does not divide are filled up with the border's own values, and the answer is cut. The paper's patch is
    128 x 128 x 64. Softmax of the logits are the probabilities ("the last layer is a softmax"; section III.A has a
    sigmoid).

    width : channels of E_1, doubled by each layer: 64, 128, 256, 512.
    fv, context : rows of Table II, ready in ``ABLATIONS``: "fv", "cab", "ceb", "psb" or "none" in the encoder; "paspp",
    "resaspp", "aspp" or "res", a residual block, in E_4.
    wiring : "paper", "post", "before" or a ``Wiring``; fv_at, fv_width : these two of its fields by themselves.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 1, *, width: int = 64, fv: str = "fv", context: str = "paspp",
        wiring: str | Wiring = "paper", fv_at: str | None = None, fv_width: str | None = None,
    ):  # fmt: skip
        super().__init__()
        _check(width, fv, context)
        self.wiring = wiring = choose_wiring(wiring, fv_at=fv_at, fv_width=fv_width)
        post, early = wiring.fv_at == "post", wiring.fv_at == "pre" and wiring.fv_width == "before"
        w = [width * 2**k for k in range(4)]  # 64, 128, 256, 512
        w_4 = w[2] if early else w[3]  # the bottleneck's

        def make_fv(C: int) -> nn.Module | None:
            return None if FVS[fv] is None else FV(C, **FVS[fv])

        def make_layer(C: int, C_out: int) -> Layer:
            C_fv = C if early else C_out
            return Layer(down(C, C_fv, wiring), make_fv(C_fv), Res(C_fv, C_out), wiring.fv_at)

        deepest = Res(w_4, w_4) if context == "res" else ASPP(w_4, context, wiring.adds)
        E_1 = Layer(nn.Identity(), make_fv(w[0]) if post else None, Res(in_channels, w[0]), wiring.fv_at)
        E_4 = Layer(down(w[2], w_4, wiring), None if post else make_fv(w_4), deepest, wiring.fv_at)
        self.encoder = nn.ModuleList([E_1, make_layer(w[0], w[1]), make_layer(w[1], w[2]), E_4])
        deeper = (w[1], w[2], w_4)
        self.up = nn.ModuleList(up(C_deep, C, wiring) for C, C_deep in zip(w, deeper, strict=False))
        self.decoder = nn.ModuleList(Res(2 * C, C) for C in w[:3])
        self.head = nn.Conv3d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:  # B, in_channels, H, W, D
        H, W, D = x.shape[2:]
        E = []
        y = grown(x, HALVED)
        for layer in self.encoder:
            y = layer(y)  # E_k: B, 2^(k-1) w, H/2^(k-1), W/2^(k-1), D/2^(k-1)
            E.append(y)
        for k in (2, 1, 0):
            y = self.decoder[k](cat([self.up[k](y), E[k]], 1))  # D_{k+1}: the channels and the size of E_{k+1}
        return self.head(y)[..., :H, :W, :D]

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """Inner maps under the paper's names: F_g/E_k the contrast number of the FV block in E_k, A/E_k its attention
        map, FV/E_k its answer; F_p/t and F_d/t inputs and outputs of the dilated convolution t, F_dd/1 and 2 the pairs
        of Eqn 8; E_k and D_k the layers, P_1 the logits."""
        maps: dict[str, tuple[nn.Module, int | None]] = {}
        for k, layer in enumerate(self.encoder, 1):
            if layer.fv is not None:
                maps |= {f"F_g/E_{k}": (layer.fv.F_g, None)} if layer.fv.F_g is not None else {}  # (2)
                maps |= {f"A/E_{k}": (layer.fv.A, None)} if layer.fv.A is not None else {}  # (4)
                maps[f"FV/E_{k}"] = (layer.fv, None)  # (1)
            if isinstance(layer.body, ASPP):
                maps |= {f"F_p/{t}": (conv, None) for t, conv in enumerate(layer.body.squeeze, 1)}
                maps |= {f"F_d/{t}": (conv, None) for t, conv in enumerate(layer.body.dilated, 1)}  # (6)
                maps |= {f"F_dd/{k}": (pair, None) for k, pair in enumerate(layer.body.pairs or (), 1)}  # (8)
            maps[f"E_{k}"] = (layer, None)
        maps |= {f"D_{k + 1}": (self.decoder[k], None) for k in (2, 1, 0)}
        return maps | {"P_1": (self.head, None)}


def _check(width: int, fv: str, context: str) -> None:
    if width < 2:
        raise UserError(f"width is {width}; it counts the channels of E_1: 2 or more, the paper's 64.")
    if fv not in FVS:
        raise unknown_name("value of COVID-SegNet's fv", fv, FVS)
    if context not in CONTEXTS:
        raise unknown_name("value of COVID-SegNet's context", context, CONTEXTS)


@register(
    "covid_segnet", paper="Yan et al., IEEE Transactions on Big Data 2021", arxiv="2004.10987", params=70_286_917,
    dimensions=3, notes=("the paper prints no number of parameters",),
)  # fmt: skip
def covid_segnet(num_classes: int = 2, in_channels: int = 1, *, outputs: str = "infection", **options) -> COVIDSegNet:
    """outputs : what its classes are, see `covidseg.papers.covidsegnet.predictor`."""
    return asked(COVIDSegNet(num_classes, in_channels, **options), outputs, num_classes)
