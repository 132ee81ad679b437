"""Test images in the report, and whether probabilities can be trusted: by hand, and on the page of a study."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from fake_study import HOSTILE, IMAGES, confirmed_study, trial_row, write_tables
from matplotlib.image import imread
from test_mistakes import with_classes

from analysis.read.study_folder import load
from analysis.tell.gallery import galleries
from analysis.tell.pictures.html import drawn
from analysis.tell.pictures.png import write_png
from analysis.tell.pictures.settings import setting_lines
from analysis.tell.report import render
from analysis.weigh.calibration import calibration, reliability
from analysis.weigh.examples import examples
from record import contents
from record.contents import Sample
from record.folder import StudyFolder

LABELS = np.arange(IMAGES) % 10


def with_images(path: Path, positions: np.ndarray | None) -> StudyFolder:
    """`confirmed_study` that kept every second test image, or all; each image is as bright as its position."""
    folder = StudyFolder(with_classes(confirmed_study(path)))
    kept = np.arange(IMAGES) if positions is None else positions
    images = np.broadcast_to((kept // 2)[:, None, None, None], (len(kept), 4, 4, 3)).astype(np.uint8)
    sample = Sample(images, LABELS[kept], positions)
    contents.write_samples(folder, {"validation": sample, "test": sample})
    return folder


def with_confidences(folder: StudyFolder, surest: int) -> None:
    """Each answer is given with 0.6, the one on image `surest` with 0.9."""
    for file in folder.labels.parent.glob("*-seed?.npy"):
        sure = np.full(IMAGES, 0.6)
        sure[surest] = 0.9
        contents.write_confidences(folder.confidences(file.stem), sure)


def wrong(folder: StudyFolder, image: int) -> None:
    """Let all runs of vit-000 name the image as the class after the next."""
    for seed in (1, 2, 3):
        path = folder.predictions(f"vit-000-seed{seed}")
        named = np.load(path)
        named[image] = (LABELS[image] + 2) % 10
        np.save(path, named)


@pytest.mark.parametrize("positions", [None, np.arange(0, IMAGES, 2)])
def test_the_most_confident_mistake_comes_first(tmp_path: Path, positions: np.ndarray | None) -> None:
    folder = with_images(tmp_path / "s", positions)
    wrong(folder, 124)
    with_confidences(folder, 124)
    [found] = examples(load(folder.path))
    first = found.mistakes[0]
    assert (first.label, first.named, first.runs, found.runs) == ("class 4", "class 6", 3, 3)
    assert first.confidence == pytest.approx(0.9, abs=1e-3) and (first.image == 62).all()
    assert len(found.mistakes) == 12 and all(one.label != one.named for one in found.mistakes)
    classes = 10 if positions is None else 5
    assert [one.label for one in found.of_classes] == [f"class {i * (10 // classes)}" for i in range(classes)]


def test_without_probabilities_those_come_first_that_all_runs_get_wrong(tmp_path: Path) -> None:
    folder = with_images(tmp_path / "s", None)
    found = examples(load(folder.path))[0].mistakes
    assert [one.runs for one in found] == sorted((one.runs for one in found), reverse=True)
    assert all(np.isnan(one.confidence) for one in found)


def test_images_that_may_be_others_are_not_shown(tmp_path: Path) -> None:
    folder = with_images(tmp_path / "s", np.arange(0, IMAGES, 2))
    kept = contents.read_samples(folder)["test"]
    for sample in (kept._replace(positions=None), kept._replace(labels=kept.labels + 1)):
        contents.write_samples(folder, {"validation": sample, "test": sample})
        assert examples(load(folder.path)) == []
    folder.samples.unlink()
    assert galleries(load(folder.path)) == []


def test_the_page_shows_them_with_what_they_were_taken_for(tmp_path: Path) -> None:
    folder = with_images(tmp_path / "s", None)
    wrong(folder, 124)
    with_confidences(folder, 124)
    page = render(load(folder.path))
    worst, one_each = galleries(load(folder.path))
    assert worst.pictures[0].caption == "class 4, named class 6 (90% sure) by 3 of 3"
    assert len(one_each.pictures) == 10
    assert all(f'src="{picture.source}"' in page for picture in worst.pictures)
    pixels = imread(io.BytesIO(base64.b64decode(worst.pictures[0].source.split(",")[1])))
    assert pixels.shape[:2] == (4, 4) and pixels[0, 0, 0] == pytest.approx(62 / 255)
    assert "How far to trust a probability" in page


def test_calibration_by_hand() -> None:
    """Two images with 0.9, of which one is right; two with 0.6, both right: (0.4 + 0.4) / 2 away."""
    table = reliability(np.array([[0.9, 0.9], [0.6, 0.6]]), np.array([[True, False], [True, True]]))
    assert table["probability"].tolist() == pytest.approx([0.6, 0.9])
    assert table["accuracy"].tolist() == [1.0, 0.5]
    assert table["answers"].tolist() == [2, 2]
    assert table["error"].unique() == pytest.approx([0.4])
    certain = reliability(np.array([[1.0]]), np.array([[True]]))
    assert certain["error"].tolist() == [0.0]


def test_calibration_needs_the_probabilities_of_all_runs(tmp_path: Path) -> None:
    folder = with_images(tmp_path / "s", None)
    assert calibration(load(folder.path)).empty
    with_confidences(folder, 0)
    table = calibration(load(folder.path))
    assert set(table["model"]) == {"vit", "vit_tome", "resnet18"}
    assert table.groupby("model")["answers"].sum().eq(3 * IMAGES).all()
    folder.confidences("vit-000-seed2").unlink()
    assert set(calibration(load(folder.path))["model"]) == {"vit_tome", "resnet18"}


def test_every_trial_is_a_line_over_its_settings(tmp_path: Path) -> None:
    rows = [
        trial_row(f"vit-{i}", 0.5 + i / 10, 100.0, lr=10.0**-i, optimizer="ab"[i % 2], data=HOSTILE) for i in range(3)
    ]
    rows.append(trial_row(f"{HOSTILE}-0", 0.6, 100.0, optimizer=None))
    folder = write_tables(tmp_path / "s", rows)
    (folder / "study.yaml").write_text("models: {vit: {search: {lr: 1, optimizer: 1}}}\n")
    picture = setting_lines(load(folder))
    assert picture is not None
    assert [axis.split("\n")[0] for axis in picture.axes] == ["lr", "optimizer", "validation accuracy"]
    lines = {line.trial: line.points["height"].tolist() for line in picture.lines}
    assert lines["vit-0"] == pytest.approx([1, 0, 0])  # lr 1, "a", 0.5
    assert lines["vit-1"] == pytest.approx([2 / 3, 1, 0.5])  # by the logarithm, down to 0.001
    assert len(lines[f"{HOSTILE}-0"]) == 2  # a setting that it has not is left out
    assert "<img" not in drawn(picture).json
    assert write_png(picture, "s", tmp_path).stat().st_size > 1000


def test_equal_settings_draw_nothing(tmp_path: Path) -> None:
    assert setting_lines(load(write_tables(tmp_path / "s", [trial_row("vit-0", 0.5, 100.0)]))) is None
