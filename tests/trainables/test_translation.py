"""The epoch loop of translation: batches, schedule, exact resume, what it learns, and the log of batches."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inputs.text import BEGIN, END, PADDING
from models.outputs.decoding import Search
from record import figures
from record.folder import StudyFolder
from record.tasks import TRANSLATION
from trainables.data import DataError
from trainables.data.text.options import TextOptions
from trainables.data.text.text_data import Pairs, Sentences
from trainables.data.text.tokenising import from_lines
from trainables.pace import Yardstick
from trainables.training import Diverged
from trainables.translation.batching import buckets, collate, fixed_size, padded_lengths
from trainables.translation.formulas import learning_rate, smoothed_entropy
from trainables.translation.task import (
    Config,
    Data,
    DataOptions,
    Loop,
    check_train_size,
    epoch_seconds,
    load_data,
    profile,
    shape,
)

CPU = torch.device("cpu")
MODEL = "translation_transformer"
TINY = {"layers": 1, "width": 32, "heads": 2, "feed_forward": 64, "dropout": 0.1, "norm": "pre"}


def letters(pairs: int) -> Data:
    """Training pairs, and 24 validation pairs: two to five letters, to be translated into capitals."""
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(list("abcdef"), rng.integers(2, 6))) for _ in range(pairs + 24)]
    parts = {"train": lines[:pairs], "val": lines[pairs:], "test": lines[pairs:]}
    text = from_lines(
        {s: (p, [x.upper() for x in p]) for s, p in parts.items()}, ("x", "y"), TextOptions(), "t", "made up"
    )
    return Data(text.source_vocabulary, text.target_vocabulary, text.train, text.validation)


@pytest.fixture(scope="module")
def data() -> Data:
    return letters(96)


def loop(data: Data, **config: object) -> Loop:
    fields = {"factor": 0.5, "warmup": 20, "epochs": 4, "batch_tokens": 60} | config
    return Loop(Config(**fields), MODEL, TINY, "none", data, CPU)


def weights(training: Loop) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in training.model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("config", [{}, {"batch_size": 16, "pad_to": 8, "accumulation": 4, "cooldown": 0.5}])
def test_a_resumed_training_has_the_weights_of_an_uninterrupted_one_bit_for_bit(
    data: Data, config: dict[str, object], tmp_path: Path
) -> None:
    uninterrupted = loop(data, **config)
    rows = [uninterrupted.run_epoch() for _ in range(4)]
    for stop in (1, 3):
        first = loop(data, **config)
        for _ in range(stop):
            first.run_epoch()
        torch.save(first.state_dict(), tmp_path / "loop.pt")
        torch.rand(1000)  # other random numbers of the process must not matter
        second = loop(data, **config)
        second.load_state_dict(torch.load(tmp_path / "loop.pt", weights_only=True))
        again = [second.run_epoch() for _ in range(4 - stop)]
        assert same(weights(uninterrupted), weights(second))
        for name in ("val_loss", "val_bleu", "learning_rate"):
            assert [r[name] for r in again] == [r[name] for r in rows[stop:]]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(data: Data) -> None:
    runs = {seed: loop(data, seed=seed) for seed in (0, 1)}
    repeated = loop(data, seed=0)
    for training in (*runs.values(), repeated):
        training.run_epoch()
    assert same(weights(runs[0]), weights(repeated))
    assert not same(weights(runs[0]), weights(runs[1]))


def test_it_learns_what_can_be_learnt(tmp_path: Path) -> None:
    """A letter for a letter: the model overfits the tiny set, and applies the rule to unseen sentences."""
    data = letters(192)
    config = Config(factor=0.5, warmup=100, cooldown=0.5, epochs=60, batch_tokens=60, label_smoothing=0.0)
    training = Loop(config, MODEL, TINY | {"dropout": 0.0}, "none", data, CPU)
    rows = [training.run_epoch() for _ in range(60)]
    assert rows[-1]["train_loss"] < 0.1 < rows[0]["train_loss"]
    assert rows[-1]["val_sequence_accuracy"] >= 0.9 and rows[-1]["val_bleu"] > 80  # the sentences are short
    assert rows[-1]["val_perplexity"] == pytest.approx(math.exp(rows[-1]["val_loss"]))
    assert [row["epoch"] for row in rows] == list(range(1, 61))
    assert all("version:" in row["bleu_signature"] for row in rows)
    for key in ("train_seconds", "eval_seconds", "train_tokens_per_second", "peak_memory_mb", "learning_rate"):
        assert all(row[key] > 0 for row in rows)
    tested = training.test(data.validation, StudyFolder(tmp_path), "small-000")
    translations = StudyFolder(tmp_path).translations("small-000").read_text(encoding="utf-8")
    assert translations.splitlines() == training.translate(data.validation)
    assert tested["test_bleu"] == rows[-1]["val_bleu"] and tested["test_sentences"] == 24
    assert training.translate(data.validation, Search(3)) == training.translate(
        data.validation, Search(3, cached=False)
    )


def test_a_group_of_batches_has_the_gradient_of_the_mean_over_its_tokens(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Loop(
        Config(accumulation=2, warmup=10, bfloat16=False), MODEL, TINY | {"dropout": 0.0}, "none", data, CPU
    )
    steps: list[list[torch.Tensor]] = []
    monkeypatch.setattr(training, "optimise", lambda rate: steps.append(_take_gradients(training)))
    batches = [np.arange(0, 10), np.arange(10, 30), np.arange(30, 96), np.arange(0, 5)]
    list(training.train_steps(batches))
    groups = [[0], [1, 2], [3]]  # the first by itself, then two at a time, then the rest
    assert len(steps) == len(groups)
    for group, gradients in zip(groups, steps, strict=True):
        together = np.concatenate([batches[i] for i in group])
        batch = collate(data.train, together, 0, CPU)
        (training.loss(batch, 0.1) / len(batch.labels)).backward()
        for expected, gradient in zip(_take_gradients(training), gradients, strict=True):
            assert torch.allclose(expected, gradient, atol=1e-6)


def _take_gradients(training: Loop) -> list[torch.Tensor]:
    gradients = [p.grad.clone() for p in training.model.parameters()]
    training.optimiser.zero_grad(set_to_none=True)
    return gradients


def test_a_diverged_loss_ends_the_epoch_with_the_reason(data: Data) -> None:
    training = loop(data, factor=1e30, warmup=1)
    with pytest.raises(Diverged, match=r"loss of epoch \d is (nan|inf)"):
        for _ in range(4):
            training.run_epoch()


def test_a_smaller_train_size_is_part_of_a_larger_one(data: Data) -> None:
    small, large = loop(data, train_size=20), loop(data, train_size=50)
    assert len(small.indices) == 20 and set(small.indices) < set(large.indices)
    with pytest.raises(DataError, match="there are 96 training pairs"):
        check_train_size(data, 97)


def test_the_learning_rate_is_that_of_the_replicated_report_at_its_logged_steps() -> None:
    """The report: 907 batches per epoch, width 512, warm-up 3000, a step at every batch."""
    total = 8 * 907
    logged = {
        (epoch, step): f"{learning_rate(epoch * 907 + step + 1, 512, 3000, 0, total):.1e}"
        for epoch, step in ((0, 1), (3, 281), (7, 1), (7, 906))
    }
    assert logged == {(0, 1): "5.4e-07", (3, 281): "8.1e-04", (7, 1): "5.5e-04", (7, 906): "5.2e-04"}
    rates = [learning_rate(step, 512, 3000, 0, total) for step in range(1, total + 1)]
    assert max(rates) == rates[2999]


def test_the_cool_down_lowers_the_rate_linearly_at_the_end() -> None:
    ratios = [learning_rate(s, 64, 10, 25, 100) / learning_rate(s, 64, 10, 0, 100) for s in range(1, 101)]
    assert ratios[:76] == [1.0] * 76
    assert ratios[76:] == pytest.approx([i / 25 for i in range(24, 0, -1)])


def test_the_smoothed_entropy_is_the_loss_of_perfect_predictions() -> None:
    for smoothing, classes in ((0.1, 6), (0.0, 6), (0.3, 50)):
        target = torch.full((classes,), smoothing / classes)
        target[0] += 1 - smoothing
        expected = -sum(p * math.log(p) for p in target.tolist() if p)
        assert smoothed_entropy(smoothing, classes) == pytest.approx(expected, abs=1e-6)
        loss = torch.nn.functional.cross_entropy(
            target.clamp(1e-30).log()[None], torch.tensor([0]), label_smoothing=smoothing
        )
        assert loss.item() == pytest.approx(expected, abs=1e-4)


def test_steps_are_logged_in_the_format_of_the_report(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    loop(data, batch_size=2, accumulation=10, log="steps").run_epoch()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Epoch Step:      1 | Accumulation Step:   1 | Loss:   ")
    assert lines[1].startswith("Epoch Step:     41 | Accumulation Step:   5 | Loss:   ")
    assert " | Tokens / Sec: " in lines[0] and lines[0].endswith(" | Learning Rate: 2.0e-03")
    assert len(lines[0]) == len(
        "Epoch Step:    281 | Accumulation Step:  29 | Loss:   2.10 | Tokens / Sec:  4276.3 | Learning Rate: 8.1e-04"
    )


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=30),
    st.integers(1, 60),
    st.integers(0, 9),
)
def test_buckets_hold_each_pair_once_and_respect_the_limit_of_tokens(
    lengths: list[tuple[int, int]], batch_tokens: int, seed: int
) -> None:
    source, target = (Sentences.of([[4] * pair[side] for pair in lengths]) for side in (0, 1))
    pairs = Pairs(source, target)
    indices = np.arange(len(pairs))
    batches = buckets(pairs, indices, batch_tokens, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == indices.tolist()
    for batch in batches:
        assert len(batch) == 1 or len(batch) * padded_lengths(pairs)[batch].max() <= batch_tokens
    fixed = fixed_size(indices, 4, np.random.default_rng(seed))
    assert sorted(np.concatenate(fixed).tolist()) == indices.tolist()
    assert [len(batch) for batch in fixed[:-1]] == [4] * (len(fixed) - 1)


def test_a_batch_is_shifted_padded_and_cut() -> None:
    pairs = Pairs(Sentences.of([[4, 5, 6], [7]]), Sentences.of([[8], [9, 8, 9]]))
    batch = collate(pairs, np.array([0, 1]), 0, CPU)
    assert batch.source.tolist() == [[4, 5, 6, END], [7, END, PADDING, PADDING]]
    assert batch.target.tolist() == [[BEGIN, 8, END, PADDING], [BEGIN, 9, 8, 9]]
    assert batch.labels.tolist() == [8, END, 9, 8, 9, END] and batch.where.tolist() == [0, 1, 4, 5, 6, 7]
    fixed = collate(pairs, np.array([0, 1]), 3, CPU)
    assert fixed.source.tolist() == [[4, 5, 6], [7, END, PADDING]]
    assert fixed.target.tolist() == [[BEGIN, 8, END], [BEGIN, 9, 8]] and fixed.labels.tolist() == [8, END, 9, 8, 9]


@pytest.mark.parametrize(
    ("field", "value"),
    [("factor", 0), ("warmup", 0), ("epochs", 0), ("label_smoothing", 1), ("beams", 0), ("log", "x"), ("pad_to", -1)],
)
def test_the_error_names_a_setting_out_of_bounds(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field} must be .*{value}"):
        Config(**{field: value})


def test_a_profile_times_step_and_decoding(data: Data) -> None:
    row = profile(Config(batch_size=4, accumulation=2, beams=2), MODEL, TINY, CPU, shape(data), 1, Yardstick(CPU))
    training = loop(data)
    assert shape(data) == {"source_vocabulary": 10, "target_vocabulary": 10, "source_tokens": 4, "target_tokens": 4}
    assert row["parameters"] == sum(p.numel() for p in training.model.parameters()) and row["batch"] == 4
    assert row["train_pairs_per_second"] == pytest.approx(4 / row["train_step_seconds"])
    assert row["train_tokens_per_second"] == pytest.approx(20 / row["train_step_seconds"])  # 4 tokens and END
    assert (
        row["inference_sentences_per_second_q1"] <= row[TRANSLATION.speed] <= row["inference_sentences_per_second_q3"]
    )
    # Twice the encoder's multiplications for one sentence, counted by hand; the decoder adds more.
    encoder = 2 * 5 * (4 * 32 * 32 + 2 * 32 * 64)
    assert encoder < 1e9 * row["gflops_per_sentence"] < 40 * encoder
    assert set(figures.measured(TRANSLATION.name)) <= set(row)
    assert epoch_seconds(Config(), row, 96, 24) == pytest.approx(
        (96 / row["train_pairs_per_second"], 24 / row[TRANSLATION.speed])
    )
    assert epoch_seconds(Config(train_size=48), row, 96, 24)[0] == pytest.approx(48 / row["train_pairs_per_second"])


@pytest.mark.slow
def test_reversal_is_solved(tmp_path: Path) -> None:
    data, test, _ = load_data("reversal", Path("data"), DataOptions())
    torch.set_num_threads(2)
    config = Config(factor=0.5, warmup=200, cooldown=0.5, epochs=10, batch_tokens=1000, label_smoothing=0.0)
    options = {"layers": 2, "width": 64, "feed_forward": 128, "heads": 4, "dropout": 0.0, "norm": "pre"}
    training = Loop(config, MODEL, options, "none", data, CPU)
    for _ in range(10):
        training.run_epoch()
    assert training.test(test, StudyFolder(tmp_path), "small-000")["test_sequence_accuracy"] >= 0.99
