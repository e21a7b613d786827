"""The measures, stated again with sets and brute force; the protocols, by loops; the authors' published maps."""

import json
from math import dist, isnan, nan, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from covidseg import metrics
from covidseg.errors import UnknownName, UserError
from covidseg.metrics import NotAMask, segmentation_scores, surface


def points(mask):
    return set(map(tuple, np.argwhere(mask).tolist()))


def border(mask):
    """Set arithmetic: pixels with a neighbour (one step along one axis) that is not in the mask."""
    inside = points(mask)
    steps = [s * np.eye(mask.ndim, dtype=int)[axis] for axis in range(mask.ndim) for s in (1, -1)]
    return {p for p in inside if any(tuple((np.array(p) + s).tolist()) not in inside for s in steps)}


def brute(a, b, spacing, percent):
    """Directed distances by trying every pair, then the larger percentile."""

    def directed(a, b):
        return [min(dist(np.multiply(p, spacing), np.multiply(q, spacing)) for q in b) for p in a]

    return max(np.percentile(directed(a, b), percent), np.percentile(directed(b, a), percent))


def random_pairs(n=6, shapes=((7, 9), (4, 5, 6))):
    rng = np.random.default_rng(0)
    for k in range(n):
        shape, density = shapes[k % len(shapes)], rng.uniform(0.05, 0.6)
        yield rng.random(shape) < density, rng.random(shape) < density


def square(row, col, side=4, size=16):
    mask = np.zeros((size, size), bool)
    mask[row : row + side, col : col + side] = True
    return mask


# ---- overlap ---------------------------------------------------------------------------------------------------


def test_overlap_measures_are_set_arithmetic():
    for pred, truth in random_pairs():
        P, G, everything = points(pred), points(truth), points(np.ones_like(pred))
        assert metrics.dice(pred, truth) == pytest.approx(2 * len(P & G) / (len(P) + len(G)))
        assert metrics.iou(pred, truth) == pytest.approx(len(P & G) / len(P | G))
        assert metrics.sensitivity(pred, truth) == pytest.approx(len(P & G) / len(G))
        assert metrics.precision(pred, truth) == pytest.approx(len(P & G) / len(P))
        assert metrics.specificity(pred, truth) == pytest.approx(len(everything - P - G) / len(everything - G))


def test_dice_is_two_iou_over_one_plus_iou():
    for pred, truth in random_pairs():
        J = metrics.iou(pred, truth)
        assert metrics.dice(pred, truth) == pytest.approx(2 * J / (1 + J))


@pytest.mark.parametrize("name", ["dice", "iou", "sensitivity", "precision"])
def test_zero_over_zero_has_no_value_unless_the_caller_gives_one(name):
    nothing = np.zeros((3, 3), bool)
    assert isnan(getattr(metrics, name)(nothing, nothing))
    assert getattr(metrics, name)(nothing, nothing, empty=1.0) == 1.0


def test_specificity_of_a_full_truth_has_no_value():
    assert isnan(metrics.specificity([0, 1], [1, 1])) and metrics.specificity([0, 1], [1, 1], empty=0.0) == 0.0


def test_confusion_matrices_add_up_to_that_of_the_whole_set():
    rng = np.random.default_rng(1)
    pred, truth = rng.integers(0, 3, (2, 4, 5, 6))
    by_loop = np.zeros((3, 3), int)
    for p, t in zip(pred.ravel(), truth.ravel(), strict=True):
        by_loop[t, p] += 1
    summed = sum(metrics.confusion_matrix(p, t, 3) for p, t in zip(pred, truth, strict=True))
    assert np.array_equal(summed, by_loop)
    expected = [
        len(points(pred == c) & points(truth == c)) / len(points(pred == c) | points(truth == c)) for c in range(3)
    ]
    assert metrics.iou_per_class(by_loop) == pytest.approx(expected)
    assert metrics.mean_iou(by_loop) == pytest.approx(np.mean(expected))


