"""A trial in its worker: which checkpoint it continues from, and its end when it hangs."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from record.folder import StudyFolder
from trainables import task as tasks
from trainables.trial_config import TrialConfig
from trainables.tune_adapter import DataRefs, _Training

EPOCHS = 4
TIMES = ("train_seconds", "eval_seconds", "train_images_per_second", "peak_memory_mb")


@pytest.fixture(scope="module")
def data() -> Iterator[DataRefs]:
    task = tasks.named("image_classification")
    training, test, _ = task.load_data("digits", Path("data"), task.DataOptions(), [16], 0)
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield DataRefs(ray.put(training), ray.put(test))
    ray.shutdown()


@pytest.fixture
def config(tmp_path: Path) -> TrialConfig:
    return TrialConfig(
        trial="net-000", study="0123", task="image_classification", model="scratch_vit",
        options={"patch_size": 4, "width": 16, "depth": 1, "heads": 2, "feed_forward": 16, "image_size": 16},
        weights="none", training={"train_size": 64, "batch_size": 32, "epochs": EPOCHS, "seed": 1, "lr": 1e-3},
        cpus=1, gpus=0, folder=str(tmp_path), checkpoint_seconds=0, timeout_seconds=600, rows_recorded=0, test=False,
    )  # fmt: skip


def rows(config: TrialConfig, data: DataRefs, epochs: int) -> list[dict[str, object]]:
    """Those of the next epochs, without times, as a new worker reports them."""
    training = _Training(config, data)
    steps = [training.next_row() for _ in range(epochs)]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in steps]


@pytest.fixture
def expected(config: TrialConfig, data: DataRefs, tmp_path: Path) -> list[dict[str, object]]:
    """The rows of an undisturbed training."""
    return rows(dataclasses.replace(config, folder=str(tmp_path / "undisturbed")), data, EPOCHS)


def test_a_training_continues_from_its_checkpoint(
    config: TrialConfig, data: DataRefs, expected: list[dict[str, object]]
) -> None:
    assert rows(config, data, 2) == expected[:2]
    assert rows(dataclasses.replace(config, rows_recorded=2), data, 2) == expected[2:]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut off", b"\x80\x04N."])
def test_a_checkpoint_that_cannot_be_read_gives_way_to_the_one_before(
    config: TrialConfig, data: DataRefs, expected: list[dict[str, object]], damage: bytes
) -> None:
    rows(config, data, 2)
    StudyFolder(Path(config.folder)).checkpoint(config.trial).write_bytes(damage)
    second, third = rows(dataclasses.replace(config, rows_recorded=2), data, 2)
    assert str(second.pop("note")).startswith("checkpoint not used: Unreadable: ")
    assert [second, third] == expected[1:3]  # the ledger keeps the second row that it has


def test_without_a_readable_checkpoint_the_training_starts_again(
    config: TrialConfig, data: DataRefs, expected: list[dict[str, object]]
) -> None:
    rows(config, data, 2)
    for path in StudyFolder(Path(config.folder)).checkpoints.glob("*.pt"):
        path.write_bytes(path.read_bytes()[:1000])
    first, *others = rows(dataclasses.replace(config, rows_recorded=2), data, EPOCHS)
    assert str(first.pop("note")).count("checkpoint not used") == 2
    assert [first, *others] == expected


@pytest.mark.parametrize("other", [{"study": "4567"}, {"lr": 1e-8}, {"seed": 2}])
def test_a_foreign_checkpoint_is_put_aside(
    config: TrialConfig, data: DataRefs, expected: list[dict[str, object]], other: dict[str, object]
) -> None:
    """Such as one that a deleted study left on a node's disk."""
    study = str(other.get("study", config.study))
    training = config.training | {name: value for name, value in other.items() if name != "study"}  # type: ignore[operator]
    rows(dataclasses.replace(config, study=study, training=training), data, 1)
    first, *others = rows(config, data, EPOCHS)
    aside = StudyFolder(Path(config.folder)).checkpoints / "net-000.pt.foreign"
    assert first.pop("note") == f"checkpoint not used: {aside.name} is of another study, trial or setting"
    assert [first, *others] == expected and aside.exists()


def test_a_worker_that_hangs_ends_itself_and_says_where(config: TrialConfig) -> None:
    hung = dataclasses.replace(config, timeout_seconds=0.2)
    if (process := os.fork()) == 0:
        with _Training(hung, DataRefs(None, None)).watched():  # type: ignore[arg-type]
            time.sleep(60)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 1
    text = StudyFolder(Path(config.folder)).traceback(config.trial).read_text()
    assert "Timeout" in text and Path(__file__).name in text


def test_a_worker_that_does_not_hang_leaves_no_trace(config: TrialConfig) -> None:
    with _Training(config, DataRefs(None, None)).watched():  # type: ignore[arg-type]
        pass
    assert not list(Path(config.folder).rglob("*.traceback"))
