"""Whatever is wrong with a scan, weights or a disk: one clear line, an exit code that is not 0, no trace left."""

import errno
import gzip
import json
import os
import pickle
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

import covidseg
from covidseg.cli import main
from covidseg.data.transforms import Preprocessing
from covidseg.errors import UserError
from covidseg.nn.weights import save_weights

nibabel = pytest.importorskip("nibabel")


def nifti(path, volume):
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([-0.5, -0.5, 4.0, 1])), path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    return save_weights(
        path, "miniseg", covidseg.create_model("miniseg"), Preprocessing(size=32), label="t", licence="MIT"
    )


@pytest.fixture
def scan(tmp_path):
    return nifti(tmp_path / "chest.nii.gz", np.random.default_rng(0).integers(-1000, 300, (20, 24, 3)).astype(np.int16))


@pytest.fixture
def refused(tmp_path, capsys, weights):
    """Run the command; it must fail with one line and leave the folder as it was. Returns the line."""

    def run(*args, out="mask.nii.gz", given=weights):
        before = contents(tmp_path)
        out = out if os.path.isabs(str(out)) else tmp_path / out
        status = main(["predict", *map(str, args), "-o", str(out), "--weights", str(given)])
        told = capsys.readouterr()
        assert status != 0 and told.out == ""
        assert told.err.startswith("covidseg: ") and told.err.count("\n") == 1 and "Traceback" not in told.err
        assert contents(tmp_path) == before
        return told.err

    return run


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------ the scan


def test_a_missing_file_is_named(refused, tmp_path):
    assert str(tmp_path / "no.nii.gz") in refused(tmp_path / "no.nii.gz")


def test_a_truncated_gzip_is_called_cut_off(refused, scan):
    scan.write_bytes(scan.read_bytes()[:-200])
    assert "cut off" in refused(scan)


def test_a_truncated_plain_nifti_is_refused(refused, tmp_path):
    scan = nifti(tmp_path / "chest.nii", np.zeros((20, 20, 3), np.int16))
    scan.write_bytes(scan.read_bytes()[:900])
    assert "chest.nii" in refused(scan)


@pytest.mark.parametrize("pack", [lambda text: text, gzip.compress], ids=["plain", "gzipped"])
def test_a_text_file_named_nii_gz_is_no_nifti(refused, tmp_path, pack):
    path = tmp_path / "notes.nii.gz"
    path.write_bytes(pack(b"dear diary, " * 100))
    assert "notes.nii.gz" in refused(path)


def test_a_4d_nifti_is_refused_with_the_way_out(refused, tmp_path):
    assert "slicer[..., 0]" in refused(nifti(tmp_path / "time.nii.gz", np.zeros((8, 8, 3, 2), np.int16)))


def test_nan_voxels_are_counted_and_placed(refused, tmp_path):
    volume = np.full((8, 8, 3), -500, np.float32)
    volume[2, 3, 1] = np.nan
    assert "(2, 3, 1)" in refused(nifti(tmp_path / "hole.nii.gz", volume))


def test_values_that_are_neither_hu_nor_grey_must_be_named(refused, tmp_path):
    scan = nifti(tmp_path / "odd.nii.gz", np.full((8, 8, 3), 1800, np.int16))
    assert "HU+1024" in refused(scan)


def test_a_misspelt_intensity_is_refused(refused, scan):
    assert "Did you mean 'grey'?" in refused(scan, "--intensity", "gray")


