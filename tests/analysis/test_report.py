"""report.html: what it says about complete, broken and hostile studies."""

import json
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import HOSTILE, confirmed_study, trial_row, write_study, write_tables

from analysis.tell.report import write_report


class Text(HTMLParser):
    """The tags of a page and its text, without scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._code = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._code = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._code = False

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.text += data


def read(folder: Path) -> Text:
    path = write_report(folder)
    assert path == folder / "report.html"
    assert path.stat().st_size < 8e6
    return Text(path.read_text(encoding="utf-8"))


def test_everything_is_in_the_file_and_on_the_page(tmp_path: Path) -> None:
    page = read(confirmed_study(tmp_path / "digits"))
    linked = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if attrs.get(name)]
    assert all(str(link).startswith("#") for link in linked)
    assert not {"link", "iframe", "object"} & {tag for tag, _ in page.tags}
    ids = {attrs.get("id") for _, attrs in page.tags}
    assert {str(link)[1:] for link in linked} <= ids
    for part in ("cannot be told apart", "95 % interval", "How speed was measured", "vit_tome-000"):
        assert part in page.text
    assert (
        page.text.index("Use vit (vit-000)") < page.text.index("cannot be told apart") < page.text.rindex("All trials")
    )
    for empty in ("Failed and stopped", "Token merging", "Mistakes"):
        assert empty not in page.text


def test_text_from_the_study_is_escaped(tmp_path: Path) -> None:
    rows = [
        trial_row(f"vit{HOSTILE}-000", 0.9, 100.0, data=HOSTILE, weights=HOSTILE),
        trial_row(f"vit{HOSTILE}-001", 0.8, 200.0, state="failed", error=HOSTILE),
    ]
    folder = write_tables(tmp_path / "s", rows)
    (folder / "study.yaml").write_text(json.dumps({"description": HOSTILE}))
    (folder / "environment.json").write_text(json.dumps({"command": HOSTILE, "date": HOSTILE}))
    page = read(folder)
    assert not [tag for tag, attrs in page.tags if tag == "img" or "onerror" in attrs]
    assert page.text.count("onerror=alert(1)") >= 6


@pytest.mark.parametrize("quality", ["accuracy", "bleu"])
def test_a_study_that_was_not_confirmed(tmp_path: Path, quality: str) -> None:
    page = read(write_study(tmp_path / "s", seeds=0, quality=quality))
    assert "Differences are not tested" in page.text
    assert "loss is nan in epoch 2 [lr 0.3]" in page.text
    assert "Early-stopped trials" in page.text


def test_translation(tmp_path: Path) -> None:
    assert "test BLEU" in read(write_study(tmp_path / "s", quality="bleu")).text


def test_a_study_that_was_killed(tmp_path: Path) -> None:
    rows = [trial_row("vit-000", 0.9, 100.0), trial_row("vit-001", 0.5, None, state="running", epochs=1)]
    folder = write_tables(tmp_path / "s", rows)
    (folder / "environment.json").write_text('{"schema": 1, "duration_seconds": {"profile": 3.0}}')
    (folder / "trials.csv.partial").write_text("trial,mod")
    page = read(folder)
    assert "search and confirm not done" in page.text
    assert "1 trial started but did not finish" in page.text


def test_a_single_trial(tmp_path: Path) -> None:
    page = read(write_tables(tmp_path / "s", [trial_row("vit-000", 0.9, 100.0)]))
    assert "Most accurate" in page.text
    assert "No power law" not in page.text


def test_all_trials_failed(tmp_path: Path) -> None:
    rows = [trial_row(f"vit-00{i}", None, None, state="failed", error="out of memory", epochs=0) for i in range(3)]
    page = read(write_tables(tmp_path / "s", rows))
    assert "All trials failed; nothing can be concluded" in page.text
    assert page.text.count("out of memory") == 3


def test_nothing_but_a_space(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("description: started\n")
    page = read(tmp_path)
    assert "No model can be recommended: no trial has finished" in page.text
    assert "environment.json is missing" in page.text


def test_a_newer_schema_is_shown_with_a_warning(tmp_path: Path) -> None:
    folder = confirmed_study(tmp_path / "s")
    (folder / "environment.json").write_text('{"schema": 7, "data": "elsewhere", "new": [1, {"a": null}]}')
    study = pd.read_csv(folder / "trials.csv").assign(shade="blue")
    study.to_csv(folder / "trials.csv", index=False)
    page = read(folder)
    assert "written by a newer version (schema 7" in page.text
    assert "Most accurate" in page.text


def test_no_speed_was_measured(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "s", [trial_row("vit-000", 0.9, None, train_seconds=None)])
    (folder / "profile.csv").write_text("model,phase\n")
    page = read(folder)
    assert "Most accurate" in page.text
    assert "No speed was measured alone" in page.text


def test_ten_thousand_trials_are_reported(tmp_path: Path) -> None:
    random, count = np.random.default_rng(0), 10_000
    trials = pd.DataFrame([trial_row("", 0.9, 100.0)] * count)
    trials["model"] = random.choice(["vit", "resnet18"], count)
    trials["trial"] = [f"{model}-{i:05d}" for i, model in enumerate(trials["model"])]
    trials["val_accuracy"], trials["inference_images_per_second"] = random.random(count), random.random(count)
    trials["train_size"] = random.integers(100, 10_000, count)
    trials.to_csv(tmp_path / "trials.csv", index=False)
    epochs = trials[["trial", "model", "phase", "val_accuracy"]]
    pd.concat([epochs.assign(epoch=i) for i in range(10)]).to_csv(tmp_path / "epochs.csv", index=False)
    start = time.perf_counter()
    assert "The first 500 of 10,000 rows" in read(tmp_path).text
    assert time.perf_counter() - start < 150  # usually 5 to 15
