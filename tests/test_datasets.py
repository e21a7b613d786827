"""Every set through one door: phantoms, and tiny copies of each real layout made on the spot."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from covidseg import load_dataset
from covidseg.cli import main
from covidseg.data import data_set, list_datasets, splits
from covidseg.data.case import Case, CaseDataset
from covidseg.data.layouts import LAYOUTS
from covidseg.data.phantoms import phantom_seeds
from covidseg.data.prepare import check, prepare
from covidseg.data.splits import choose, clean_folds, paper_folds, patient_of, volume_of
from covidseg.errors import UnknownName, UserError

LPS = np.diag([-0.7, -0.7, 5.0, 1.0])


@pytest.fixture
def mirror_folder(tmp_path, monkeypatch):
    """An empty mirror and an empty data folder, both named by the environment."""
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("COVIDSEG_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("COVIDSEG_DATA", str(tmp_path / "home"))
    return tmp_path / "mirror"


def save_volume(path, upright, affine=LPS):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(upright.transpose(1, 0, 2)), affine), path)


def body(rows, columns, depth, seed):
    """HU with a mark in the first row and column, so that a turned picture would show."""
    hu = np.random.default_rng(seed).integers(-1000, 100, (rows, columns, depth)).astype(np.int16)
    hu[0, 0] = 1234
    return hu


def write_p9(root, volumes, depth=6, infected=(2, 4), top=1):
    for n, name in enumerate(volumes):
        mask = np.zeros((5, 7, depth), np.uint8)
        mask[2, 3, list(infected)] = top
        save_volume(root / f"rp_im/{name}.nii.gz", body(5, 7, depth, n))
        save_volume(root / f"rp_msk/{name}.nii.gz", mask)
        save_volume(root / f"rp_lung_msk/{name}.nii.gz", np.ones((5, 7, depth), np.uint8) * 2)


def write_semiseg(root, train=(0, 5, 49, 50), test=(6, 99)):
    for part, numbers in (
        ("TrainingSet/MultiClassInfection-Train", train),
        ("TestingSet/MultiClassInfection-Test", test),
    ):
        for n in numbers:
            for folder, value, suffix in (("Imgs", 10 * (n % 20), "jpg"), ("GT", 2, "png")):
                picture = np.zeros((5, 8), np.uint8)
                picture[0, :] = value
                path = root / "Dataset" / part / folder / f"{n}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                image = Image.fromarray(picture)
                if suffix == "png":
                    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
                image.save(path)


# ----------------------------------------------------------------------------------------------------------- phantoms


def test_phantoms_need_no_download_and_come_with_everything():
    cases = load_dataset("phantom", n=2, size=64)
    assert [c.id for c in cases] == ["phantom_s0_0000", "phantom_s0_0001"]
    case = cases[0]
    assert case.image.shape == case.mask.shape == case.lung.shape == (64, 64)
    assert (case.image.dtype, case.mask.dtype, case.intensity) == (np.float32, np.uint8, "HU")
    assert case.image.min() < -900 and len(case.spacing) == 2 and case.mask.max() <= 3
    assert cases[0] is cases[0]  # read once
    assert load_dataset("phantom", n=2, size=64).fingerprint() == cases.fingerprint()
    assert load_dataset("phantom", n=2, size=64, seed=1).fingerprint() != cases.fingerprint()


def test_no_two_splits_folds_or_seeds_of_phantoms_share_a_seed():
    asked = [(s, f, seed) for s in (None, "train", "val", "test") for f in (None, 1, 5) for seed in (0, 1, 2)]
    drawn = [n for s, f, seed in asked for n in phantom_seeds(s, f, 50, seed)]
    assert len(set(drawn)) == len(drawn) == 50 * len(asked)


@pytest.mark.parametrize(
    "call, hint",
    [
        (dict(name="phatom"), "Did you mean 'phantom'"),
        (dict(name="p9", split="trian"), "Did you mean 'train'"),
        (dict(name="p9", fold=6), "No fold is called '6'"),
        (dict(name="p9", protocol="papers"), "Did you mean 'paper'"),
        (dict(name="phantom", sise=3), "Did you mean 'size'"),
        (dict(name="semiseg", part="unlabeled"), "Did you mean 'unlabelled'"),
    ],
)
def test_misspelt_names_are_answered_with_the_nearest(call, hint):
    with pytest.raises(UnknownName, match=hint):
        load_dataset(call.pop("name"), **call)


def test_phantoms_of_one_patient_follow_each_other_and_splits_never_share_one():
    train = load_dataset("phantom", split="train", n=4, size=48, per_patient=2, view="body")
    assert [c.patient for c in train] == list(train.patients) and len(set(train.patients)) == 2
    val = load_dataset("phantom", split="val", n=4, size=48, per_patient=2)
    assert not set(train.patients) & set(val.patients)


@pytest.mark.parametrize("options", [dict(per_patient=0), dict(n=0), dict(n=10**6), dict(seed=-1)])
def test_impossible_phantoms_are_refused(options):
    with pytest.raises(UserError, match="Phantoms"):
        load_dataset("phantom", **options)


# -------------------------------------------------------------------------------------------------------------- cases


def test_infection_is_ggo_or_consolidation_and_never_effusion():
    labels = np.array([[0, 1, 2, 3]], np.uint8)
    case = Case("a", "p", labels.astype(np.float32), labels, "HU", (1, 1))
    assert case.infection.tolist() == [[False, True, True, False]]


def test_slices_of_a_volume_are_named_as_miniseg_names_them():
    mask = np.zeros((2, 3, 4), np.uint8)
    mask[0, 0, 2] = 1
    volume = Case("study_0255", "p", mask.astype(np.float32), mask, "HU", (1, 2, 3), lung=mask)
    assert [c.id for c in volume.slices()] == [f"study_0255_000{z}" for z in range(4)]
    only = list(volume.slices(infected_only=True))
    assert [c.id for c in only] == ["study_0255_0002"] and only[0].spacing == (1, 2)
    with pytest.raises(UserError, match=r"slices 0\.\.3; 4"):
        volume.slice(4)
    with pytest.raises(UserError, match="single slice"):
        only[0].slice(0)


def test_a_case_with_a_mask_of_another_shape_is_refused():
    with pytest.raises(UserError, match=r"Case a: the mask is \(2, 2\)"):
        Case("a", "p", np.zeros((3, 3), np.float32), np.zeros((2, 2), np.uint8), "HU", (1, 1))


def test_a_dataset_keeps_what_fits_in_memory_and_reads_the_rest_again():
    reads = []

    def load(case_id):
        reads.append(case_id)
        return Case(case_id, "p", np.zeros((4, 4), np.float32), np.zeros((4, 4), np.uint8), "HU", (1, 1))

    cases = CaseDataset("x", ["a", "b"], ["p", "p"], load, cache_bytes=4 * 4 * 5)  # room for one
    for _ in range(3):
        list(cases)
    assert reads == ["a", "b", "b", "b"]
    assert list(cases[1:].ids) == ["b"] and cases[-1].id == "b"
    with pytest.raises(UserError, match="'c'"):
        cases.subset(["c"])


# -------------------------------------------------------------------------------------------------------------- folds


def test_the_papers_folds_have_the_sizes_its_checkpoints_count():
    sizes = {name: [len(ids) for ids in paper_folds(name).values()] for name in ("ct100", "p9", "p20", "p1110")}
    assert sizes == {
        "ct100": [20, 20, 20, 20, 19],
        "p9": [14, 73, 45, 9, 127],
        "p20": [363, 434, 491, 187, 369],
        "p1110": [132, 163, 154, 164, 172],
    }
    assert "tr_im_0048" not in {i for ids in paper_folds("ct100").values() for i in ids}


@pytest.mark.mirror
def test_the_papers_folds_are_the_file_names_of_the_authors_maps(mirror):
    for name in ("ct100", "p9"):
        for fold, ids in paper_folds(name).items():
            maps = mirror / f"miniseg/SegMaps/COVID-19-{name.upper()}/CrossVal{fold}"
            assert sorted(p.stem for p in maps.glob("*.png")) == sorted(ids)


def test_the_papers_folds_of_the_full_list_match_the_reference(reference):
    recorded = json.loads((reference / "miniseg-folds.json").read_text())
    for name in ("ct100", "p9", "p20", "p1110"):
        for fold, ids in paper_folds(name).items():
            assert sorted(recorded[name.upper()]["folds"][f"CrossVal{fold}"]) == sorted(ids)


def everything(name):
    """Ids of the whole set: slices for ct100, volumes elsewhere."""
    if name == "ct100":
        return [f"tr_im_{z:04d}" for z in range(100)]
    volumes = {v for members in clean_folds(name).values() for v in members}
    return sorted(volumes)


@pytest.mark.parametrize("name", ["ct100", "p9", "p20", "p1110"])
def test_clean_splits_are_disjoint_complete_and_share_no_patient(name):
    ids = everything(name)
    tested = []
    for fold in splits.FOLDS:
        parts = {s: choose(ids, name, s, fold, "clean") for s in splits.SPLITS}
        assert sorted(sum(parts.values(), [])) == sorted(ids)
        assert all(parts.values())
        tested += parts["test"]
        if name != "ct100":
            people = {s: {patient_of(name, v) for v in members} for s, members in parts.items()}
            assert not (
                people["train"] & people["test"] or people["train"] & people["val"] or people["val"] & people["test"]
            )
    assert sorted(tested) == sorted(ids)  # everyone is tested exactly once


def test_the_papers_p9_and_p20_folds_train_on_a_patient_they_validate():
    for name, fold in (("p9", 1), ("p20", 4)):
        ids = everything(name)
        train = {patient_of(name, v) for v in choose(ids, name, "train", fold, "paper")}
        val = {patient_of(name, v) for v in choose(ids, name, "val", fold, "paper")}
        assert train & val == {"radiopaedia_10_85902"}


def test_look_alikes_of_ct100_stay_together_in_clean_folds_and_are_torn_apart_in_the_papers():
    look_alikes = [f"tr_im_{n:04d}" for n in (4, 5, 17, 46, 91, 93)]
    twins = ["tr_im_0010", "tr_im_0043"]  # one slice twice
    for group in (look_alikes, twins):
        assert sum(bool(set(group) & set(ids)) for ids in clean_folds("ct100").values()) == 1
        assert sum(bool(set(group) & set(ids)) for ids in paper_folds("ct100").values()) > 1


@pytest.mark.mirror
def test_slices_10_and_43_of_ct100_are_one_picture(mirror):
    first, second = (load_dataset("semiseg", mirror=mirror).case(i).image for i in ("tr_im_0010", "tr_im_0043"))
    from covidseg.data.transforms import resize_image

    pair = [resize_image(torch.from_numpy(image)[None], 48, antialias=True).ravel() for image in (first, second)]
    assert np.corrcoef(*pair)[0, 1] > 0.99


def test_p9s_patients_1_4_6_8_always_train():
    for fold in splits.FOLDS:
        assert {"1", "4", "6", "8"} <= set(choose(everything("p9"), "p9", "train", fold, "paper"))


def test_an_unlisted_slice_of_a_validated_volume_never_trains():
    ids = ["2_0005", "2_0030", "4_0006"]
    assert choose(ids, "p9", "train", 1, "paper") == ["4_0006"]
    assert choose(ids, "p9", "val", 1, "paper") == choose(ids, "p9", "test", 1, "paper") == ["2_0005"]


@pytest.mark.parametrize(
    "slice_id, volume", [("2_0005", "2"), ("study_0255", "study_0255"), ("coronacases_001", "coronacases_001"),
                         ("study_0255_0012", "study_0255"), ("radiopaedia_10_85902_1", "radiopaedia_10_85902_1")]
)  # fmt: skip
def test_slice_ids_lead_back_to_their_volume(slice_id, volume):
    assert volume_of(slice_id) == volume


# ------------------------------------------------------------------------------------------------------- real layouts


@pytest.mark.parametrize("name", [n for n in list_datasets() if not n.startswith("phantom")])
def test_an_absent_set_says_how_to_get_it(name, mirror_folder):
    files = name if name in LAYOUTS else data_set(name).made_of[0]  # a set made of others says which one it lacks
    message = f"{files} is not on this machine.*COVIDSEG_MIRROR.*'phantom' always works"
    with pytest.raises(UserError, match=message) as e:
        load_dataset(name)
    assert "\n" not in str(e.value)
    if name != "p1110":
        assert f"covidseg data fetch {files}" in str(e.value)


def test_p9_gives_infected_slices_by_their_number_in_the_file(mirror_folder):
    write_p9(mirror_folder / "p9", ["2", "3", "9", "5", "7", "1"], infected=(2, 4))
    cases = load_dataset("p9")
    assert cases.ids[:3] == ("1_0002", "1_0004", "2_0002") and "6 of 9 volumes" in repr(cases)
    case = cases.case("2_0004")
    assert case.image[0, 0] == 1234 and case.image.shape == (5, 7) and np.allclose(case.spacing, 0.7)
    assert case.lung.max() == 1 and case.classes == "infection" and case.patient == "radiopaedia_10_85902"
    assert set(load_dataset("p9", "test", 1, protocol="clean").ids) == {"2_0002", "2_0004", "3_0002", "3_0004"}
    whole = load_dataset("p9", volumes=True)
    assert whole.ids == ("1", "2", "3", "5", "7", "9") and whole[0].image.shape == (5, 7, 6)
    assert len(load_dataset("p9", infected_only=False)) == 36


def test_a_file_stored_head_first_keeps_the_files_slice_numbers(mirror_folder):
    write_p9(mirror_folder / "p9", ["2"])
    for part in ("rp_im", "rp_msk", "rp_lung_msk"):
        path = mirror_folder / f"p9/{part}/2.nii.gz"
        array = np.asanyarray(nib.load(path).dataobj)
        save_volume(path, array[:, :, ::-1].transpose(1, 0, 2), np.diag([-0.7, -0.7, -5.0, 1.0]))
    cases = load_dataset("p9")
    assert sorted(cases.ids) == ["2_0001", "2_0003"]  # 6 slices, counted from the head now
    assert all(case.infection.any() for case in cases)


def test_effusion_alone_is_no_infected_slice_and_shows_which_classes_there_are(mirror_folder):
    write_p9(mirror_folder / "p9", ["2"], infected=(1,), top=3)
    assert len(load_dataset("p9")) == 0
    write_p9(mirror_folder / "p9", ["4"], infected=(1,), top=2)
    assert load_dataset("p9")[0].classes == "ggo/consolidation/effusion"


def test_a_split_whose_volumes_are_not_here_says_which_are_needed(mirror_folder):
    write_p9(mirror_folder / "p9", ["2", "4"])
    with pytest.raises(UserError, match=r"fold 2 \(paper\) needs volume 9, .*it has 2, 4") as error:
        load_dataset("p9", "val", 2)
    assert "\n" not in str(error.value)


def test_p20_numbers_slices_by_slices_csv_where_only_some_were_kept(mirror_folder):
    root = mirror_folder / "p20"
    mask = np.ones((4, 4, 2), np.uint8)
    for name in ("coronacases_003", "radiopaedia_10_85902_1"):
        save_volume(root / f"COVID-19-CT-Seg_20cases/nested/{name}.nii.gz", body(4, 4, 2, 0))
        save_volume(root / f"Infection_Mask/{name}.nii.gz", mask)
    (root / "slices.csv").write_text(
        "volume,index_in_file,slice_in_original_volume\ncoronacases_003,0,41\ncoronacases_003,1,43\n"
    )
    cases = load_dataset("p20")
    assert cases.ids[:2] == ("coronacases_003_0041", "coronacases_003_0043")
    assert cases.patients[-1] == "radiopaedia_10_85902" and cases[0].lung is None
    (root / "slices.csv").write_text("volume,index_in_file,slice_in_original_volume\ncoronacases_003,0,41\n")
    with pytest.raises(UserError, match=r"2 slices, slices\.csv lists 1"):
        list(load_dataset("p20", infected_only=False))


def test_p1110_takes_the_studies_that_have_a_mask(mirror_folder):
    root = mirror_folder / "p1110"
    for n in ("0255", "0258"):
        save_volume(root / f"studies/CT-1/study_{n}.nii.gz", body(4, 4, 3, 0))
    save_volume(root / "studies/CT-1/study_0999.nii.gz", body(4, 4, 3, 0))
    for n in ("0255", "0258"):
        save_volume(root / f"masks/study_{n}_mask.nii.gz", np.ones((4, 4, 3), np.uint8))
    assert set(load_dataset("p1110", volumes=True).ids) == {"study_0255", "study_0258"}
    assert set(load_dataset("p1110", "val", 1, volumes=True).ids) == {"study_0258"}


def test_ct100_numbers_the_slices_of_its_one_file(mirror_folder):
    mask = np.zeros((4, 4, 100), np.uint8)
    mask[1, 1] = 3
    save_volume(mirror_folder / "ct100/tr_im.nii.gz", body(4, 4, 100, 0))
    save_volume(mirror_folder / "ct100/tr_mask.nii.gz", mask)
    assert len(load_dataset("ct100")) == 100
    train, val = load_dataset("ct100", "train", 1), load_dataset("ct100", "val", 1)
    assert (len(train), len(val)) == (79, 20)  # 99: tr_im_0048 is in no fold of the paper
    assert val.case("tr_im_0006").mask.max() == 3


def test_semiseg_pictures_are_transposed_upright_and_keep_their_ct100_number(mirror_folder):
    write_semiseg(mirror_folder / "semiseg")
    cases = load_dataset("semiseg")
    assert cases.ids == ("tr_im_0000", "tr_im_0005", "tr_im_0006", "tr_im_0049", "tr_im_0050", "tr_im_0099")
    case = cases.case("tr_im_0005")
    assert case.image.shape == (8, 5) and case.image[:, 0].mean() > case.image[:, 1:].mean() + 20
    assert case.mask[:, 0].tolist() == [2] * 8 and case.mask[:, 1:].max() == 0 and case.intensity == "grey"
    assert load_dataset("semiseg", "test").ids == ("tr_im_0006", "tr_im_0099")
    clean = [load_dataset("semiseg", s, protocol="clean").ids for s in splits.SPLITS]
    assert sorted(sum(clean, ())) == sorted(cases.ids)
    assert load_dataset("semiseg", "val", 1).ids == ("tr_im_0000", "tr_im_0006")
    with pytest.raises(UserError, match="no validation slices"):
        load_dataset("semiseg", "val")


def test_ct100_falls_back_on_the_crops_and_says_so(mirror_folder):
    write_semiseg(mirror_folder / "semiseg")
    cases = load_dataset("ct100", "val", 1)
    assert cases.ids == ("tr_im_0000", "tr_im_0006") and "crops stand in" in repr(cases)


def test_pseudo_labelled_slices_know_their_volume(mirror_folder):
    folder = mirror_folder / "semiseg/Dataset/TrainingSet/LungInfection-Train/Pseudo-label"
    names = ("Data-1_coronacases_org_001_57", "Data-1_radiopaedia_org_covid-19-pneumonia-10_85902_3-dcm_9")
    for name in names:
        for part, suffix in (("Imgs", "jpg"), ("GT", "png")):
            (folder / part).mkdir(parents=True, exist_ok=True)
            stored = np.full((16, 24), 130, np.uint8)
            stored[:, :8] = 10  # transposed, these columns are the first rows
            Image.fromarray(stored).save(folder / part / f"{name}.{suffix}")
    cases = load_dataset("semiseg", part="unlabelled")
    assert set(cases.patients) == {"coronacases_001", "radiopaedia_10_85902"}
    for case in cases:  # soft labels are cut at the middle; coronacases lie upside down in their files
        dark = slice(16, 24) if "coronacases" in case.id else slice(0, 8)
        assert not case.mask[dark].any() and case.mask.sum() == 16 * 16 and case.image[dark].max() < 60
    with pytest.raises(UserError, match="only ever trains"):
        load_dataset("semiseg", "test", part="unlabelled")


def test_an_image_without_its_mask_is_named(mirror_folder):
    write_p9(mirror_folder / "p9", ["2"])
    (mirror_folder / "p9/rp_msk/2.nii.gz").unlink()
    with pytest.raises(UserError, match=r"rp_im/2\.nii\.gz has no mask"):
        load_dataset("p9")


@pytest.mark.mirror
@pytest.mark.parametrize(
    "name, cases, spot", [("semiseg", 98, "tr_im_0005"), ("p9", 130, "5_0007"), ("p20", 539, None)]
)
def test_the_real_sets_of_the_mirror_are_read(mirror, name, cases, spot):
    found = load_dataset(name, mirror=mirror)
    assert len(found) == cases
    case = found.case(spot) if spot else found[-1]
    assert case.infection.any() and case.intensity == "grey" and 0 <= case.image.min() < case.image.max() <= 255
    if name == "p9":  # the slices with infection are the authors' own list
        for fold in (1, 3, 4):
            assert set(load_dataset("p9", "val", fold, mirror=mirror).ids) == set(paper_folds("p9")[fold])


# --------------------------------------------------------------------------------------------------- prepare and check


def test_a_prepared_set_holds_the_same_cases_and_the_statistics_of_each_fold(mirror_folder, tmp_path):
    write_p9(mirror_folder / "p9", ["2", "4", "9"])
    raw = load_dataset("p9")
    folder = prepare("p9")
    assert folder.is_relative_to(tmp_path / "home") and not (folder.parent / "p9.preparing").exists()
    index = json.loads((folder / "index.json").read_text())
    assert index["fingerprint"] == raw.fingerprint() == load_dataset("p9").fingerprint()
    assert np.load(folder / "2.image.npy").dtype == np.int16

    from covidseg.data.transforms import fold_statistics

    mean, std = fold_statistics(load_dataset("p9", "train", 1))
    line = index["folds"]["paper"]["1"]
    assert line["n"] == 4 and np.allclose((line["mean"], line["std"]), (mean[0], std[0]))
    assert np.isclose(line["infected"], 1 / 35)

    shutil.rmtree(mirror_folder / "p9")  # the source may go: the prepared form stands alone
    assert load_dataset("p9").fingerprint() == raw.fingerprint()
    assert load_dataset("p9", volumes=True)[0].image.shape == (5, 7, 6)


def test_check_finds_a_damaged_volume_and_names_it(mirror_folder, capsys):
    write_p9(mirror_folder / "p9", ["2", "4"])
    assert [row["problem"] for row in check("p9")] == ["", ""]
    assert main(["data", "check", "p9"]) == 0
    out = capsys.readouterr().out
    assert "5 x 7 x 6" in out and "2 of 9 volumes" in out and "not prepared" in out
    save_volume(mirror_folder / "p9/rp_msk/4.nii.gz", np.ones((5, 7, 5), np.uint8))
    assert main(["data", "check", "p9"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("covidseg: p9: 1 of 2 volumes have a problem") and err.count("\n") == 1 and "4.nii.gz" in err


def test_check_finds_prepared_arrays_that_changed(mirror_folder, capsys):
    write_p9(mirror_folder / "p9", ["2"])
    assert main(["data", "prepare", "p9"]) == 0
    folder = mirror_folder.parent / "home/prepared/p9"
    masks = np.load(folder / "2.mask.npy")
    np.save(folder / "2.mask.npy", masks * 2)
    main(["data", "check", "p9"])
    assert "prepare it again" in capsys.readouterr().out


def test_data_list_shows_what_is_here(mirror_folder, capsys):
    write_p9(mirror_folder / "p9", ["2"])
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert f"here: {mirror_folder / 'p9'}" in out and out.count("here: no") >= 5 and "CC BY-NC-ND 3.0" in out