def test_a_class_that_occurs_nowhere_scores_iou_0_as_in_the_published_code():
    assert metrics.iou_per_class([[9, 0], [0, 0]]) == pytest.approx([1, 0])


# ---- surfaces --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["all", "boundary"])
def test_hausdorff_distances_are_those_of_trying_every_pair(which):
    for pred, truth in random_pairs():
        spacing = (0.7, 1.3, 5.0)[: pred.ndim]
        a, b = (points(pred), points(truth)) if which == "all" else (border(pred), border(truth))
        assert metrics.hausdorff(pred, truth, spacing=spacing, points=which) == pytest.approx(brute(a, b, spacing, 100))
        assert metrics.hausdorff95(pred, truth, spacing=spacing, points=which) == pytest.approx(
            brute(a, b, spacing, 95)
        )


def test_average_surface_distance_is_the_mean_over_both_boundaries():
    for pred, truth in random_pairs():
        a, b = border(pred), border(truth)
        nearest = [min(dist(p, q) for q in b) for p in a] + [min(dist(p, q) for p in a) for q in b]
        assert metrics.average_surface_distance(pred, truth) == pytest.approx(np.mean(nearest))


def test_boundary_is_the_set_of_pixels_with_a_neighbour_outside():
    for mask, _ in random_pairs():
        assert points(metrics.boundary(mask)) == border(mask)


@pytest.mark.parametrize("which", ["all", "boundary"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 1.3)])
@pytest.mark.parametrize("cost", [0, 10**6])  # of a tree beside a distance transform: the choice moves no digit
def test_distances_in_a_slice_are_the_full_frames_to_the_last_digit(monkeypatch, which, spacing, cost):
    monkeypatch.setattr(surface, "QUERY", cost)
    monkeypatch.setattr(surface, "ENTRY", cost)
    rng = np.random.default_rng(0)
    for pred, truth in [(square(9, 9), square(1, 0)), *(rng.random((2, 30, 40)) < 0.2 for _ in range(4))]:
        found = surface.directed_distances(pred, truth, spacing, which)
        a, b = (pred, truth) if which == "all" else (metrics.boundary(pred), metrics.boundary(truth))
        for distances, here, there in zip(found, (a, b), (b, a), strict=True):
            assert np.array_equal(distances, distance_transform_edt(~there, sampling=spacing)[here])


def test_all_pixels_and_boundary_differ_where_one_mask_covers_the_others_hole():
    disc, ring = square(0, 0, 9, 9), square(0, 0, 9, 9)
    ring[1:8, 1:8] = False
    assert metrics.hausdorff(disc, ring) == 4  # the centre of the disc is 4 from the ring
    assert metrics.hausdorff(disc, ring, points="boundary") == 0  # the disc's boundary is the ring


def test_one_stray_pixel_moves_hausdorff_but_not_hd95():
    truth = square(2, 2, 24, 40)
    pred = truth.copy()
    pred[39, 39] = True
    assert metrics.hausdorff(pred, truth) == pytest.approx(sqrt(2) * 14)
    assert metrics.hausdorff95(pred, truth) == 0


def test_spacing_turns_pixels_into_millimetres():
    a, b = square(0, 0), square(0, 5)
    assert metrics.hausdorff(a, b) == 5
    assert metrics.hausdorff(a, b, spacing=(9, 0.5)) == 2.5


def test_distance_to_an_empty_mask_is_what_the_caller_says():
    lesion, nothing = square(3, 3), square(0, 0, 0)
    for f in (metrics.hausdorff, metrics.hausdorff95, metrics.average_surface_distance):
        assert isnan(f(nothing, lesion)) and isnan(f(lesion, nothing))
        assert f(nothing, lesion, empty=0.0) == 0.0 and f(nothing, nothing) == 0.0


