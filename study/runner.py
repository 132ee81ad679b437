"""The phases of a study: profile, search, confirm. Each leaves its record in the ledger and can be taken up again."""

from __future__ import annotations

import datetime
import errno
import itertools
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
import yaml
from rich.console import Console
from sqlalchemy.exc import OperationalError

import models
from record.errors import UserError
from record.folder import StudyFolder
from study import cluster, environment, profile, tables
from study.ledger import Cell, Ledger, Trial, cells
from study.proposals import ConfirmProposals, Proposals, SearchProposals, candidates
from study.space.schema import ModelEntry, StudySpec, seconds, split_settings
from study.tuning import Desk, run
from study.view import View
from trainables import task as tasks

TABLES_EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Options:
    """What is said on the command line about a run, not about the study."""

    folder: Path
    data_dir: Path
    address: str | None = None
    storage: str | None = None
    space: dict[str, Any] = field(default_factory=dict)  # as it was read, before the command line's changes
    needs_gpu: bool = False  # a GPU was asked for on the command line: without one the study must not begin
    reuse_workers: bool = True


def run_study(spec: StudySpec, options: Options, console: Console) -> bool:
    """Run all phases of the study that are not done yet; False where it was interrupted.

    Raises UserError, DataError or WeightsError before any training where the input cannot work.
    """
    study = _Study(spec, options, console)
    if study.nothing_left():
        return True
    try:
        return study.run()
    except Exception as error:
        if (reason := unwritable(error)) is None:
            raise
        raise UserError(
            f"{options.folder}: the study cannot be recorded: {reason}; what was recorded so far is kept: mend that, then "
            f"--name {options.folder.name} --resume"
        ) from error


def unwritable(error: BaseException | None) -> str | None:
    """Why a disk or a database did not take what was written, if that is what an error came from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            return error.strerror
        if isinstance(error, OperationalError):
            return str(error.orig)
        error = error.__cause__ or error.__context__
    return None


def estimate(spec: StudySpec, options: Options, console: Console) -> str:
    """Time the models alone and say how long the study would take; nothing is left behind. Raises as `run_study`."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="estimate-") as folder:
        study = _Study(spec, replace(options, folder=Path(folder), storage=None), console)
        with study.opened():
            study.time_models()
            said = expectation(study.expected_seconds())
            return f"{said}, after the profile phase, which took {readable(time.monotonic() - begun)}"


