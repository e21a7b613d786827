"""A case (one slice or one volume with its mask) and a set of them; every data set is read into these two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from covidseg.errors import UserError

BACKGROUND, GGO, CONSOLIDATION, EFFUSION = range(4)
CLASS_NAMES = ("background", "ground-glass opacity", "consolidation", "pleural effusion")
INFECTION_ONLY, ALL_CLASSES = "infection", "ggo/consolidation/effusion"
CACHE_BYTES = 1 << 30  # cases kept in memory per data set; beyond it they are read again when asked for


def infection_of(mask: np.ndarray) -> np.ndarray:
    """bool, same shape: GGO or consolidation. Effusion is fluid outside the lung tissue and does not count."""
    return (mask == GGO) | (mask == CONSOLIDATION)


@dataclass(frozen=True, eq=False)
class Case:
    """One slice or volume, upright: row 0 is anterior, column 0 the patient's right, slice 0 the feet.

    id : name of the slice or volume within its set; patient : who it belongs to ("" if the set does not say)
    image : float32 (H, W) or (H, W, D), in HU or grey 0..255 as ``intensity`` says
    mask : uint8, same shape: 0 background, 1 GGO (or any infection), 2 consolidation, 3 pleural effusion
    spacing : (row, column[, slice]) in mm; nan where the source does not say
    lung : uint8 mask of the lungs, or None; classes : which classes the annotator could have drawn
    """

    id: str
    patient: str
    image: np.ndarray
    mask: np.ndarray
    intensity: str
    spacing: tuple[float, ...]
    lung: np.ndarray | None = None
    classes: str = INFECTION_ONLY

    def __post_init__(self):
        for name in ("mask", "lung"):
            other = getattr(self, name)
            if other is not None and other.shape != self.image.shape:
                raise UserError(f"Case {self.id}: the {name} is {other.shape}, the image {self.image.shape}.")

    @property
    def infection(self) -> np.ndarray:
        """bool, same shape, see `infection_of`."""
        return infection_of(self.mask)

    @property
    def depth(self) -> int | None:
        """Number of slices of a volume, None for a single slice."""
        return self.image.shape[2] if self.image.ndim == 3 else None

    def slice(self, z: int) -> Case:
        """Slice ``z`` of a volume as a case of its own, called ``<id>_<z, four digits>``."""
        if self.depth is None:
            raise UserError(f"Case {self.id} is a single slice already.")
        if not -self.depth <= z < self.depth:
            raise UserError(f"Case {self.id} has slices 0..{self.depth - 1}; {z} is not among them.")
        lung = None if self.lung is None else self.lung[:, :, z]
        return replace(
            self,
            id=f"{self.id}_{z % self.depth:04d}",
            image=self.image[:, :, z],
            mask=self.mask[:, :, z],
            lung=lung,
            spacing=self.spacing[:2],
        )

    def slices(self, infected_only: bool = False) -> Iterator[Case]:
        """Every slice from the feet up, or only those with infection."""
        for z in range(self.depth):
            if not infected_only or self.infection[:, :, z].any():
                yield self.slice(z)


class CaseDataset(Sequence):
    """A named list of cases, read one at a time and kept in memory while they fit.

    >>> train = load_dataset("phantom", split="train", n=4, size=64)    # doctest: +SKIP
    >>> len(train), train[0].image.shape                                # doctest: +SKIP
    (4, (64, 64))
    """

    def __init__(
        self,
        name: str,
        ids: Sequence[str],
        patients: Sequence[str],
        load: Callable[[str], Case],
        *,
        split: str | None = None,
        fold: int | None = None,
        notes: Sequence[str] = (),
        cache_bytes: int = CACHE_BYTES,
    ):
        """ids and patients run side by side; ``load(id)`` returns the Case; notes : what is missing or stands in."""
        if len(ids) != len(patients) or len(set(ids)) != len(ids):
            raise ValueError(f"{name}: {len(ids)} ids ({len(set(ids))} different) for {len(patients)} patients")
        self.name, self.split, self.fold, self.notes = name, split, fold, tuple(notes)
        self.ids, self.patients = tuple(ids), tuple(patients)
        self._load, self._cache, self._room = load, {}, cache_bytes
        self._fingerprint = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.subset(self.ids[index])
        return self.case(self.ids[index])

    def __repr__(self) -> str:
        where = "".join(f", {k} {v}" for k, v in (("split", self.split), ("fold", self.fold)) if v is not None)
        people = "unknown patients" if "" in self.patients else f"{len(set(self.patients))} patients"
        notes = "".join(f"; {note}" for note in self.notes)
        return f"<{self.name}{where}: {len(self)} cases of {people}{notes}>"

    def case(self, case_id: str) -> Case:
        """The case of that id; read on first use."""
        if case_id not in self._cache:
            case = self._load(case_id)
            size = case.image.nbytes + case.mask.nbytes + (0 if case.lung is None else case.lung.nbytes)
            if size > self._room:
                return case
            self._room -= size
            self._cache[case_id] = case
        return self._cache[case_id]

    def subset(self, ids: Sequence[str]) -> CaseDataset:
        """The same set restricted to ``ids``, in that order."""
        patient_of = dict(zip(self.ids, self.patients, strict=True))
        missing = [i for i in ids if i not in patient_of]
        if missing:
            raise UserError(f"{self.name} holds no case called {missing[0]!r} (of {len(self)} cases).")
        patients = [patient_of[i] for i in ids]
        return CaseDataset(
            self.name, ids, patients, self.case, split=self.split, fold=self.fold, notes=self.notes, cache_bytes=0
        )

    def fingerprint(self) -> str:
        """sha256 (hex) over ids, image and mask of every case: two runs with equal prints saw equal data."""
        if self._fingerprint is None:
            digest = sha256(self.name.encode())
            for case in self:
                digest.update(f"{case.id} {case.patient} {case.intensity} {case.image.shape}".encode())
                digest.update(np.ascontiguousarray(case.image, dtype="<f4"))
                digest.update(np.ascontiguousarray(case.mask, dtype=np.uint8))
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


def lungs_of(cases: Sequence[Case]) -> Sequence[Case]:
    """The same cases, with the lungs in place of the infection, for a network that learns and is scored on lungs.

    Raises UserError for a case without a lung mask, when it is asked for.
    """
    if not isinstance(cases, CaseDataset):
        return [_with_lungs(case) for case in cases]
    name, where = f"{cases.name} lungs", {"split": cases.split, "fold": cases.fold, "notes": cases.notes}
    return CaseDataset(name, cases.ids, cases.patients, lambda i: _with_lungs(cases.case(i)), cache_bytes=0, **where)


def _with_lungs(case: Case) -> Case:
    if case.lung is None:
        raise UserError(f"Case {case.id} has no lung mask: choose a set that has them, such as p9, p20 or a phantom.")
    return replace(case, mask=(case.lung != 0).astype(np.uint8))