@pytest.mark.parametrize("spacing", [(1,), (1, 0), (1, nan), (1, 2, 3), "mm", 0.7])
def test_a_wrong_spacing_is_refused(spacing):
    with pytest.raises(UserError, match="spacing"):
        metrics.hausdorff(square(0, 0), square(0, 1), spacing=spacing)


# ---- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "way_out"),
    [
        (np.array([[-2.5, 3.1]]), "logits from -2.5 to 3.1. Take the argmax"),
        (np.array([[0.2, 0.9]]), "probabilities from 0.2 to 0.9. Choose a threshold, e.g. pred > 0.5"),
        (np.array([[0, 255]], np.uint8), "values from 0 to 255. For an 8-bit mask file write pred == 255"),
        (np.array([[0, 3]], np.uint8), "class labels 0 to 3. Choose a class"),
        (np.array([["a", "b"]]), "holds <U1 values"),
    ],
)
def test_what_is_no_mask_is_a_type_error_that_says_what_to_do(wrong, way_out):
    for f in (metrics.dice, metrics.hausdorff, segmentation_scores):
        with pytest.raises(TypeError) as error:
            f(wrong, np.array([[0, 1]]))
        assert isinstance(error.value, NotAMask) and isinstance(error.value, UserError)
        assert way_out in str(error.value) and "\n" not in str(error.value)


def test_nan_is_counted_in_the_error():
    with pytest.raises(UserError, match="pred has NaN in 1 of 2 values"):
        metrics.dice(np.array([[nan, 1.0]]), np.array([[0, 1]]))


def test_shapes_must_agree_and_the_error_names_the_case():
    with pytest.raises(UserError, match=r"case b: pred has shape \(16, 16\) but its target \(9, 9\)"):
        segmentation_scores([square(0, 0)] * 2, [square(0, 0), square(0, 0, 4, 9)], ids=["a", "b"])


def test_misspelt_names_get_a_hint():
    lesion = square(0, 0)
    with pytest.raises(UnknownName, match="Did you mean 'miniseg'"):
        segmentation_scores(lesion, lesion, "minseg")
    with pytest.raises(UnknownName, match="Did you mean 'both_empty'"):
        segmentation_scores(lesion, lesion, both_emty="agree")
    with pytest.raises(UnknownName, match="Did you mean 'agree'"):
        segmentation_scores(lesion, lesion, both_empty="agre")
    with pytest.raises(UnknownName, match="Did you mean 'dice'"):
        segmentation_scores(lesion, lesion)["Dice"]


# ---- the door --------------------------------------------------------------------------------------------------


def test_clean_counts_every_miss_and_false_alarm():
    lesion, nothing = square(4, 4), square(0, 0, 0)
    hit = square(4, 6)  # half of the 16 pixels
    scores = segmentation_scores([hit, nothing, lesion, nothing], [lesion, lesion, nothing, nothing])
    assert [row["dice"] for row in scores.cases[:3]] == [0.5, 0, 0] and isnan(scores.cases[3]["dice"])
    assert scores.counts == {"cases": 4, "missed": 1, "false_alarm": 1, "both_empty": 1}
    assert scores["dice"] == pytest.approx(0.5 / 3)
    assert scores.n == dict(dice=3, iou=3, sensitivity=2, specificity=4, precision=2, hausdorff=1, hd95=1, asd=1)
    assert all(scores.n[name] + scores.undefined[name] == 4 for name in scores.n)
    assert scores["hausdorff"] == 2
    assert scores.pooled["dice"] == pytest.approx(2 * 8 / (32 + 32))  # micro: all pixels in one table


def test_both_empty_can_count_as_agreement():
    nothing = square(0, 0, 0)
    scores = segmentation_scores(nothing, nothing, both_empty="agree")
    assert (scores["dice"], scores["iou"], scores["hausdorff"], scores["asd"]) == (1, 1, 0, 0)
    assert isnan(scores["sensitivity"]) and "Both empty: Dice 1" in scores.rules