class _Study:
    """The parts that the phases share: data, cluster, ledger, tables."""

    def __init__(self, spec: StudySpec, options: Options, console: Console) -> None:
        self.spec, self.options, self.console = spec, options, console
        self.begun = time.monotonic()
        self.task = tasks.named(spec.task)
        self.data, self.test, source = self.task.load_data(
            spec.data.name, options.data_dir, spec.data_options(), image_sizes(spec), spec.seed
        )
        self.facts = tables.DataFacts(source, len(self.data.train), len(self.data.validation))
        for entry in spec.models.values():
            self._check(entry)

    def _check(self, entry: ModelEntry) -> None:
        """Everything that can stop a model's trials is tried before the first one."""
        for size in entry.values("train_size") if "train_size" in entry.names() else []:
            self.task.check_train_size(self.data, None if size is None else int(size))
        fixed = {name: entry.values(name)[0] for name in entry.names()}
        _, model_options = split_settings(self.spec, fixed)
        models.fetch_weights(entry.model, entry.weights, **self.task.model_options(self.data), **model_options)

    def run(self) -> bool:
        """All phases that the spec names; False where one was interrupted."""
        with self.opened():
            try:
                for phase, step in (("profile", self.profile), ("search", self.search), ("confirm", self.confirm)):
                    if phase in self.spec.phases and not self.timed(phase, step):
                        return False
            except KeyboardInterrupt:  # between trials; while they run, Tune ends them itself
                return False
            self.console.print(self.duration(), highlight=False)
        return True

    def nothing_left(self) -> bool:
        """Whether every phase of an existing study is done, which needs no cluster to find out."""
        if not (self.options.folder / "study.yaml").exists():
            return False
        with Ledger(self.options.folder, self.spec, self.options.storage) as self.ledger:
            chosen = candidates(self.ledger, self.spec.terms.validation)
            left = {
                "profile": bool(self._untimed()),
                "search": not SearchProposals(self.ledger).done,
                "confirm": not ConfirmProposals(self.ledger, chosen).done,
            }
        return not any(left[phase] for phase in self.spec.phases)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Ray, the folder and the ledger, for the time of the run."""
        folder = self.options.folder
        logs = any("steps" in entry.values("log") for entry in self.spec.models.values() if "log" in entry.names())
        cluster.connect(self.options.address, self.console, show_logs=logs)
        # What a batch system sends before it kills is Ctrl-C to the study.
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
        try:
            self._fit_to_cluster()
            try:
                folder.mkdir(parents=True, exist_ok=True)
                write_spec(folder, self.spec)
            except OSError as error:
                raise UserError(f"{folder}: cannot be written: {error.strerror}; choose another --results") from error
            with Ledger(folder, self.spec, self.options.storage) as self.ledger:
                self.environment = (
                    environment.read(folder) | {"schema": 1} | environment.describe() | {"space": self.options.space}
                )
                self.environment["data"] = {
                    "source": self.facts.source, "train": self.facts.train_images,
                    "validation": self.facts.validation_images, "test": len(self.test),
                } | self.task.describe(self.data)  # fmt: skip
                self.task.keep(StudyFolder(folder), self.data, self.test)
                environment.write(folder, self.environment)
                self.refs: dict[str, ray.ObjectRef[Any]] = {"search": ray.put(self.data), "test": ray.put(self.test)}
                try:
                    yield
                finally:
                    tables.write(self.ledger, self.facts)
        finally:
            ray.shutdown()

    def _fit_to_cluster(self) -> None:
        wants_gpu = any(entry.resources.gpus for entry in self.spec.models.values())
        if wants_gpu and not cluster.has_gpu() and not self.options.needs_gpu:
            advice = f"; --space {self.spec.cpu_space} is the one made for CPUs" if self.spec.cpu_space else ""
            self.console.print(f"[bold]No GPU here[/]: this space is meant for one, and will run on CPUs{advice}.")
            self.spec = cluster.without_gpus(self.spec)
        cluster.check(self.spec)

    def timed(self, phase: str, step: Any) -> bool:
        """Run one phase and add its duration to environment.json."""
        begun = time.monotonic()
        try:
            return step()
        finally:
            durations = self.environment.setdefault("duration_seconds", {})
            durations[phase] = round(durations.get(phase, 0.0) + time.monotonic() - begun, 1)
            environment.write(self.options.folder, self.environment)

    # -- the phases

    def profile(self) -> bool:
        """Time the models, and say what follows from it for the rest of the study."""
        self.time_models()
        self.environment["expected_seconds"] = expected = self.expected_seconds()
        self.console.print(expectation(expected), highlight=False)
        return True

    def time_models(self) -> None:
        """Time every model entry alone over its grid; what the ledger has already is not timed again."""
        todo = self._untimed()
        if todo:
            self.console.print(f"profile: timing {len(todo)} settings alone on the hardware")
        for name, point in todo:
            self._time(name, point, "profile")
        tables.write(self.ledger, self.facts)

    def _untimed(self) -> list[tuple[str, dict[str, Any]]]:
        """The settings of the grid that the ledger has no timing of."""
        return [
            (name, point)
            for name, entry in self.spec.models.items()
            for point in profile.grid(entry)
            if not self._has_timing(name, point)
        ]

    def search(self) -> bool:
        deadline = None
        if self.spec.time_budget is not None:
            reserve = self.expected_seconds().get("confirm", 0.0) if "profile" in self.spec.phases else 0.0
            deadline = self.begun + seconds(self.spec.time_budget) - reserve
        proposals = SearchProposals(self.ledger, deadline)
        finished = self._tune("search", proposals, self.spec.trials * len(cells(self.spec)))
        if proposals.out_of_time:
            self.console.print(f"The time budget of {self.spec.time_budget} ended the search; --resume can extend it.")
        return finished

    def confirm(self) -> bool:
        """Train the candidates again with other seeds, time them alone at their settings, and test them once."""
        chosen = candidates(self.ledger, self.spec.terms.validation)
        if "profile" in self.spec.phases:
            for candidate in chosen:
                settings = self.ledger.settings(candidate)
                point = {d: settings[d] for d in profile.speed_dimensions(self.spec.models[candidate.cell.entry])}
                self._time(candidate.cell.entry, point, "confirm")
        proposals = ConfirmProposals(self.ledger, chosen)
        return self._tune("confirm", proposals, len(chosen) * self.spec.confirm.seeds)

    def _has_timing(self, name: str, point: dict[str, Any]) -> bool:
        """Whether the ledger has an exact timing of this setting, of whichever phase."""
        return any(row["model"] == name and row["point"] == point for row in self.ledger.profile)

    def _time(self, name: str, point: dict[str, Any], phase: str) -> None:
        if self._has_timing(name, point):
            return
        entry = self.spec.models[name]
        settings = {key: value for key, value in entry.settings.items() if key != "lr"} | point
        row = profile.time_alone(self.spec, entry, point, self.task.shape(self.data))
        self.ledger.add_profile({"model": name, "phase": phase, "point": point, "settings": settings} | row)

    def _tune(self, phase: str, proposals: Proposals, total: int) -> bool:
        if proposals.done:
            return True
        written = 0.0

        with View(self.console, self.ledger, phase, self.spec.terms.validation, total) as view:

            def changed(trial: Trial) -> None:
                nonlocal written
                view.changed(trial)
                if trial.state != "running":
                    self._keep_checkpoints()
                if time.monotonic() - written > TABLES_EVERY_SECONDS:
                    tables.write(self.ledger, self.facts)
                    written = time.monotonic()

            desk = Desk(
                self.ledger, proposals, self.spec.terms.validation, self._values, changed, cluster.slots(self.spec)
            )
            finished = run(desk, self.refs, self.options.reuse_workers)
        tables.write(self.ledger, self.facts)
        return finished

    def _values(self, trial: Trial) -> list[float]:
        """The objectives of a complete trial: what it reached, and what it costs alone on the hardware."""
        figures = trial.last | profile.isolated(
            self.ledger, trial, self.facts.train_images, self.facts.validation_images
        )
        return [float(figures[objective]) for objective in self.spec.objectives]

    def _keep_checkpoints(self) -> None:
        """Remove the checkpoints that neither resume nor export needs: those of trials that are stopped or beaten."""
        kept = {t.name for t in candidates(self.ledger, self.spec.terms.validation)}
        for path in (self.options.folder / "checkpoints").glob("*.pt"):  # the few that are left, not every trial
            trial = self.ledger.trials[path.stem]
            beaten = trial.state == "complete" and trial.cell.phase == "search" and trial.name not in kept
            if beaten or trial.state in ("pruned", "failed"):
                path.unlink(missing_ok=True)

    # -- how long it will take

    def expected_seconds(self) -> dict[str, float]:
        """Wall seconds of each phase of the study, from the isolated timings; early stopping only makes it less."""
        search, longest = 0.0, 0.0
        for cell in cells(self.spec):
            mean = self._mean_trial_seconds(cell.entry)
            search += mean * self.spec.trials
            longest = max(longest, mean)
        confirm = longest * self.spec.confirm.seeds * self.spec.confirm.candidates
        share = cluster.used_share(self.spec)
        expected = {"search": round(search / share, 1), "confirm": round(confirm / share, 1)}
        return {phase: value for phase, value in expected.items() if phase in self.spec.phases}

    def _mean_trial_seconds(self, name: str) -> float:
        """The mean over the grid of speeds and the train sizes that an entry may get."""
        entry = self.spec.models[name]
        sizes = [("train_size", s) for s in entry.values("train_size")] if "train_size" in entry.names() else [None]
        times = []
        for point, size in itertools.product(profile.grid(entry), sizes):
            typical = {d: entry.values(d)[0] for d in entry.names()} | point | dict([size] if size else [])
            trial = Trial("", Cell(name), typical, 0, entry.epochs)
            figures = profile.isolated(self.ledger, trial, self.facts.train_images, self.facts.validation_images)
            times.append(figures["train_seconds"] + figures["eval_seconds"])
        return sum(times) / len(times)

    def duration(self) -> str:
        """One line: what the phases took, in all runs of the study, beside what was expected of them."""
        expected = self.environment.get("expected_seconds", {})
        took = {p: s for p, s in self.environment["duration_seconds"].items() if p in self.spec.phases}
        parts = [
            f"{phase} {readable(value)}" + (f" (expected {readable(expected[phase])})" if phase in expected else "")
            for phase, value in took.items()
        ]
        return f"took {readable(sum(took.values()))}: {', '.join(parts)}"


def expectation(expected: dict[str, float]) -> str:
    """One line: how long the study will take on this hardware. expected: seconds by phase."""
    parts = ", ".join(f"{phase} {readable(value)}" for phase, value in expected.items())
    return f"expected duration on this hardware: about {readable(sum(expected.values()))} ({parts})"


def readable(duration: float) -> str:
    """Seconds -> '1:02:03'."""
    return str(datetime.timedelta(seconds=round(duration)))


def image_sizes(spec: StudySpec) -> list[int]:
    """The image sizes that the study's models may ask for."""
    sizes: list[int] = []
    for entry in spec.models.values():
        if "image_size" in entry.names():
            sizes += [int(value) for value in entry.values("image_size")]
        elif "image_size" in (defaults := vars(models.config_class(entry.model)())):
            sizes.append(defaults["image_size"])
    return sizes


def write_spec(folder: Path, spec: StudySpec) -> None:
    """study.yaml, in one step: the resolved space, which is a space itself."""
    partial = folder / "study.yaml.partial"
    content = spec.model_dump(mode="json")
    partial.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    os.replace(partial, folder / "study.yaml")
