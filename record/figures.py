"""Every column that a study writes: one line each, with name, unit, type, direction, label, and the tasks that have it.

Writers (ledger, tables), readers (analysis) and docs/columns.md ask this table, so a new figure is a line here and the
code that measures it. Settings that a space may set beyond those listed become columns too; docs/spaces.md has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from record.tasks import IMAGE_CLASSIFICATION, TRANSLATION

Type = Literal["float64", "Int64", "str", "boolean"]

TRIALS, EPOCHS, PROFILE, ENGINES = "trials", "epochs", "profile", "engines"  # the tables, as their files are called
IMAGES, TEXT = (IMAGE_CLASSIFICATION.name,), (TRANSLATION.name,)
REFUSED = "refused"  # column that says why a study does without an engine
PACE = "pace"  # of the machine while it timed something
YARDSTICK = (
    "pace_seconds"  # another name for another yardstick: those of an older one, yardstick_seconds, do not compare
)
NOISE = 0.1  # of a speed: what differs by less counts as as fast, and one that is more uncertain is not relied on
TIMING_SECONDS = "timing_seconds"
COMPILE_SECONDS = "compile_seconds"
CONTENDED = "contended_"  # prefix of what was measured while other trials shared the hardware


@dataclass(frozen=True)
class Figure:
    """One column. `tables` lists where it appears, `tasks` which studies have it (none: all)."""

    name: str
    meaning: str
    unit: str = ""
    type: Type = "float64"
    better: Literal["more", "less"] | None = None
    label: str = ""  # on an axis, for figures that a picture shows
    alone: bool = False  # timed with the hardware to itself: needs the profile phase
    measured: bool = False  # the profile of a task returns it, and a trial inherits it
    objective: bool = False  # a space may name it in `objectives`
    setting: bool = False  # a setting that every study of the task has a column for
    tables: tuple[str, ...] = (TRIALS,)
    tasks: tuple[str, ...] = ()

    @property
    def clock(self) -> int:
        """1 for a time, -1 for a speed, 0 for what no clock measures."""
        return 1 if self.unit in ("s", "ms") else -1 if self.unit.endswith("/s") else 0

    @property
    def clocked(self) -> bool:
        """Whether it is a time or a speed, which a disturbance of its timing changes."""
        return self.alone and self.clock != 0

    def of(self, task: str) -> bool:
        """Whether studies of this task have the column."""
        return not self.tasks or task in self.tasks


def _timed(
    name: str,
    meaning: str,
    unit: str,
    better: Literal["more", "less"],
    label: str,
    tasks: tuple[str, ...] = (),
    *,
    type: Type = "float64",
    objective: bool = True,
    measured: bool = True,
    deployed: bool = False,
) -> Figure:
    """A figure that is timed alone; `measured` ones stand in profile.csv too, `deployed` ones, in which engines differ, in
    engines.csv."""
    tables = (TRIALS, *((PROFILE,) if measured else ()), *((ENGINES,) if deployed else ()))
    return Figure(name, meaning, unit, type, better, label, True, measured, objective, tables=tables, tasks=tasks)


def _spread(speed: str, unit: str, tasks: tuple[str, ...]) -> tuple[Figure, Figure]:
    return tuple(  # type: ignore[return-value]
        Figure(f"{speed}_{q}", f"{text} quartile over the repeats", unit, tables=(PROFILE,), tasks=tasks)
        for q, text in (("q1", "lower"), ("q3", "upper"))
    )


def _percentile(name: str, meaning: str, label: str) -> tuple[Figure, Figure, Figure]:
    """A latency, with the ends of its interval in profile.csv."""
    return (
        _timed(name, meaning, "ms", "less", label, objective=False, deployed=True),
        Figure(f"{name}_low", "lower end of its 95 % interval", "ms", tables=(PROFILE,)),
        Figure(f"{name}_high", "upper end; empty where there were too few calls to bound it", "ms", tables=(PROFILE,)),
    )


FIGURES: tuple[Figure, ...] = (
    # -- which trial
    Figure("trial", "name of the trial, unique in the study", type="str", tables=(TRIALS, EPOCHS, ENGINES)),
    Figure("model", "model entry of the space", type="str", tables=(TRIALS, EPOCHS, PROFILE, ENGINES)),
    Figure("phase", "phase that the row belongs to", type="str", tables=(TRIALS, EPOCHS, PROFILE)),
    Figure("state", "complete, pruned, failed or running", type="str"),
    Figure("seed", "seed of subset, initial weights and order", type="Int64", tables=(TRIALS, ENGINES)),
    Figure("data", "data set that was really read", type="str"),
    Figure("weights", "what training started from: none, timm:NAME or file:NAME", type="str"),
    Figure("engine", "engine (docs/engines.md); of a search trial the fastest one of its setting, whose speed the row has, of a confirm trial torch", type="str", tables=(TRIALS, PROFILE, ENGINES), tasks=IMAGES),
    # -- settings that every study of a task has a column for
    Figure("lr", "peak learning rate", setting=True, tasks=IMAGES),
    Figure("factor", "factor of the learning rate schedule", setting=True, tasks=TEXT),
    Figure("warmup", "batches until the learning rate peaks", "batches", "Int64", setting=True, tasks=TEXT),
    Figure("dropout", "dropout probability", setting=True, tasks=TEXT),
    Figure("label_smoothing", "label smoothing", setting=True, tasks=TEXT),
    Figure("batch_tokens", "tokens per batch, padding included", "tokens", "Int64", setting=True, tasks=TEXT),
    Figure("train_size", "training examples", "images or pairs", "Int64", setting=True),
    Figure("tome_ratio", "share of the patch tokens merged by the last block", setting=True, tables=(TRIALS, PROFILE), tasks=IMAGES),
    Figure("image_size", "side of the model's input", "px", "Int64", setting=True, tables=(TRIALS, PROFILE), tasks=IMAGES),
    # -- what a trial reached
    Figure("epoch", "epoch, counted from 1", type="Int64", tables=(EPOCHS,)),
    Figure("epochs", "epochs that the trial trained", type="Int64", better="less"),
    Figure("epoch_budget", "epochs that the trial was given", type="Int64"),
    Figure("val_accuracy", "accuracy on the validation split", "share", better="more", label="validation accuracy", objective=True, tables=(TRIALS, EPOCHS, ENGINES), tasks=IMAGES),
    Figure("test_accuracy", "accuracy on the test split (confirm phase only)", "share", better="more", label="test accuracy", tables=(TRIALS, EPOCHS, ENGINES), tasks=IMAGES),
    Figure("accuracy_difference", "test accuracy minus that of eager PyTorch, of the same training on the same images", "share", tables=(ENGINES,), tasks=IMAGES),
    Figure("equal_classes", "share of the test images that get the same class as from eager PyTorch", "share", tables=(ENGINES,), tasks=IMAGES),
    Figure("test_balanced_accuracy", "mean over the classes of the share of their test images that is classified right", "share", better="more", label="balanced test accuracy", tables=(TRIALS, EPOCHS), tasks=IMAGES),
    Figure("val_bleu", "sacreBLEU on the validation split", "BLEU", better="more", label="validation BLEU", objective=True, tables=(TRIALS, EPOCHS), tasks=TEXT),
    Figure("test_bleu", "sacreBLEU on the test split (confirm phase only)", "BLEU", better="more", label="test BLEU", tables=(TRIALS, EPOCHS), tasks=TEXT),
    Figure("val_loss", "cross-entropy on the validation split", "nats per example or token", better="less", label="validation loss", objective=True, tables=(TRIALS, EPOCHS)),
    Figure("train_loss", "mean training loss of the epoch", "nats per example or token", better="less", tables=(EPOCHS,)),
    Figure("learning_rate", "learning rate at the end of the epoch", tables=(EPOCHS,)),
    Figure("decision", "what early stopping decided after the epoch: continue or stop; empty where it did not compare", type="str", tables=(EPOCHS,)),
    # -- what a trial costs, timed alone
    _timed("train_seconds", "training time of the trial's epochs, from the isolated timing of a step with the trial's threads", "s", "less", "training time, s", measured=False),
    _timed("eval_seconds", "evaluation time of the trial's epochs, at the inference speed, which has all cores of the node", "s", "less", "", objective=False, measured=False),
    Figure("contended_train_seconds", "training time of the epoch while other trials ran", "s", better="less", tables=(EPOCHS,)),
    Figure("contended_eval_seconds", "evaluation time of the epoch while other trials ran", "s", better="less", tables=(EPOCHS,)),
    Figure("contended_train_seconds_per_epoch", "mean training time per epoch while other trials ran", "s", better="less"),
    Figure("contended_eval_seconds_per_epoch", "mean evaluation time per epoch while other trials ran", "s", better="less"),
    Figure("contended_train_images_per_second", "training speed of the epoch while other trials ran", "images/s", better="more", tables=(EPOCHS,), tasks=IMAGES),
    Figure("contended_train_tokens_per_second", "training speed of the epoch while other trials ran", "target tokens/s", better="more", tables=(EPOCHS,), tasks=TEXT),
    _timed("inference_images_per_second", "inference throughput at the best batch size", "images/s", "more", "inference, images/s", IMAGES, deployed=True),
    *_spread("inference_images_per_second", "images/s", IMAGES),
    Figure("interpolated_images_per_second", "speed that the search had interpolated for this setting", "images/s", better="more", tables=(PROFILE,), tasks=IMAGES),
    _timed("inference_sentences_per_second", "decoding throughput at the best batch size", "sentences/s", "more", "inference, sentences/s", TEXT),
    *_spread("inference_sentences_per_second", "sentences/s", TEXT),
    Figure("interpolated_sentences_per_second", "speed that the search had interpolated for this setting", "sentences/s", better="more", tables=(PROFILE,), tasks=TEXT),
    _timed("train_images_per_second", "training throughput at the space's batch size", "images/s", "more", "training, images/s", IMAGES),
    _timed("train_tokens_per_second", "training throughput at the space's batch size", "target tokens/s", "more", "training, tokens/s", TEXT),
    _timed("train_pairs_per_second", "training throughput at the space's batch size", "pairs/s", "more", "", TEXT, objective=False),
    _timed("train_step_seconds", "duration of a training step", "s", "less", "", objective=False),
    Figure("train_step_seconds_q1", "lower quartile over the repeats", "s", tables=(PROFILE,), tasks=IMAGES),
    Figure("train_step_seconds_q3", "upper quartile over the repeats", "s", tables=(PROFILE,), tasks=IMAGES),
    *_percentile("latency_ms", "inference time of one example: median of the calls", "latency, ms"),
    *_percentile("latency_ms_p95", "inference time that 95 % of the calls do not exceed", "latency of 95 %, ms"),
    *_percentile("latency_ms_p99", "inference time that 99 % of the calls do not exceed", "latency of 99 %, ms"),
    Figure("latency_calls", "calls that the latencies come from", "calls", "Int64", tables=(PROFILE,)),
    _timed("parameters", "parameters of the model", "", "less", "", type="Int64", objective=False),
    _timed("gflops_per_image", "floating point operations of inference", "GFLOP", "less", "GFLOPs per image", IMAGES),
    _timed("gflops_per_sentence", "floating point operations of inference", "GFLOP", "less", "GFLOPs per sentence", TEXT),
    Figure("peak_memory_mb", "peak memory of training", "MB", better="less", alone=True, measured=True, objective=True, tables=(TRIALS, EPOCHS, PROFILE)),
    # -- what came of it
    Figure("pareto", "whether no other trial of the phase that may hold the limits beats it in every objective", type="boolean"),
    Figure("candidate", "search trial that a confirm trial repeats", type="str", tables=(TRIALS, ENGINES)),
    Figure("learnt_from", "trial of an earlier study whose settings it tries: STUDY/TRIAL", type="str"),
    Figure("cell", "cell: the model entry with its factor values", type="str"),
    Figure("test_images", "test images", "images", "Int64", tables=(TRIALS, EPOCHS), tasks=IMAGES),
    Figure("test_sentences", "test sentences", "sentences", "Int64", tables=(TRIALS, EPOCHS), tasks=TEXT),
    Figure("test_loss", "cross-entropy on the test split", "nats per example or token", better="less", tables=(TRIALS, EPOCHS)),
    Figure("test_perplexity", "exp of the test loss", better="less", tables=(TRIALS, EPOCHS), tasks=TEXT),
    Figure("test_sequence_accuracy", "share of test translations equal to their reference", "share", better="more", tables=(TRIALS, EPOCHS), tasks=TEXT),
    Figure("val_perplexity", "exp of the validation loss", better="less", tables=(TRIALS, EPOCHS), tasks=TEXT),
    Figure("val_sequence_accuracy", "share of validation translations equal to their reference", "share", better="more", tables=(TRIALS, EPOCHS), tasks=TEXT),
    Figure("bleu_signature", "sacreBLEU's signature: version and options", type="str", tables=(TRIALS, EPOCHS), tasks=TEXT),
    Figure("accumulation", "parts that each batch was computed in", type="Int64", tables=(TRIALS, EPOCHS), tasks=IMAGES),
    Figure("started", "local time when the trial started", type="str"),
    Figure("finished", "local time when the trial ended", type="str"),
    Figure("error", "why the trial failed", type="str"),
    Figure("interruptions", "times that the trial's worker died and the trial was started again", type="Int64"),
    Figure("note", "what happened that a reader should know", type="str", tables=(TRIALS, EPOCHS)),
    # -- how a timing was made
    Figure("batch", "batch size of the training step", "examples", "Int64", tables=(PROFILE,)),
    Figure("inference_batch", "batch size with the best throughput", "examples", "Int64", tables=(PROFILE,)),
    Figure("dtype", "number format of the computation", type="str", tables=(PROFILE, ENGINES)),
    Figure("device", "cpu or cuda", type="str", tables=(PROFILE,)),
    Figure("threads", "CPU threads of inference: all cores of the node, as where the model is deployed", type="Int64", tables=(PROFILE,)),
    Figure("train_threads", "CPU threads of the training step: those of a trial, as its resources.cpus say", type="Int64", tables=(PROFILE,)),
    Figure("spread", "interquartile range over the median, of the noisier timing", "share", tables=(PROFILE,)),
    Figure("uncertainty", "half the 95 % interval of the median over it, of the noisier timing", "share", tables=(PROFILE,)),
    Figure(YARDSTICK, "what the yardstick, a fixed small computation, took on the processor when the timing began; it takes turns with what is timed", "s", tables=(PROFILE,)),
    Figure(PACE, "the median of the profile phase's yardsticks over this one: above 1, the processor was faster than usual; times and speeds are those at 1", "times", tables=(PROFILE,)),
    Figure(TIMING_SECONDS, "how long the timing took", "s", tables=(PROFILE,)),
    Figure(COMPILE_SECONDS, "how long it took to convert and compile the model for the engine, until its first answers; what engines share, the ONNX model, counts for the first", "s", tables=(PROFILE,), tasks=IMAGES),
    Figure("busy", "what ran beside the timing and made it slower, if anything", type="str", tables=(PROFILE,)),
    Figure(REFUSED, "why the study does without this engine here", type="str", tables=(PROFILE, ENGINES), tasks=IMAGES),
    Figure("hardware", "processor or GPU", type="str", tables=(PROFILE,)),
    Figure("host", "host name of the node", type="str", tables=(PROFILE,)),
    Figure("torch", "version of torch", type="str", tables=(PROFILE,)),
    Figure("os", "operating system", type="str", tables=(PROFILE,)),
)  # fmt: skip

BY_NAME = {figure.name: figure for figure in FIGURES}


def of(task: str, table: str | None = None) -> list[Figure]:
    """The figures that studies of a task have, or those of one of its tables, in the order of the columns."""
    return [f for f in FIGURES if f.of(task) and (table is None or table in f.tables)]


def of_trials(task: str) -> list[str]:
    """The columns of trials.csv."""
    return [f.name for f in of(task, TRIALS)]


def objectives(task: str) -> dict[str, Figure]:
    """What a space of this task may name in `objectives`."""
    return {f.name: f for f in of(task) if f.objective}


def measured(task: str) -> list[str]:
    """What the profile of a task measures and its trials inherit."""
    return [f.name for f in of(task) if f.measured]


def maximise(names: Iterable[str]) -> list[bool]:
    """For each figure, whether more of it is better."""
    return [BY_NAME[name].better == "more" for name in names]


def contended(name: str) -> str:
    """The column of an epoch's figure: `contended_<name>` for what other trials may have slowed down, else its own name."""
    return f"{CONTENDED}{name}" if f"{CONTENDED}{name}" in BY_NAME else name