def test_distances_can_be_left_out():
    lesion = square(4, 4)
    assert "hd95" not in segmentation_scores(lesion, lesion, distances=False).means
    assert "HD" not in segmentation_scores(lesion, lesion, "miniseg", distances=False).means


def test_a_stack_needs_to_say_whether_it_is_slices_or_a_volume():
    stack = np.stack([square(0, 0), square(1, 1), square(2, 2)])
    with pytest.raises(UserError, match="one volume, or 3 slices"):
        segmentation_scores(stack, stack)
    for hint in ({"per": "slice"}, {"spacing": (1, 1)}, {"protocol": "miniseg"}):
        assert segmentation_scores(stack, stack, **hint).counts["cases"] == 3
    for hint in ({"per": "volume"}, {"spacing": (1, 1, 5)}):
        assert segmentation_scores(stack, stack, **hint).counts["cases"] == 1
    assert segmentation_scores(stack[None], stack[None]).counts["cases"] == 1  # N, H, W, D
    with pytest.raises(UserError, match="drop the channel axis"):
        segmentation_scores(stack[:, None], stack[:, None])


def test_each_case_may_have_its_own_size_and_spacing():
    far = [(square(0, 0), square(0, 5)), (square(0, 0, 4, 20), square(0, 10, 4, 20))]
    scores = segmentation_scores(*zip(*far, strict=True), spacing=[(1, 0.5), (1, 2)])
    assert [row["hausdorff"] for row in scores.cases] == [2.5, 20]
    assert "2 slices of various sizes" in scores.rules and "mm" in scores.rules
    with pytest.raises(UserError, match="spacing has 1 entries, but there are 2 cases"):
        segmentation_scores(*zip(*far, strict=True), spacing=[(1, 1)])


def test_tensors_lists_and_arrays_score_the_same():
    pred, truth = square(2, 2), square(3, 3)
    answers = [
        segmentation_scores(pred, truth),
        segmentation_scores(torch.from_numpy(pred), torch.from_numpy(truth)),
        segmentation_scores(pred.tolist(), truth.tolist()),
        segmentation_scores([pred.astype(float)], [truth.astype(np.uint8)]),
    ]
    assert all(answer.means == answers[0].means for answer in answers)


def test_scores_go_through_json_and_print_their_rules():
    nothing = square(0, 0, 0)
    scores = segmentation_scores([nothing, square(1, 1)], [nothing, square(1, 2)], ids=["x", "y"], spacing=(0.7, 0.7))
    back = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert back["cases"][0]["case"] == "x" and back["cases"][0]["dice"] is None
    assert back["means"] == scores.means and back["undefined"]["dice"] == 1
    text = str(scores)
    assert "both empty 1" in text and scores.rules in text.replace("\n", " ")
    for name in scores.means:
        assert any(line.split()[:1] == [name] for line in text.splitlines())


# ---- the published protocol of MiniSeg -------------------------------------------------------------------------


def miniseg_by_loops(preds, labels):
    """The spec's section 5, image by image, with sets; preds and labels are 8-bit files."""
    rows, table = [], np.zeros((2, 2))
    for pred, label in zip(preds, labels, strict=True):
        for p, g in zip((pred != 0).ravel(), (label == 255).ravel(), strict=True):
            table[int(g), int(p)] += 1
        P, G = points(pred != 0), points(label == 255)
        if not P:
            rows.append((0, 0, 0, 0))
            continue
        rest = pred.size - len(P | G)
        rows.append(
            (
                len(P & G) / len(G),
                rest / (pred.size - len(G)),
                2 * len(P & G) / (len(P) + len(G)),
                brute(P, G, (1, 1), 100),
            )
        )
    ious = [table[c, c] / (table[c].sum() + table[:, c].sum() - table[c, c] + 1e-8) for c in (0, 1)]
    return np.mean(rows, axis=0), np.mean(ious)


