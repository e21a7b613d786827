"""Who trains, who validates, who is tested: the papers' folds beside clean, patient-wise ones.

protocol="paper" is the five published folds (and semiseg's own split): the validation slices choose the
checkpoint and are then reported as the test, so "test" gives the validation slices again. protocol="clean" has
three parts that share no patient where patients are known. data/folds/*.json holds both; no pixels, only names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from covidseg.errors import UserError, unknown_name
from covidseg.fetch.catalog import data_file

FOLDS = (1, 2, 3, 4, 5)
SPLITS = ("train", "val", "test")
PROTOCOLS = ("paper", "clean")

# File stem = slice of ct100. The published code trains on 50 and tests on 48; slices 22 and 48 are in neither.
SEMISEG_TEST = frozenset([*range(6, 10), 18, 21, 36, 38, *range(59, 67), *range(68, 100)])
SEMISEG_LEFT_OUT = frozenset([22, 48])


def check_names(split: str | None, fold: int | None, protocol: str) -> None:
    """Raise UnknownName, with the nearest right one, for a wrong split, fold or protocol."""
    for kind, value, known in (("split", split, SPLITS), ("fold", fold, FOLDS)):
        if value is not None and (value not in known or isinstance(value, bool)):
            raise unknown_name(kind, value, known)
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol", protocol, PROTOCOLS)


@cache
def paper_folds(dataset: str) -> dict[int, tuple[str, ...]]:
    """Fold -> slice ids it validates, as their authors published them for ct100, p9, p20 and p1110.

    >>> [len(ids) for ids in paper_folds("p9").values()]
    [14, 73, 45, 9, 127]
    """
    folds = _read("folds/published.json")[dataset]
    return {int(k): tuple(f"{v}_{z:04d}" for v, r in per.items() for z in parse_ranges(r)) for k, per in folds.items()}


@cache
def clean_folds(dataset: str) -> dict[int, tuple[str, ...]]:
    """Fold -> volumes (p9, p20, p1110), or slices (ct100), that only this fold tests."""
    folds = _read("folds/clean.json")[dataset]
    if folds == "as the paper":
        return {k: tuple(sorted({volume_of(i) for i in ids})) for k, ids in paper_folds(dataset).items()}
    if dataset == "ct100":
        return {int(k): tuple(f"tr_im_{z:04d}" for r in ranges for z in parse_ranges(r)) for k, ranges in folds.items()}
    return {int(k): tuple(volumes) for k, volumes in folds.items()}


def patient_of(dataset: str, volume: str) -> str:
    """The person a volume shows, one name across sets: P9's volumes are Radiopaedia cases that P20 holds too.

    Matched by the authors' published maps and by the correlation of slices of equal number: P9's 4, 5 and 8
    with P20's radiopaedia_4_85506_1, 27_86410_0 and 36_86526_0 reach 0.92, 0.87 and 0.97, other pairs at most 0.65.

    >>> patient_of("p9", "3") == patient_of("p20", "radiopaedia_10_85902_1")
    True
    """
    if dataset == "p20" and volume.startswith("radiopaedia"):
        return volume.rsplit("_", 1)[0]
    if dataset == "p9":
        return _read("folds/clean.json")["patients"]["p9"].get(volume, f"p9_{volume}")
    return volume


def choose(ids: Sequence[str], dataset: str, split: str, fold: int | None, protocol: str) -> list[str]:
    """The ids of one split, in their given order. fold None means 1."""
    fold = 1 if fold is None else fold
    if protocol == "paper":
        return _as_published(ids, dataset, split, fold)
    roles = {fold: "test", fold % len(FOLDS) + 1: "val"}
    part = {member: roles.get(k, "train") for k, members in clean_folds(dataset).items() for member in members}
    return [i for i in ids if part.get(i, part.get(volume_of(i), "train")) == split]


def _as_published(ids: Sequence[str], dataset: str, split: str, fold: int) -> list[str]:
    """The slices that the published lists validate are "val" and "test"; what trains shares no volume with them."""
    validated = set(paper_folds(dataset)[fold])
    if dataset == "ct100":  # tr_im_0048 is in no list; the counters in the checkpoints confirm 99 slices
        return [i for i in ids if (i in validated) == (split != "train") and i != "tr_im_0048"]
    held_out = {volume_of(i) for i in validated}  # no slice of a validated volume trains, listed or not
    if split == "train":
        return [i for i in ids if volume_of(i) not in held_out]
    return [i for i in ids if i in validated or i in held_out]


def volumes_of(dataset: str, split: str, fold: int, protocol: str) -> list[str]:
    """Names of the volumes a split of p9, p20 or p1110 is made of."""
    groups = clean_folds(dataset) if protocol == "clean" else paper_folds(dataset)
    everyone = [volume for k in FOLDS for volume in sorted({volume_of(i) for i in groups[k]})]
    return choose(everyone, dataset, split, fold, protocol)


def choose_own(ids: Sequence[str], split: str, protocol: str) -> list[str]:
    """The set's own 50 / 48 slices ("paper"), or fold 1 of the clean ct100 folds ("clean")."""
    if protocol == "clean":
        return choose(ids, "ct100", split, 1, protocol)
    numbers = {i: int(i.rsplit("_", 1)[1]) for i in ids}
    if split == "val":
        raise UserError(
            "semiseg has no validation slices: its authors' code trains on 50 and tests on 48. Use "
            "protocol='clean', or fold=1..5 for the published folds of ct100."
        )
    wanted = split == "test"
    return [i for i in ids if (numbers[i] in SEMISEG_TEST) == wanted and numbers[i] not in SEMISEG_LEFT_OUT]


def volume_of(slice_id: str) -> str:
    """'study_0255_0012' -> 'study_0255'; a volume's own id is returned as it is."""
    head, _, tail = slice_id.rpartition("_")
    return head if head and len(tail) == 4 and tail.isdigit() and not _is_study(slice_id) else slice_id


def _is_study(name: str) -> bool:
    """'study_0255' ends in four digits without being a slice."""
    return name.startswith("study_") and name.count("_") == 1


def parse_ranges(text: str) -> list[int]:
    """
    >>> parse_ranges("0,6,12-14")
    [0, 6, 12, 13, 14]
    """
    numbers = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


@cache
def _read(name: str) -> dict:
    return json.loads(data_file(name).read_text(encoding="utf-8"))