def test_an_empty_folder_is_refused(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "folder without files" in refused(tmp_path / "empty")


def test_a_lung_mask_of_another_shape_names_both_shapes(refused, scan, tmp_path):
    lung = nifti(tmp_path / "lung.nii.gz", np.ones((10, 10, 3), np.uint8))
    line = refused(scan, "--lung-mask", lung)
    assert "(20, 24, 3)" in line and "(10, 10, 3)" in line


def moved_lung(scan, tmp_path):
    """A lung mask of the scan's shape that lies three voxels beside it."""
    image = nibabel.load(scan)
    affine = image.affine.copy()
    affine[0, 3] += 3 * affine[0, 0]
    nibabel.save(nibabel.Nifti1Image(np.ones(image.shape, np.uint8), affine), tmp_path / "lung.nii.gz")
    return tmp_path / "lung.nii.gz"


def test_a_lung_mask_that_lies_beside_the_scan_is_refused(refused, scan, tmp_path):
    assert "--resample-mask" in refused(scan, "--lung-mask", moved_lung(scan, tmp_path))


@pytest.mark.parametrize("value", [0, 0.5, np.nan])
def test_a_lung_mask_that_is_none_is_refused(refused, scan, tmp_path, value):
    assert "lung.nii.gz" in refused(
        scan, "--lung-mask", nifti(tmp_path / "lung.nii.gz", np.full((20, 24, 3), value, np.float32))
    )


def told(capsys, *args):
    """The JSON document of a run that succeeds."""
    status = main(["predict", *map(str, args), "--json"])
    answer = capsys.readouterr()
    assert status == 0, answer.err
    return json.loads(answer.out)


def test_what_may_make_the_numbers_wrong_is_warned_of_in_text_and_json(scan, tmp_path, weights, capsys):
    rest = ["-o", tmp_path / "m.nii.gz", "--weights", weights, "--force"]
    assert told(capsys, scan, *rest)["warnings"] == []
    lung = moved_lung(scan, tmp_path)
    resampled = told(capsys, scan, *rest, "--lung-mask", lung, "--resample-mask")["warnings"]
    assert len(resampled) == 1 and "nearest voxel" in resampled[0]  # 21 of 24 columns: not all of the scan
    nifti(lung, np.ones((20, 24, 3), np.uint8))
    assert "covers 100%" in told(capsys, scan, *rest, "--lung-mask", lung)["warnings"][0]
    nifti(scan, np.random.default_rng(0).integers(-100, 300, (20, 24, 3)).astype(np.int16))
    assert main(["predict", str(scan), *map(str, rest), "--intensity", "HU"]) == 0
    assert "WARNING  no voxel lies below -300 HU" in capsys.readouterr().out


def test_every_way_out_that_a_message_names_is_an_option_of_the_command(scan, tmp_path, weights, capsys):
    rest = ["-o", tmp_path / "m.nii.gz", "--weights", weights, "--force"]
    hole = nibabel.load(scan).get_fdata().astype(np.float32)
    hole[2, 3, 1] = np.nan
    assert "1 filled" in told(capsys, nifti(tmp_path / "h.nii.gz", hole), *rest, "--fill", -1024)["scan"]["notes"]
    folder = dicom_series(tmp_path / "two", [0, 5, 10])
    for k, file in enumerate(dicom_series(tmp_path / "other", [0, 5, 10, 15]).iterdir()):
        file.rename(folder / f"other_{k}.dcm")
    pydicom = pytest.importorskip("pydicom")
    uid = str(pydicom.dcmread(folder / "other_0.dcm").SeriesInstanceUID)
    assert told(capsys, folder, *rest, "--series", uid)["scan"]["slices"] == 4
    plus = nifti(tmp_path / "p.nii.gz", np.asarray(nibabel.load(scan).dataobj) + 1024)
    assert told(capsys, plus, *rest, "--intensity", "HU+1024")["scan"]["intensity"] == "HU"


def test_a_name_with_a_line_end_or_a_terminal_code_stays_on_its_line(tmp_path, scan, weights, capsys):
    odd = scan.rename(tmp_path / "a\nb\x1b[31m.nii.gz")
    assert main(["predict", str(odd), "-o", str(tmp_path / "m.nii.gz"), "--weights", str(weights)]) == 0
    shown = capsys.readouterr().out
    assert "scan     a?b?[31m.nii.gz" in shown and "\x1b" not in shown
    odd.write_bytes(b"")
    assert main(["predict", str(odd), "-o", str(tmp_path / "n.nii.gz"), "--weights", str(weights)]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "\x1b" not in told


@pytest.mark.parametrize("place", ["scan", "out", "weights"])
def test_a_name_longer_than_a_disk_can_hold_is_one_line(refused, scan, tmp_path, weights, place):
    long = {"scan": tmp_path / f"{'x' * 300}.nii.gz", "out": f"{'x' * 300}.nii.gz", "weights": f"{'x' * 300}.pt"}
    rest = dict(scan=scan, out="m.nii.gz", weights=weights) | {place: long[place]}
    assert "longer name" in refused(rest["scan"], out=rest["out"], given=rest["weights"])


def test_a_picture_of_too_many_pixels_is_one_line(refused, tmp_path):
    from PIL import Image

    Image.new("1", (14000, 14000)).save(tmp_path / "bomb.png")
    assert "more pixels" in refused(tmp_path / "bomb.png", out="m.png")


def dicom_series(folder, places):
    """CT slices of 16 x 16 at the given heights in mm."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset

    folder.mkdir()
    series = pydicom.uid.generate_uid()
    for k, z in enumerate(places):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        file = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        file.SeriesInstanceUID, file.Modality, file.SeriesNumber = series, "CT", 1
        file.ImagePositionPatient, file.ImageOrientationPatient = [0, 0, z], [1, 0, 0, 0, 1, 0]
        file.PixelSpacing, file.SliceThickness = [0.7, 0.7], 5
        file.Rows = file.Columns = 16
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 1
        file.RescaleSlope, file.RescaleIntercept = 1, -1024
        file.PixelData = np.full((16, 16), 300 + k, np.int16).tobytes()
        file.save_as(folder / f"{k:03d}.dcm", enforce_file_format=True)
    return folder


def test_a_dicom_series_with_a_lost_slice_names_its_neighbours(refused, tmp_path):
    line = refused(dicom_series(tmp_path / "series", [0, 5, 10, 20, 25]))
    assert "missing" in line and "002.dcm" in line and "003.dcm" in line


def test_the_same_series_with_all_slices_gives_a_nifti_mask(tmp_path, weights, capsys):
    folder, out = dicom_series(tmp_path / "series", [0, 5, 10, 15]), tmp_path / "mask.nii.gz"
    assert main(["predict", str(folder), "-o", str(out), "--weights", str(weights)]) == 0
    mask = nibabel.load(out)
    assert mask.shape == (16, 16, 4) and np.allclose(mask.affine, np.diag([-0.7, -0.7, 5, 1]))


# ------------------------------------------------------------------------------------------------ the weights


@pytest.mark.parametrize("name, meant", [("CT10", "CT100"), ("P9-7", "P9-"), ("phantm", "phantom")])
def test_an_unknown_weights_name_gets_the_nearest_one(refused, scan, name, meant):
    assert f"Did you mean '{meant}" in refused(scan, given=name)


def test_a_checkpoint_that_would_run_code_is_refused_and_the_code_does_not_run(refused, scan, tmp_path):
    trace = tmp_path / "the code ran"

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(trace),)

    for name, save in (("old.pth", pickle.dump), ("new.pt", lambda bomb, file: torch.save({"state": bomb}, file))):
        with open(tmp_path / name, "wb") as file:
            save(Bomb(), file)
        assert name in refused(scan, given=tmp_path / name)
        assert not trace.exists()
    with open(tmp_path / "old.pth", "rb") as file:
        pickle.load(file)  # the bomb is real
    assert trace.exists()


@pytest.mark.parametrize("content", [b"", b"no weights at all"], ids=["empty", "text"])
def test_a_file_that_is_no_checkpoint_is_refused(refused, scan, tmp_path, content):
    (tmp_path / "weights.pt").write_bytes(content)
    assert "weights.pt" in refused(scan, given=tmp_path / "weights.pt")


def test_a_truncated_checkpoint_is_refused(refused, scan, tmp_path, weights):
    (tmp_path / "half.pt").write_bytes(weights.read_bytes()[:50_000])
    assert "half.pt" in refused(scan, given=tmp_path / "half.pt")


def changed(path, **parts):
    """A copy of a checkpoint in which parts of the record are others; None as value of a part leaves it so."""
    record = torch.load(path, weights_only=True)
    target = path.with_name("changed.pt")
    torch.save({key: value for key, value in (record | parts).items() if value is not ...}, target)
    return target


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_not_taken_for_no_infection(refused, scan, tmp_path, weights, value):
    state = torch.load(weights, weights_only=True)["state"]
    last = [name for name, tensor in state.items() if tensor.is_floating_point()][-1]
    line = refused(scan, given=changed(weights, state=state | {last: torch.full_like(state[last], value)}))
    assert "changed.pt" in line and last in line and "NaN" in line


@pytest.mark.parametrize(
    "parts",
    [
        {"options": ..., "state": {"a": torch.zeros(1)}}, {"options": [1]}, {"options": {"colour": "red"}},
        {"model": ["miniseg"]}, {"model": "minisegg"}, {"state": None}, {"state": {"a": 5}}, {"about": "hello"},
        {"preprocessing": {"size": "big"}}, {"preprocessing": 7}, {"preprocessing": {"size": 200000}},
        {"preprocessing": {"size": 0}},
    ],
    ids=str,
)  # fmt: skip
def test_a_checkpoint_with_parts_of_another_kind_is_one_line(refused, scan, weights, parts):
    if isinstance(parts.get("preprocessing"), dict):
        whole = torch.load(weights, weights_only=True)["preprocessing"]
        parts = parts | {"preprocessing": whole | parts["preprocessing"]}
    assert refused(scan, given=changed(weights, **parts))


def test_a_label_of_two_lines_becomes_one(tmp_path, scan, weights, capsys):
    given = changed(weights, about={"label": "a\nb", "licence": "MIT"})
    assert main(["predict", str(scan), "-o", str(tmp_path / "m.nii.gz"), "--weights", str(given)]) == 0
    assert "weights  a?b\n" in capsys.readouterr().out


def test_an_answer_that_is_no_number_is_refused(scan):
    class Lost(torch.nn.Module):
        def forward(self, x):
            return x[:, :2] * float("nan")

    with pytest.raises(UserError, match="not numbers"):
        covidseg.predict(Lost(), np.zeros((8, 8)), Preprocessing(size=8))


def test_an_unknown_device_is_refused(refused, scan):
    assert "'gpu'" in refused(scan, "--device", "gpu")


# ------------------------------------------------------------------------------------------------ the output


@pytest.mark.parametrize("out", ["mask.jpg", "mask", "mask.png", ".nii.gz", "mask.nii.gz.txt"])
def test_the_mask_of_a_volume_ends_in_nii_gz(refused, scan, out):
    assert ".nii.gz" in refused(scan, out=out)


def test_the_mask_of_an_image_ends_in_png(refused, tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "slice.png")
    assert ".png" in refused(tmp_path / "slice.png", out="mask.nii.gz")


def test_an_output_below_a_file_is_refused(refused, scan):
    assert "is a file" in refused(scan, out="chest.nii.gz/mask.nii.gz")


def test_an_output_in_a_missing_folder_is_refused(refused, scan):
    assert "does not exist" in refused(scan, out="nowhere/mask.nii.gz")


def test_an_output_that_is_a_folder_is_refused(refused, scan, tmp_path):
    (tmp_path / "mask.nii.gz").mkdir()
    assert "is a folder" in refused(scan)


def test_a_folder_in_the_place_of_the_table_is_refused_even_with_force(refused, scan, tmp_path):
    (tmp_path / "mask_slices.csv").mkdir()
    assert "mask_slices.csv" in refused(scan, "--force")


def test_a_folder_without_write_permission_is_known_before_the_network_runs(refused, scan, monkeypatch):
    def forbidden(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("covidseg.scans.outputs.tempfile.mkdtemp", forbidden)
    monkeypatch.setattr("covidseg.scans.segment.predict", lambda *args, **kwargs: pytest.fail("the network ran"))
    assert "permission denied" in refused(scan).lower()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(refused, scan, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    assert "locked" in refused(scan, out="locked/mask.nii.gz")


@pytest.mark.parametrize("step", ["write_mask", "write_csv", "write_sheet", "write_page"])
def test_a_full_disk_leaves_the_old_files_whole_and_no_new_ones(refused, scan, tmp_path, monkeypatch, step):
    for name in ("mask.nii.gz", "mask_slices.csv", "mask_overlay.png", "mask_report.html"):
        (tmp_path / name).write_text("old")  # `refused` compares the folder before and after

    def full(path, *args, **kwargs):
        path.write_bytes(b"half a f")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"covidseg.scans.segment.{step}", full)
    assert "the disk is full" in refused(scan, "--force")


def test_a_real_limit_on_file_size_ends_in_one_line_too(tmp_path, weights):
    volume = np.random.default_rng(1).integers(-1000, 300, (300, 300, 4)).astype(np.int16)
    scan, out = nifti(tmp_path / "chest.nii.gz", volume), tmp_path / "mask.nii"
    before = contents(tmp_path)
    code = "import sys; from covidseg.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "predict", str(scan), "-o", str(out), "--weights", str(weights)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),  # the mask has 360,000 bytes
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("covidseg: ") and done.stderr.count("\n") == 1 and str(out) in done.stderr
    assert contents(tmp_path) == before


def test_an_interrupted_run_leaves_nothing_behind(tmp_path, scan, weights, monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("covidseg.scans.segment.write_csv", interrupted)
    assert main(["predict", str(scan), "-o", str(tmp_path / "mask.nii.gz"), "--weights", str(weights)]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["chest.nii.gz"]


def test_a_forgotten_output_is_a_usage_error(scan, capsys):
    assert main(["predict", str(scan)]) == 2
    assert "--out" in capsys.readouterr().err