def files(seed, n=5):
    rng = np.random.default_rng(seed)
    preds = [(rng.random((9, 8)) < 0.3) * np.uint8(255) for _ in range(n)]
    labels = [np.where(rng.random((9, 8)) < 0.3, 255, rng.integers(0, 255, (9, 8))).astype(np.uint8) for _ in range(n)]
    return preds, labels


def test_miniseg_protocol_is_the_published_evaluation():
    preds, labels = files(0)
    preds[2][:] = 0
    preds[3][preds[3] > 0] = 7  # a soft map: whatever is not zero is foreground
    preds[3][0, 0] = 60
    means, miou = miniseg_by_loops(preds, labels)
    scores = segmentation_scores(preds, labels, "miniseg")
    assert [scores[name] for name in ("SEN", "SPC", "DSC", "HD")] == pytest.approx(means)
    assert scores["mIoU"] == pytest.approx(miou, abs=1e-12)
    masks = segmentation_scores([p != 0 for p in preds], np.stack(labels) == 255, "miniseg")
    assert masks.means == scores.means


def test_a_missed_lesion_has_the_best_hausdorff_distance_in_the_published_protocol():
    lesion = square(4, 4)
    near, missed = square(4, 5), square(0, 0, 0)
    published = segmentation_scores([near, missed], [lesion] * 2, "miniseg")
    assert [row["HD"] for row in published.cases] == [1, 0] and published.counts["missed"] == 1
    assert [published.cases[1][name] for name in ("SEN", "SPC", "DSC")] == [0, 0, 0]


def test_the_published_hausdorff_walks_between_all_pixels_the_clean_one_between_boundaries():
    disc, ring = square(0, 0, 9, 9), square(0, 0, 9, 9)
    ring[1:8, 1:8] = False
    assert segmentation_scores(disc, ring, "miniseg")["HD"] == 4
    assert segmentation_scores(disc, ring)["hausdorff"] == 0


def test_a_label_without_lesion_stops_the_published_protocol_unless_it_is_counted():
    nothing, lesion = square(0, 0, 0), square(4, 4)
    with pytest.raises(UserError, match="case healthy: the label has no lesion"):
        segmentation_scores([lesion], [nothing], "miniseg", ids=["healthy"])
    scores = segmentation_scores([lesion, lesion], [nothing, lesion], "miniseg", empty_truth="count")
    assert scores.undefined == {"SEN": 1, "SPC": 0, "DSC": 0, "HD": 1} and scores["DSC"] == 0.5
    assert segmentation_scores(nothing, nothing, "miniseg").cases[0]["HD"] == 0  # skipped like any empty prediction


def test_the_published_protocol_has_no_millimetres():
    with pytest.raises(UserError, match="leave spacing out"):
        segmentation_scores(square(0, 0), square(0, 0), "miniseg", spacing=(1, 1))


def test_a_dataset_is_the_mean_of_its_folds_with_miou_rounded_first():
    folds = [segmentation_scores(*files(seed, n), "miniseg") for seed, n in ((1, 2), (2, 5), (3, 3))]
    total = metrics.mean_over_folds(folds)
    assert total["DSC"] == pytest.approx(np.mean([fold["DSC"] for fold in folds]))
    assert total["mIoU"] == pytest.approx(np.mean([round(fold["mIoU"], 4) for fold in folds]), abs=1e-15)
    assert total.counts["cases"] == total.n["HD"] == 10
    assert [row["fold"] for row in total.cases] == [1, 1, 2, 2, 2, 2, 2, 3, 3, 3]
    with pytest.raises(UserError, match="different protocols: clean, miniseg"):
        metrics.mean_over_folds([folds[0], segmentation_scores(square(0, 0), square(0, 0))])


# ---- the authors' maps -----------------------------------------------------------------------------------------


def load_png(path):
    from PIL import Image

    return np.asarray(Image.open(path))


