"""Sets whose training and scored parts come from elsewhere; volumes at another spacing."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

from covidseg.data import data_set, load_dataset
from covidseg.errors import UserError
from covidseg.metrics.surface import all_distances, boundary, directed_distances
from covidseg.papers.chsnet.data import PATIENTS, fold_of_patient
from covidseg.papers.covidsegnet.data import MA_FOLDS, TESTED


def test_distances_of_volumes_are_the_distance_transforms():
    noise = np.random.default_rng(0)
    for spacing in ((0.7, 0.7, 6.0), (1.0, 1.0, 1.0)):
        a, b = (gaussian_filter(noise.normal(size=(40, 40, 12)), 3) > 0.02 for _ in range(2))
        there, back = directed_distances(a, b, spacing, "boundary")
        a, b = boundary(a), boundary(b)
        np.testing.assert_allclose(there, distance_transform_edt(~b, sampling=spacing)[a], rtol=1e-12)
        np.testing.assert_allclose(back, distance_transform_edt(~a, sampling=spacing)[b], rtol=1e-12)
        assert all_distances(a, b, spacing=spacing)["hausdorff"] == max(there.max(), back.max())


def test_covidsegnet_tests_the_people_whom_chsnet_tests():
    groups = {"_".join(who.split("_")[:2]) for who in TESTED}
    assert groups == set(PATIENTS[0]) and all(fold_of_patient(who) == 0 for who in TESTED)


def test_mas_folds_hold_every_volume_once():
    everyone = [volume for group in MA_FOLDS.values() for volume in group]
    assert len(everyone) == len(set(everyone)) == 20


@pytest.mark.parametrize("own", ["ct100", "p9", "p20"])
def test_nobody_trains_who_is_scored_elsewhere(own, mirror):
    train, scored = (load_dataset(f"across_{own}", split, 1, mirror=mirror) for split in ("train", "val"))
    assert not set(train.ids) & set(scored.ids)
    known = set(load_dataset(own, mirror=mirror).patients) - {""}
    others = {who for i, who in zip(scored.ids, scored.patients, strict=True) if not i.startswith(f"{own}_")}
    assert not known & others and {i.partition("_")[0] for i in scored.ids} == {"ct100", "p9", "p20"}
    assert not (set(train.patients) & set(scored.patients)) - {""}


def test_volumes_are_parted_by_people(mirror):
    train, test = (load_dataset("covidsegnet_patients", split, mirror=mirror) for split in ("train", "test"))
    assert not set(train.patients) & set(test.patients) and (len(train), len(test)) == (9, 4)
    assert train[0].depth == 39 and data_set("covidsegnet_patients").unseen
    few, many = (load_dataset(f"p20_ma_{name}", "train", 4, mirror=mirror).ids for name in ("4_16", "16_4"))
    assert set(few) == {"coronacases_003", "radiopaedia_27_86410_0"} and not set(few) & set(many)
    with pytest.raises(UserError, match="single slices"):
        load_dataset("across_ct100", volumes=True)
