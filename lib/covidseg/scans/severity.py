"""How much of the lungs is involved and the grade that follows, with definition, source, and what they are not."""

from collections.abc import Sequence
from dataclasses import dataclass

from covidseg.scans.findings import LungFinding

__all__ = ["DEFINITION", "GRADES", "LIMITS", "Severity", "severity"]

# largest share that a grade still holds; the grades of MosMedData (Morozov et al. 2020, arXiv 2005.06465)
GRADES = {"CT-0": 0.0, "CT-1": 0.25, "CT-2": 0.5, "CT-3": 0.75, "CT-4": 1.0}
DEFINITION = (
    "Share: marked voxels inside the lung mask, divided by all voxels of the lung mask. "
    "Grade: CT-0 for none, CT-1 up to 25 %, CT-2 up to 50 %, CT-3 up to 75 %, CT-4 above; the shares are those of "
    "MosMedData (Morozov et al. 2020, arXiv 2005.06465), where radiologists estimated them by eye."
)
LIMITS = (
    "It is not the CT severity score of 0 to 25 (Pan et al., Radiology 2020; 295: 715-721), which adds points of the "
    "five lobes: no lobes are known here. It counts faint and dense infection alike, as a network drew them, and knows "
    "nothing of the patient. It is no clinical grade."
)


@dataclass(frozen=True)
class Severity:
    """share : of both lungs, 0..1; grade : a name in GRADES; worst : the lung with the larger share, where known"""

    share: float
    grade: str
    worst: LungFinding | None = None

    def line(self) -> str:
        """For people.

        >>> severity(0.26).line()
        '26.0% of the lungs, grade CT-2 of CT-0 to CT-4'
        """
        worst = (
            f", most in the {self.worst.side} ({self.worst.infected_share:.1%})" if self.worst and self.share else ""
        )
        return f"{self.share:.1%} of the lungs, grade {self.grade} of CT-0 to CT-4{worst}"


def severity(share: float | None, lungs: Sequence[LungFinding] = ()) -> Severity | None:
    """The grade of a share of both lungs, 0..1; None where no lung mask tells it. See DEFINITION and LIMITS.

    >>> [severity(share).grade for share in (0, 0.001, 0.25, 0.5, 0.76)]
    ['CT-0', 'CT-1', 'CT-1', 'CT-2', 'CT-4']
    """
    if share is None:
        return None
    if not 0 <= share <= 1:
        raise ValueError(f"a share of the lungs is 0 to 1, not {share}")
    grade = next(name for name, most in GRADES.items() if share <= most)
    return Severity(float(share), grade, max(lungs, key=lambda lung: lung.infected_share) if lungs else None)
