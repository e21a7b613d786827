"""A run whose trunk begins with the weights of a file, as the papers' begin with ImageNet's."""

import json
from hashlib import sha256

import pytest
import torch

from covidseg.backbones import BACKBONES, create_backbone
from covidseg.cli import main
from covidseg.errors import UserError
from covidseg.runs.plain import train
from covidseg.runs.plan import plan
from covidseg.runs.trial import trial
from covidseg.tables.compare import read_changed

PLACE = ("shufflenetv2", "released", "phantom", 1, 0, "smoke")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file as torchvision's, with a classifier that is not ours to keep."""
    torch.manual_seed(99)
    path = tmp_path_factory.mktemp("trunk") / "shufflenetv2_x1-5666bf0f80.pth"
    torch.save(create_backbone("shufflenetv2").state_dict() | {"fc.weight": torch.zeros(2, 2)}, path)
    return path


def test_the_trunk_is_the_files_and_the_rest_is_what_the_seed_gives(file):
    plain, started = (trial(*PLACE, **more).network() for more in ({}, {"backbone_weights": str(file)}))
    stored = {BACKBONES["shufflenetv2"].rename(key): value for key, value in torch.load(file).items()}
    for name, value in started.state_dict().items():
        part, _, rest = name.partition(".")
        if part == "backbone" and rest in stored:
            assert torch.equal(value, stored[rest]), name
        elif part != "backbone":
            assert torch.equal(value, plain.state_dict()[name]), name
    first, ours = next(iter(started.backbone.named_parameters()))
    assert first in stored and not torch.equal(ours, plain.backbone.state_dict()[first])


def test_the_record_names_the_file_and_its_sha256_and_enters_no_table_of_runs_from_chance(file, tmp_path):
    names = ("model", "variant", "dataset", "fold", "seed", "budget")
    wanted = {"backbone_weights": str(file), "epochs": 1, "size": 32, "device": "cpu"}
    (run,) = plan("40_train_one", [dict(zip(names, PLACE, strict=True)) | wanted], plain=True)
    train(run.parameters, tmp_path)
    record = json.loads((tmp_path / "result.json").read_text())
    told = {"file": file.name, "sha256": sha256(file.read_bytes()).hexdigest()}
    assert record["provenance"]["backbone_weights"] == told
    assert record["changed"] == {"epochs": 1, "size": 32, "backbone_weights": file.name}
    assert read_changed({"epochs": "1", "backbone_weights": file.name}) == {"epochs": 1, "backbone_weights": file.name}
    assert str(tmp_path) not in json.dumps(record["changed"])


@pytest.mark.parametrize(
    ("model", "name", "says"),
    [
        ("shufflenetv2", "missing.pth", "there is no such file"),
        ("miniseg", "missing.pth", "has no trunk"),
        ("unet", "missing.pth", "no trunk"),
    ],
)
def test_a_file_that_is_not_there_and_a_network_without_a_trunk_are_told_in_one_line(model, name, says):
    variant = "" if model == "miniseg" else "released"
    with pytest.raises(UserError, match=says) as told:
        trial(model, variant, "phantom", 1, 0, "smoke", backbone_weights=name).network()
    assert name in str(told.value) or says == "no trunk"
    assert "\n" not in str(told.value)


def test_a_file_of_another_network_is_refused(file):
    with pytest.raises(UserError, match="does not fit"):
        trial("mobilenetv2", "released", "phantom", 1, 0, "smoke", backbone_weights=str(file)).network()


def test_train_takes_the_option(tmp_path, capsys):
    network = ["train", "shufflenetv2", "--variant", "released", "--recipe", "quick"]
    assert main([*network, "--backbone-weights", "none.pth", "-o", str(tmp_path / "x")]) != 0
    assert "none.pth: there is no such file" in capsys.readouterr().err
