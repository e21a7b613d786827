"""Two experts on the same scans: computed where both sets are, read where they are not."""

import numpy as np
import pytest

from covidseg.data import experts
from covidseg.data.shelf import Opened


def opened(mask, first):
    return Opened(mask, mask, None, "grey", (1.0, 1.0, 1.0), tuple(range(first, first + mask.shape[2])))


def test_slices_of_equal_number_are_compared_on_the_coarser_grid():
    fine = np.zeros((8, 8, 3), np.uint8)
    fine[0:4, 0:4, 1] = 1  # on the coarser grid 2 x 2
    fine[4:8, 4:8, 1] = 3  # fluid does not count
    coarse = np.zeros((4, 4, 2), np.uint8)
    coarse[0:2, 0:3, 0] = 2
    ((a, b),) = experts._shared_slices(opened(fine[:, :, :2], first=5), opened(coarse, first=6))
    assert a.shape == b.shape == (4, 4) and a.sum() == 4 and b.sum() == 6 and (a <= b).all()


@pytest.mark.mirror
def test_the_mirror_gives_the_stored_numbers(mirror):
    found = experts.two_experts(mirror=mirror)
    stored = {pair.patient: pair for pair in experts.recorded("p20")}
    for pair in found:
        assert pair.dice == pytest.approx(stored[pair.patient].dice, abs=1e-3)
        assert pair.slices == stored[pair.patient].slices and pair.areas > 1.4


def test_the_stored_numbers_are_those_of_three_scans_and_stand_under_both_sets():
    dice = {pair.patient: pair.dice for pair in experts.recorded("p9")}
    expected = {"radiopaedia_4_85506": 0.745, "radiopaedia_27_86410": 0.741, "radiopaedia_36_86526": 0.640}
    assert dice == pytest.approx(expected, abs=0.005)  # measured a second time, on another grid
    assert experts.yardstick("p9") == experts.yardstick("p20") != "" and experts.yardstick("ct100") == ""
