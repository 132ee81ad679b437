"""Data as a person names them: folders of several forms, names, and places; nonsense is one line."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, TINY, Program, one_error

import run_study as program
from record import contents
from record.folder import StudyFolder

sys.path.append(str(ROOT / "tests" / "trainables"))  # test folders are no packages
from image_files import write_idx, write_images

pytestmark = pytest.mark.usefixtures("user_cache")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a space."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY.replace("train_size: 300", "train_size: 20"))
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    """The output of a dry run, and the message of one that is refused."""
    monkeypatch.setattr(sys, "argv", ["run_study.py", *map(str, arguments), "--dry-run"])
    status = program.cli()
    output, message = capsys.readouterr()
    assert status == (0 if output else 2), message
    return output, message


def test_a_folder_of_idx_files_is_planned_with_one_command(folder: Path, run_study: Program) -> None:
    write_idx(folder / "scanned-clothes", train=200, test=20)
    command = ["--space", "tiny.yaml", "--data", "scanned-clothes", "--dry-run"]
    result = run_study(*command, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "# scanned-clothes (IDX files): 220 images in 10 classes, train 200 (20 per class)" in result.stdout
    assert yaml.safe_load(result.stdout)["data"]["name"] == str(folder / "scanned-clothes")
    broken = folder / "scanned-clothes" / "train-labels-idx1-ubyte.gz"
    broken.write_bytes(broken.read_bytes()[:-9])
    assert f"{broken}: not a whole IDX file" in one_error(run_study(*command, cwd=folder))


def test_nonsense_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(data: str) -> str:
        output, message = call(monkeypatch, capsys, "--space", "tiny.yaml", "--data", data)
        assert output == "" and message.startswith("error: ") and message.count("\n") == 1
        return message

    write_idx(folder / "scans")
    images, labels = (folder / "scans" / f"train-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1"))
    shutil.copy(folder / "scans" / "t10k-labels-idx1-ubyte.gz", labels)
    assert f"{images.name} has 20 images, {labels.name} 10 labels" in refused("scans")
    labels.unlink()
    assert f"{images.name} is there, but no file of its labels" in refused("scans")
    assert "did you mean 'fashion_mnist' or" in refused("fasion_mnist")
    assert "nor a folder in the current folder or data; valid: cifar10, cifar100, digits and" in refused("xyzzy")


def test_a_resumed_study_finds_the_data_beside_its_space_from_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pics, space, results = folder / "spaces" / "pics", folder / "spaces" / "my.yaml", folder / "results"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            write_images(pics / split / name, 20)
    space.write_text(TINY.replace("name: digits", "name: pics").replace("train_size: 300", "train_size: 20"))
    new = ["--space", space, "--results", results]
    planned = call(monkeypatch, capsys, *new)[0]
    assert yaml.safe_load(planned)["data"]["name"] == str(pics)

    study = StudyFolder(results / "my")  # as a run writes it
    contents.write_spec(study, yaml.safe_load(planned))
    assert yaml.safe_load(call(monkeypatch, capsys, *new, "--resume")[0]) == yaml.safe_load(planned)
    contents.write_environment(study, {"space": yaml.safe_load(space.read_text())})
    (folder / "elsewhere" / "pics").mkdir(parents=True)  # other data
    monkeypatch.chdir(folder / "elsewhere")
    for command in ([*new, "--resume"], ["--name", "my", "--results", results, "--resume"]):
        output, _ = call(monkeypatch, capsys, *command)
        assert yaml.safe_load(output)["data"]["name"] == str(pics) and "# pics (image folder): 80 images" in output

    shutil.rmtree(pics)
    shutil.rmtree(folder / "elsewhere" / "pics")
    where = "nor a folder in the folder of my.yaml, the current folder or data; "
    assert where in call(monkeypatch, capsys, "--space", space, "--name", "other")[1]
