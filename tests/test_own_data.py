"""Your own scans: every trouble is told, each by its file; no patient is in two parts; what is trained can predict."""

from random import Random

import numpy as np
import pytest
from PIL import Image

from covidseg.cli import main
from covidseg.data.own import deal, look_over, own_sets
from covidseg.data.own_files import OwnData, find_pairs, in_folder
from covidseg.errors import UserError

nibabel = pytest.importorskip("nibabel")
AFFINE = np.diag([-1.0, -1.0, 4.0, 1.0])
SHAPE = (24, 24, 3)


def save(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def scan(seed=0):
    """Air with a block of tissue, HU."""
    rng = np.random.default_rng(seed)
    volume = np.full(SHAPE, -1000, np.int16) + rng.integers(0, 20, SHAPE).astype(np.int16)
    volume[6:18, 6:18] += 900
    return volume


def drawn(value=1):
    """Infection in the upper two slices."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[8:14, 8:16, 1:] = value
    return mask


@pytest.fixture
def folder(tmp_path):
    """Three good pairs: NIfTI, NIfTI whose mask is called _mask, a folder of pictures."""
    for name, mask in (("anna", "anna.nii.gz"), ("ben", "ben_mask.nii")):
        save(tmp_path / f"images/{name}.nii.gz", scan())
        save(tmp_path / "masks" / mask, drawn())
    for z in range(3):
        for kind, array in (("images", 60 + scan()[:, :, z] // 10 + 100), ("masks", 255 * drawn()[:, :, z])):
            (tmp_path / kind / "clara").mkdir(exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(tmp_path / kind / "clara" / f"{z}.png")
    return tmp_path


def troubles(folder, fatal=True, **how):
    """File name -> what is wrong with it, all sentences."""
    told = {}
    for trouble in look_over(in_folder(folder, **how)).troubles:
        if trouble.fatal == fatal:
            told.setdefault(trouble.file.rsplit("/", 1)[-1], []).append(trouble.says)
    return told


def test_images_and_masks_are_paired_by_name_whatever_their_kind(folder):
    look = look_over(in_folder(folder))
    assert not look.fatal and sorted(look.volumes) == ["anna", "ben", "clara"]
    assert look.infected == {"anna": [1, 2], "ben": [1, 2], "clara": [1, 2]}
    assert look.facts["anna"] == {
        "patient": "anna", "shape": "24 x 24 x 3", "units": "HU", "mm": "1.00 x 1.00 x 4.00",
        "infected slices": "2 of 3",
    }  # fmt: skip


def test_all_troubles_are_listed_each_by_its_file(folder):
    moved = AFFINE.copy()
    moved[2, 3] += 2  # half a slice
    save(folder / "images/d.nii.gz", scan())
    save(folder / "masks/d.nii.gz", drawn(7), moved)  # wrong place and wrong labels
    save(folder / "images/e.nii.gz", scan())  # no mask
    save(folder / "masks/f.nii.gz", drawn())  # no image
    save(folder / "images/anna.nii", scan())  # a second anna
    (folder / "images/g.nii.gz").write_bytes(b"no scan")
    save(folder / "masks/g.nii.gz", drawn(9))
    save(folder / "images/h.nii.gz", scan())
    save(folder / "masks/h.nii.gz", drawn()[:, :, :2])  # a slice short
    (folder / "images/i").mkdir()
    save(folder / "masks/i.nii.gz", drawn())
    told = troubles(folder)
    lines = {name: " | ".join(says) for name, says in told.items()}
    assert "does not lie on the grid" in told["d.nii.gz"][0] and "it holds 0, 7" in told["d.nii.gz"][1]
    assert "has no mask" in lines["e.nii.gz"] and "has no image called f" in lines["f.nii.gz"]
    assert "second image called anna" in lines["anna.nii.gz"]
    assert "cannot be read" in lines["g.nii.gz"] and "it holds 0, 9" in lines["g.nii.gz"]
    assert "do not belong together" in lines["h.nii.gz"] and "without files" in lines["i"]
    assert len(told) == 7


def test_what_may_be_right_is_a_note(folder):
    (folder / "images/README.txt").write_text("mine")
    save(folder / "masks/anna.nii.gz", 0 * drawn())
    turned = np.zeros(SHAPE, np.uint8)
    turned[:5] = 1  # all of it in the air
    save(folder / "masks/ben_mask.nii", turned)
    notes = troubles(folder, fatal=False)
    assert "left out" in notes["README.txt"][0] and "no infection" in notes["anna.nii.gz"][-1]
    assert "100% of what it marks is air" in notes["ben_mask.nii"][-1]
    assert "each scan counts as a person" in notes["images"][0] and not troubles(folder)


def test_loose_dicom_files_are_told_to_lie_in_a_folder(tmp_path):
    for name in ("images/1.dcm", "images/2.dcm", "masks/a.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    told = find_pairs(in_folder(tmp_path)).troubles
    assert "put each series in a folder by itself" in told[0].says


@pytest.mark.parametrize("text", ["scan,patient\n{}", "\ufeffScan; Patient\n{}"])
def test_the_table_tells_who_is_who(folder, text):
    rows = ["anna.nii.gz,p1", "ben,p1", "clara,p2"]
    joined = "\n".join(rows)
    (folder / "patients.csv").write_text(text.format(joined.replace(",", ";") if ";" in text else joined), "utf-8")
    look = look_over(in_folder(folder))
    assert {name: v.patient for name, v in look.volumes.items()} == {"anna": "p1", "ben": "p1", "clara": "p2"}
    assert not look.fatal


def test_every_row_of_the_table_that_cannot_be_is_told(folder):
    (folder / "patients.csv").write_text("scan,patient\nanna,p1\nanna,p2\nben,\nnobody,p3\nshort\n")
    told = [f"{trouble.file.rsplit('/', 1)[-1]} {trouble.says}" for trouble in look_over(in_folder(folder)).fatal]
    for says in (
        "line 3 gives 'anna' to 'p2'",
        "line 4 says no patient",
        "line 5 names 'nobody'",
        "line 6 names 'short'",
    ):
        assert any(says in line for line in told)
    assert any("ben.nii.gz is in no line" in line for line in told) and any(
        "clara is in no line" in line for line in told
    )


@pytest.mark.parametrize(
    "table, says",
    [("name,who\na,b", "columns name, who"), ("", "columns none"), (b"\xff\xfe\x00", "no UTF-8"), (None, "No such")],
)
def test_a_table_that_is_none_is_one_line(folder, table, says):
    path = folder / "who.csv"
    if table is not None:
        path.write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(UserError, match=says) as refusal:
        find_pairs(in_folder(folder, patients=path))
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_patients_are_dealt_whole_evenly_and_in_whatever_order():
    for seed in range(200):
        rng = Random(seed)
        weights = {f"p{k}": rng.randint(1, 30) for k in range(rng.randint(2, 23))}
        folds = deal(weights)
        assert sorted(p for fold in folds for p in fold) == sorted(weights) and len(folds) == min(5, len(weights))
        sums = [sum(weights[p] for p in fold) for fold in folds]
        assert min(sums) > 0 and max(sums) - min(sums) <= max(weights.values())
        shuffled = dict(sorted(weights.items(), key=lambda item: rng.random()))
        assert deal(shuffled) == folds


def test_no_patient_is_in_both_parts_and_every_fold_holds_another_out(folder):
    for k in range(4):
        save(folder / f"images/d{k}.nii.gz", scan(k))
        save(folder / f"masks/d{k}.nii.gz", drawn())
    rows = ["anna,p1", "ben,p2", "clara,p3", "d0,p1", "d1,p2", "d2,p4", "d3,p5"]
    (folder / "patients.csv").write_text("scan,patient\n" + "\n".join(rows))
    held_out = []
    for fold in range(1, 6):
        train, val = own_sets(in_folder(folder), fold)
        assert not set(train.patients) & set(val.patients) and not set(train.ids) & set(val.ids)
        assert len(train) + len(val) == 14 and all(case.infection.any() for case in val)
        held_out += set(val.patients)
    assert sorted(held_out) == ["p1", "p2", "p3", "p4", "p5"]
    whole, _ = own_sets(in_folder(folder), 1, volumes=True)
    every, rest = own_sets(in_folder(folder), 1, all_slices=True)
    assert whole[0].depth == 3 and len(every) + len(rest) == 21


def test_one_patient_or_a_fold_too_many_is_refused(folder):
    with pytest.raises(UserError, match="fold=4: 3 patients make folds 1 to 3"):
        own_sets(in_folder(folder), 4)
    (folder / "patients.csv").write_text("scan,patient\nanna,p\nben,p\nclara,p\n")
    with pytest.raises(UserError, match="at least 2 are needed"):
        own_sets(in_folder(folder))


# ---------------------------------------------------------------------------------------------- the commands


def command(*args):
    return main([str(arg) for arg in args])


def test_what_passes_the_check_trains_and_what_was_trained_predicts(folder, capsys):
    assert command("data", "check", folder) == 0
    assert "3 scans of 3 patients can be used, with 6 infected slices" in capsys.readouterr().out
    own = ("--images", folder / "images", "--masks", folder / "masks")
    quick = ("--recipe", "quick", "--epochs", 1, "--batch", 2)
    assert command("train", "miniseg", *own, *quick, "-o", folder / "run") == 0
    said = capsys.readouterr().out
    assert "4 cases of 2 patients train" in said and "2 cases of 1 patients validate" in said
    out = folder / "mask.nii.gz"
    assert command("predict", folder / "images/anna.nii.gz", "-o", out, "--weights", folder / "run") == 0
    assert nibabel.load(out).shape == SHAPE and "recipe quick" in capsys.readouterr().out


def test_the_check_prints_every_problem_and_training_names_the_first_and_the_way_to_all(folder, capsys):
    save(folder / "masks/anna.nii.gz", drawn(7))
    save(folder / "masks/ben_mask.nii", drawn()[:, :, :2])
    assert command("data", "check", folder) == 1
    shown = capsys.readouterr()
    assert shown.out.count("PROBLEM") == 2 and "2 file(s) cannot be used" in shown.err
    own = ("--images", folder / "images", "--masks", folder / "masks")
    assert command("train", "miniseg", *own, "-o", folder / "run") == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "anna.nii.gz is no mask" in told and "`covidseg data check --images" in told
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    "args, says",
    [
        (["train", "miniseg", "-o", "run", "--images", "."], "both --images DIR and --masks DIR"),
        (["train", "miniseg", "-o", "run", "--patients", "p.csv"], "--patients is about your own scans"),
        (["train", "miniseg", "-o", "run", "--all-slices"], "--all-slices is about your own scans"),
        (["train", "miniseg", "-o", "run", "--images", ".", "--masks", ".", "--dataset", "p9"], "give one of them"),
        (["train", "miniseg", "-o", "run", "--images", "nowhere", "--masks", "."], "nowhere is no folder"),
        (["train", "chsnet", "-o", "run", "--images", ".", "--masks", "."], "more than one training"),
        (["data", "check", "--images", ".", "--masks", "."], "holds no scan"),
        (["data", "check", "."], "--images names one"),
        (["data", "check"], "Name what to check"),
        (["data", "check", "p99"], "p99"),
    ],
)
def test_bad_input_is_one_line_with_the_way_out(args, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(args) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and says in told and not (tmp_path / "run").exists()


def test_values_that_could_be_anything_are_read_as_told(folder):
    save(folder / "images/anna.nii.gz", (scan().astype(np.int32) + 1024).clip(0).astype(np.int16))
    assert "--intensity" in troubles(folder)["anna.nii.gz"][0] or "HU+1024" in troubles(folder)["anna.nii.gz"][0]
    own = OwnData(folder / "images", folder / "masks", intensity="HU+1024")
    assert look_over(own).facts["anna"]["units"] == "HU"