def nearest(mask, size):
    """cv2's nearest neighbour: source index floor(i * old / new)."""
    rows, cols = (np.arange(size) * n // size for n in mask.shape)
    return mask[np.ix_(rows, cols)]


def best_crop(picture, mask):
    """The window of a 512 x 512 map in which a lung crop of its label fits best (cross-correlation)."""
    from scipy.signal import fftconvolve

    overlap = fftconvolve(picture.astype(np.float32), mask[::-1, ::-1].astype(np.float32), mode="valid")
    row, col = np.unravel_index(overlap.argmax(), overlap.shape)
    return picture[row : row + mask.shape[0], col : col + mask.shape[1]]


@pytest.mark.mirror
@pytest.mark.parametrize(("volume", "n", "expected"), [(2, 14, 0.842), (5, 45, 0.699), (7, 9, 0.850)])
def test_the_authors_maps_score_their_known_dice_on_p9(mirror, volume, n, expected):
    import nibabel

    labels = np.asarray(nibabel.load(mirror / f"p9/rp_msk/{volume}.nii.gz").dataobj)
    maps = sorted(Path(mirror / "miniseg/SegMaps/COVID-19-P9").glob(f"*/{volume}_*.png"))
    preds = [load_png(path) for path in maps]
    truth = [nearest(labels[:, :, int(path.stem.split("_")[1])].T != 0, 512) for path in maps]
    scores = segmentation_scores(preds, truth, "miniseg", ids=[path.stem for path in maps], distances=False)
    assert scores.counts["cases"] == n
    assert scores["DSC"] == pytest.approx(expected, abs=0.01)


@pytest.mark.mirror
def test_the_authors_maps_score_their_known_dice_on_ct100(mirror):
    folders = ("TrainingSet/LungInfection-Train/Doctor-label/GT", "TestingSet/LungInfection-Test/GT")
    files = [path for folder in folders for path in sorted((mirror / "semiseg/Dataset" / folder).glob("*.png"))]
    truth = [load_png(path).T > 127 for path in files]
    maps = [next((mirror / "miniseg/SegMaps/COVID-19-CT100").glob(f"*/tr_im_{int(f.stem):04d}.png")) for f in files]
    preds = [best_crop(load_png(path) > 0, mask) for path, mask in zip(maps, truth, strict=True)]
    scores = segmentation_scores(preds, truth, ids=[path.stem for path in maps], distances=False)
    assert scores.counts == {"cases": 98, "missed": 0, "false_alarm": 0, "both_empty": 0}
    assert scores["dice"] == pytest.approx(0.767, abs=0.01)


# ---- the exercises of notebook 11 -----------------------------------------------------------------------------


def test_the_exercises_of_11_metrics_take_right_answers_and_refuse_wrong_ones():
    from covidseg.lessons.checks.nb_11_metrics import CHECKS

    iou = 0.7591 / (2 - 0.7591)
    assert CHECKS[1]((iou, 2 * 0.8215 - iou)) == ""
    assert "Dice itself" in CHECKS[1]((0.7591, 0.8839))
    assert "background" in CHECKS[1]((iou, 1.0))

    def fair(pred, truth, spacing):
        return metrics.hausdorff(pred, truth, spacing=spacing, empty=float(np.hypot(*np.multiply(pred.shape, spacing))))

    assert CHECKS[2](fair) == ""
    assert "an empty prediction" in CHECKS[2](lambda p, t, s: metrics.hausdorff(p, t, spacing=s))
    assert "overlapping" in CHECKS[2](lambda p, t, s: fair(p, t, (1, 1)))

    truth, moved = square(4, 4, 10, 32), square(7, 7, 10, 32)
    speck = truth.copy()
    speck[30, 30] = True
    assert CHECKS[3]((truth, speck, moved)) == ""
    assert "Dice" in CHECKS[3]((truth, moved, speck)) and "10 are asked" in CHECKS[3]((truth, truth, moved))
