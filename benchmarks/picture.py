"""Draw docs/speed.png from history.json: each claim's last ratio to its reference, and what was asked of it.

python benchmarks/picture.py
"""

from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from _history import latest

PICTURE = Path(__file__).parents[1] / "docs" / "speed.png"
MET, NOT_MET, NOT_ASKED = "#0072b2", "#d55e00", "#888888"
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def main():
    from covidseg.files import write_atomically

    claims = list(latest().values())
    figure, axes = plt.subplots(figsize=(10, 0.5 + 0.34 * len(claims)), layout="constrained")
    for place, claim in enumerate(claims):
        asked, ratio = claim["asked"], claim["ratio"]
        axes.barh(place, ratio, color=colour(claim), height=0.6)
        axes.text(max(ratio, asked or 0) * 1.05, place, label(claim), va="center", fontsize=8, bbox=WHITE)
        if asked is not None:
            axes.plot([asked, asked], [place - 0.42, place + 0.42], color="black", lw=2)
    axes.set_yticks(range(len(claims)), [claim["name"] for claim in claims], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(right=60 * max(claim["ratio"] for claim in claims))
    axes.axvline(1, color="black", lw=0.7)
    axes.set_xticks([0.2, 0.5, 1, 2, 5, 10, 20], ["0.2", "0.5", "1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.set_xlabel("times as fast as the reference; black: asked; blue: met, orange: not, grey: not asked")
    axes.spines[["top", "right"]].set_visible(False)
    picture = BytesIO()
    figure.savefig(picture, dpi=130, metadata={"Software": None})
    write_atomically(PICTURE, lambda file: file.write(picture.getvalue()))
    print(f"{len(claims)} claims in {PICTURE}")


def colour(claim):
    """Whether all that was asked is met: the ratio, and each limit."""
    if claim["asked"] is None and not claim["limits"]:
        return NOT_ASKED
    within = all(claim["numbers"][name] <= limit for name, limit in claim["limits"].items())
    return MET if within and claim["ratio"] >= (claim["asked"] or 0) else NOT_MET


def label(claim):
    """'8.1 x whole frames; 3.4 of 20 seconds for 1,000 pairs'."""
    parts = [f"{claim['ratio']:.2f} x {claim['reference']}"]
    for name, limit in claim["limits"].items():
        parts.append(f"{claim['numbers'][name]:.2g} of {limit:g} {name}")
    return "; ".join(parts)


if __name__ == "__main__":
    main()
