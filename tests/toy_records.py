"""Run records as a real run leaves them, without a run."""

from covidseg.metrics import segmentation_scores
from covidseg.runs.record import make_record


def scores(hit: int = 2):
    """Two cases of 2 x 4 pixels under both protocols; ``hit`` of 4 lesion pixels are found in each."""
    truth = [[[1, 1, 1, 1], [0, 0, 0, 0]]] * 2
    pred = [[[int(k < hit) for k in range(4)], [0, 0, 0, 1]]] * 2
    return {p: segmentation_scores(pred, truth, p, ids=["a", "b"]) for p in ("clean", "miniseg")}


def toy_record(variant="MiniSeg", *, hit=2, seed=0, fold=1, data="phantom", budget="lesson", seconds=10.0, **changes):
    """``hit`` sets the scores of the best epoch; the last finds one pixel fewer."""
    part = {"cases": 2, "fingerprint": "0" * 64}
    facts = dict(
        model="miniseg",
        variant=variant,
        options={},
        data={"name": data, "fold": fold, "options": {}, "train": part, "val": part},
        changed={},
        seed=seed,
        budget=budget,
        recipe={"name": "lesson", "epochs": 16},
        params=82_912,
        macs=481_296_384,
        selections={
            "best": {"epoch": 12, "scores": scores(hit)},
            "last": {"epoch": 16, "scores": scores(hit - 1)},
        },
        provenance={"code": "0.1.0"},
        cost={"seconds": seconds, "device": "cpu", "peak_memory_mb": None},
    )
    return make_record(**facts | changes)
