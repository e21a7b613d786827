"""Which family each network is of, and what to look at in it: the map of `26_model_zoo`. A new one may lack here."""

from dataclasses import dataclass

__all__ = ["FAMILIES", "IDEAS", "Family"]


@dataclass(frozen=True)
class Family:
    """look : what to look at in its members' code and maps."""

    look: str
    names: str = ""


FAMILIES = {
    "U shape": Family(
        "what a skip hands over: the whole map, a gated one, a nested one, or only the places of the maxima",
        "unet unetplusplus attention_unet gated_unet dense_unet segnet multiclass_unet raiunet chsnet",
    ),
    "levels joined": Family(
        "how a coarse map that knows what meets a fine one that knows where: by sum, choice, gate or a learned resize",
        "fcn8s frrn dfn bisenet dupsampling gff infnet infnet_resnet50 infnet_vgg16",
    ),
    "wide view": Family(
        "the last map of the trunk, still an eighth of the image: filters with holes or means over parts look far",
        "pspnet deeplabv3 deeplabv3plus denseaspp encnet",
    ),
    "attention": Family(
        "the product of all pixels with all pixels, N x N numbers, and what each network does to make it smaller",
        "danet ocnet ccnet annnet",
    ),
    "light trunk": Family(
        "a trunk made for telephones: one filter a channel, groups, shuffles; many layers of little work",
        "mobilenet mobilenetv2 shufflenet shufflenetv2 efficientnet",
    ),
    "light by design": Family(
        "how early the map is made small, and how far a few filters with holes then see",
        "enet espnet espnetv2 cgnet edanet lednet miniseg",
    ),
    "others": Family("the file itself: nobody has sorted this network yet"),
}

IDEAS = {
    "unet": "each decoder level gets the encoder's map of its size, so what pooling lost at a border comes back",
    "unetplusplus": "the gap between encoder and decoder is filled with small steps, each fed by all before it",
    "attention_unet": "the decoder tells each skip which of its pixels it wants",
    "gated_unet": "a coarse map gates a finer one: the two are compared on the coarse grid",
    "dense_unet": "every layer of the trunk sees the maps of all layers before it in its block",
    "fcn8s": "a classifier slid over the image is a segmenter: only its coarse answers must be grown",
    "frrn": "one stream stays at full size and is only ever added to; another shrinks, looks, and reports to it",
    "dfn": "a coarse map chooses the channels of the next finer one, so that a region gets one class",
    "bisenet": "detail and context take two paths: a short one at an eighth of the size, a long one that shrinks fast",
    "dupsampling": "label maps are so regular that one learned matrix grows them eightfold, better than a resize",
    "gff": "a gate at each pixel of each level says what it sends to the other levels and what it takes from them",
    "denseaspp": "each filter with holes reads the answers of the smaller ones too, so their reaches add up",
    "deeplabv3plus": "after filters with holes one step of a decoder brings the borders back",
    "annnet": "each pixel looks at 110 means of the map in place of all its pixels",
    "enet": "shrink at once, and work on small maps only; pooling remembers where its values came from",
    "edanet": "dense blocks of cheap filters with holes, 3x1 then 1x3, and no decoder",
    "infnet": "a rough map says where to look; each finer level then studies what is not yet in it",
    "miniseg": "four scales of one cheap filter, each weighed by one number a pixel, on two narrow paths that talk",
    "raiunet": "inception blocks in a U, pooling by frequencies, and gates for channels and for pixels",
    "chsnet": "one network finds the lungs, a second one looks for infection inside them",
}
