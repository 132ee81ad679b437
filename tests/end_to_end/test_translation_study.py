"""The translation task as a study: spaces, tables, the verbs that translate and draw; an interrupted study's weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PATIENCE
from PIL import Image

import analysis
from analysis.read.candidates import terms
from analysis.read.errors import StudyError
from analysis.use.translation_attention import MAX_TOKENS, grids
from analysis.use.translator import Attended, Translator
from record.errors import UserError
from study.space.checking import check_models
from study.space.reading import resolve
from study.space.schema import default_objectives
from tests.conftest import ROOT, Program, undocumented_columns
from trainables.data.text.options import TextOptions
from trainables.translation.config import DataOptions

TINY = """
description: a tiny Transformer that copies
task: translation
data: {name: text, text: {min_frequency: 1}}
trials: 2
checkpoint_seconds: 0
early_stopping: null
confirm: {seeds: 1, candidates: 1}
models:
  tiny:
    model: translation_transformer
    layers: 1
    width: 32
    heads: 2
    feed_forward: 64
    epochs: 3
    batch_tokens: 100
    warmup: 30
    log: steps
    search: {factor: {low: 0.4, high: 0.8, log: true}, dropout: {low: 0.0, high: 0.1}, batch_tokens: [80, 100]}
"""


def write_text(folder: Path) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for split, count in (("train", 200), ("val", 30), ("test", 30)):
        lines = [" ".join(rng.choice(list("abcdef"), rng.integers(2, 5))) for _ in range(count)]
        (folder / f"{split}.src").write_text("\n".join(lines) + "\n")
        (folder / f"{split}.tgt").write_text("\n".join(lines).upper() + "\n")


@pytest.fixture(scope="module")
def study(run_study: Program, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished study folder and what the program printed."""
    folder = tmp_path_factory.mktemp("translation")
    write_text(folder / "data" / "text")
    (folder / "tiny.yaml").write_text(TINY)
    result = run_study("--space", "tiny.yaml", cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "results" / "tiny", result.stdout + result.stderr


def ask(*arguments: object, given: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "analysis", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, input=given, timeout=PATIENCE, check=False)


def test_tables_have_the_columns_of_the_task(study: tuple[Path, str]) -> None:
    trials = pd.read_csv(study[0] / "trials.csv")
    assert len(trials) == 3 and (trials["state"] == "complete").all()
    for name in ("val_bleu", "val_loss", "train_tokens_per_second", "inference_sentences_per_second", "train_seconds"):
        assert trials[name].notna().all(), name
    confirmed = trials[trials["phase"] == "confirm"]
    assert confirmed["test_bleu"].notna().all() and trials["bleu_signature"].str.contains("version:").all()
    assert trials["data"].unique().tolist() == ["text (200 training pairs)"]
    assert not {"val_accuracy", "inference_images_per_second"} & set(trials)
    assert undocumented_columns(study[0]) == {"trials": [], "epochs": [], "profile": []}
    epochs = pd.read_csv(study[0] / "epochs.csv")
    assert {"val_perplexity", "val_bleu", "learning_rate", "contended_train_tokens_per_second"} <= set(epochs)
    assert len(epochs) == 9
    [translations] = (study[0] / "translations").iterdir()
    assert len(translations.read_text().splitlines()) == 30
    loaded = analysis.load(study[0])
    assert terms(loaded).quality == "bleu" and terms(loaded).speed == "inference_sentences_per_second"
    assert (study[0] / "report.html").exists() and (study[0] / "figures" / "learning_curves.png").exists()


def test_the_program_shows_bleu_speed_and_the_steps(study: tuple[Path, str]) -> None:
    assert "val_bleu=" in study[1] and "sentences/s" in study[1].replace("\n", "")
    assert "Epoch Step:      1 | Accumulation Step:   2 | Loss: " in study[1]


def test_sentences_files_and_standard_input_are_translated(study: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a b\n\nc d e\n")
    lines = [ask("translate", study[0], *given, given=text) for given, text in (
        (("a b", "nobody knows these words"), None), ((tmp_path / "lines.txt", "--beams", 3), None), (("-",), "f e\n"),
    )]  # fmt: skip
    assert [result.returncode for result in lines] == [0, 0, 0], lines[0].stderr
    assert [len(result.stdout.splitlines()) for result in lines] == [2, 3, 1]
    assert lines[1].stdout.splitlines()[1] == ""
    translator = Translator(study[0], "best", torch.device("cpu"))
    assert translator.translate(["a b"]) == [lines[0].stdout.splitlines()[0]]
    for word in "".join(lines[0].stdout.split()):
        assert word in "ABCDEF"


def test_a_test_set_is_scored_as_the_study_scored_it(study: tuple[Path, str], tmp_path: Path) -> None:
    """The same trial, the same test set: the line that sacreBLEU prints holds the table's own test_bleu."""
    text = study[0].parents[1] / "data" / "text"
    [kept] = (study[0] / "translations").iterdir()
    tested = pd.read_csv(study[0] / "trials.csv").set_index("trial").loc[kept.stem]
    result = ask("translate", study[0], text / "test.src", "--reference", text / "test.tgt", "--trial", kept.stem)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 30
    signature, _, score = result.stderr.splitlines()[-1].partition(" = ")
    assert signature.startswith("BLEU|nrefs:1|bs:1000|") and "version:" in signature
    assert float(score.split()[0]) == pytest.approx(tested["test_bleu"], abs=0.006)
    (tmp_path / "short.trg").write_text("A\n")
    wrong = ask("translate", study[0], text / "test.src", "--reference", tmp_path / "short.trg")
    assert wrong.returncode == 2 and "short.trg has 1 lines for 30 sentences" in wrong.stderr


def test_attention_is_drawn_with_source_reference_and_translation(study: tuple[Path, str], tmp_path: Path) -> None:
    source = (study[0].parents[1] / "data" / "text" / "test.src").read_text().splitlines()[0]
    result = ask("attention", study[0], "--sentence", source, "--to", tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 4
    with Image.open(tmp_path / "attention_encoder_self.png") as picture:
        assert min(picture.size) > 100
    page = (tmp_path / "attention.html").read_text()
    assert f"source: {source}" in page and f"reference: {source.upper()}" in page
    assert page.count("<img ") == 3 and "http" not in page
    found = Translator(study[0]).attend(source)
    assert found.source == [*source.split(), "</s>"] and found.target[0] == "<s>"
    assert found.target[1:] == found.translation.split()
    shapes = {name: tuple(weights.shape) for name, weights in found.maps.items()}
    n, m = len(found.source), len(found.target)
    assert list(shapes.values()) == [(2, n, n), (2, m, m), (2, m, n)]


def test_heads_of_long_sentences_share_a_map() -> None:
    def found(tokens: int) -> Attended:
        names = ("encoder.layers.0.attention", "decoder.layers.0.self_attention", "decoder.layers.0.source_attention")
        maps = {name: torch.rand(4, tokens, tokens) for name in names}
        return Attended(["x"] * tokens, ["y"] * tokens, None, "y", maps)

    short, long = found(3), found(MAX_TOKENS + 1)
    assert [len(grid.columns) for grid in grids(short).values()] == [4, 4, 4]
    np.testing.assert_allclose(
        grids(short)["decoder_self"].maps[0][2], short.maps["decoder.layers.0.self_attention"][2]
    )
    grid = grids(long)["encoder_self"]
    assert grid.columns == ["mean of the heads"]
    np.testing.assert_allclose(grid.maps[0][0], long.maps["encoder.layers.0.attention"].mean(0), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("translate", "STUDY", "a", "--trial", "tiny-009"), "has no trial 'tiny-009'"),
        (("translate", "STUDY", " ".join("abc" * 500)), "sentence 1 has 1500 tokens; this model takes 1023"),
        (("attention", "STUDY"), "--sentence is missing"),
        (("attention", "STUDY", "--sentence", " "), "--sentence is empty"),
        (("export", "STUDY", "--to", "/nowhere"), "takes image classifiers"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_in_one_line(
    study: tuple[Path, str], arguments: tuple[str, ...], message: str
) -> None:
    result = ask(*(study[0] if each == "STUDY" else each for each in arguments))
    assert result.returncode == 2 and message in result.stderr and len(result.stderr.splitlines()) == 1


def test_an_image_study_has_no_sentences(tiny_study: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is not a translation study"):
        Translator(tiny_study)
    picture = tmp_path / "digit.png"
    Image.fromarray(np.full((8, 8), 128, np.uint8)).save(picture)
    for trial in analysis.load(tiny_study).trials.query("phase == 'confirm'").drop_duplicates("model")["trial"]:
        result = ask("attention", tiny_study, "--trial", trial, "--image", picture, "--to", tmp_path / trial)
        assert result.returncode == 0, result.stderr
        with Image.open(tmp_path / trial / "attention_digit.png") as drawn:
            assert min(drawn.size) > 100
    result = ask("attention", tiny_study)
    assert result.returncode == 2 and "--image is missing" in result.stderr


def space(**changes: object) -> dict[str, object]:
    model = {"model": "translation_transformer", "layers": 1, "width": 16, "heads": 2, "feed_forward": 16}
    return {"description": "x", "task": "translation", "data": {"name": "reversal"}, "models": {"a": model}} | changes


def test_a_translation_space_has_its_own_objectives_and_data() -> None:
    spec = resolve(space(), "x")
    assert spec.objectives == default_objectives("translation")
    assert spec.objectives == ["val_bleu", "inference_sentences_per_second", "train_seconds"]
    assert spec.data_options() == DataOptions(TextOptions(min_frequency=2))
    again = resolve(spec.model_dump(mode="json"), "study.yaml")
    assert again == spec
    check_models(spec, "x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": ["val_accuracy"]}, "objectives: unknown 'val_accuracy'; did you mean 'val_bleu'"),
        ({"objectives": ["train_seconds"]}, "objectives: val_bleu or val_loss is needed"),
        ({"data": {"name": "reversal", "validation": 0.2}}, r"data\.validation: unknown key; valid: text"),
        ({"data": {"name": "reversal", "text": {"min_freq": 2}}}, "data.text.min_freq: unknown key; .*'min_frequency'"),
        ({"data": {"name": "reversal", "text": {"vocabulary": "most"}}}, "text.vocabulary: must be 'train' or 'all'"),
        ({"models": {"resnet18": {}}}, "'resnet18' is made for image_classification.*models for it: translation_transf"),
        ({"task": "image_classification"}, "'translation_transformer' is made for translation"),
        ({"models": {"a": {"model": "translation_transformer", "target_vocabulary": 5}}}, "unknown key"),
        ({"models": {"a": {"model": "translation_transformer", "factor": 0}}}, "models.a.factor: must be above 0, got 0"),
    ],
)  # fmt: skip
def test_what_a_translation_space_may_not_say(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_models(resolve(space(**changes), "x"), "x")


def test_the_notebook_runs_on_the_study(study: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbclient and ipykernel are development dependencies")
    nbclient = pytest.importorskip("nbclient", reason="nbclient and ipykernel are development dependencies")
    path = Path(analysis.__file__).parent / "notebooks" / "translation.ipynb"
    monkeypatch.setenv("STUDY", str(study[0]))
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(path.parent)}}).execute()
    printed = nbformat.writes(notebook)
    assert "text (200 training pairs)" in printed and "beam 5" in printed and "image/png" in printed


@pytest.mark.slow
def test_a_killed_study_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path, run_study: Program) -> None:
    write_text(tmp_path / "data" / "text")
    content = TINY.replace("trials: 2", "trials: 1\nphases: [search]\nobjectives: [val_bleu]").replace(
        "epochs: 3", "epochs: 40"
    )
    (tmp_path / "tiny.yaml").write_text(content)
    command = [sys.executable, str(ROOT / "run_study.py"), "--space", "tiny.yaml", "--name", "killed"]
    with (tmp_path / "out").open("w") as out:
        program = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=out, start_new_session=True)
    checkpoint = tmp_path / "results" / "killed" / "checkpoints" / "tiny-000.pt"
    deadline = time.monotonic() + PATIENCE
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    before = torch.load(checkpoint, weights_only=True)["loop"]["epoch"]
    assert before < 40
    assert run_study("--name", "killed", "--resume", cwd=tmp_path).returncode == 0
    assert run_study("--space", "tiny.yaml", "--name", "whole", cwd=tmp_path).returncode == 0
    killed, whole = (
        torch.load(tmp_path / "results" / name / "checkpoints" / "tiny-000.pt", weights_only=True)["loop"]["model"]
        for name in ("killed", "whole")
    )
    assert all(torch.equal(killed[key], whole[key]) for key in whole)
