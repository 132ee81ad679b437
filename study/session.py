"""What is open while a study runs: its data, Ray, the study folder and the ledger."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console
from sqlalchemy.exc import OperationalError

import models
from record import contents
from record.errors import UserError, causes, one_line
from record.folder import SCHEMA, UNWRITABLE, StudyFolder, missing_folders, remove_empty
from record.mirror import Mirror, MirrorError
from study import checkpoints, cluster, environment, nodes, ray_death, recorded, steps, tables
from study.address import resume_command
from study.chore import Chore
from study.costs import DataFacts
from study.interruption import Interruption
from study.lease import Copy, Lease, lock
from study.ledger import Ledger
from study.lessons import learn
from study.reservation import Reservations
from study.space.schema import ModelEntry, StudySpec, split_settings
from study.storage import check_storage
from trainables import task as tasks
from trainables.examination import Weights
from trainables.place import Keeper
from trainables.tune_adapter import DataRefs

TABLES_EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Options:
    """What the command line says about a run, not about the study."""

    folder: StudyFolder
    data_dir: Path
    address: str | None = None
    storage: str | None = None
    mirror: Mirror | None = None  # where a copy of the folder is kept
    space: Mapping[str, object] = field(default_factory=dict)  # as it was read, before the command line's changes
    fresh: bool = False  # what the folder has is left of a study that never began
    needs_gpu: bool = False  # the command line requires a GPU: without one the study must not start
    reuse_workers: bool = True

    @property
    def resume_command(self) -> str:
        url = None if self.mirror is None else self.mirror.results
        return resume_command(self.folder, self.data_dir, self.address, self.storage, url)


class Session:
    """A study whose inputs work: its data are loaded, and each of its models can be built."""

    def __init__(self, spec: StudySpec, options: Options, console: Console) -> None:
        """Raises UserError where the inputs cannot work."""
        self.spec, self.options, self.console = spec, options, console
        self.started = time.monotonic()
        self.interruption = Interruption()
        self.weights: list[str] = []  # what was read as pretrained weights
        self.pretrained: list[Weights] = []  # which each node of a cluster needs
        self.task = tasks.named(spec.task)
        self.data, self.test, source = self.task.load_data(
            spec.data.name, options.data_dir, spec.data_options(), image_sizes(spec), spec.seed
        )
        self.described = self.task.describe(self.data, self.test)
        self.facts = DataFacts(source, len(self.data.train), len(self.data.validation), len(self.test))
        for entry in spec.models.values():
            self._check(entry)

    @property
    def summary(self) -> str:
        """One line: what was read as data and as weights, and what a person should know about it; "" for nothing."""
        weights = f"weights: {', '.join(self.weights)}" if self.weights else ""
        return "; ".join(filter(None, [str(self.described.get("summary", "")), weights]))

    @property
    def steps(self) -> list[str]:
        """The steps of each model's trials, and warnings where they cannot suffice."""
        return steps.lines(self.spec, self.task, self.data)

    def _check(self, entry: ModelEntry) -> None:
        """Try everything that can stop a model's trials before the first one."""
        for size in entry.values("train_size") if "train_size" in entry.names() else []:
            self.task.check_train_size(self.data, None if size is None else int(size))
        first = {name: entry.values(name)[0] for name in entry.names()}
        _, model_options = split_settings(self.spec, first)
        whole = self.task.model_options(self.data) | model_options
        models.fetch_weights(entry.model, entry.weights, **whole)
        if entry.weights != "none":
            self.pretrained.append(Weights(entry.model, entry.weights, whole))
            read = models.describe_weights(entry.model, entry.weights, **model_options)
            self.weights += [read] if read not in self.weights else []


class Run:
    """An opened session. Its spec is the ledger's: the study as it fits the cluster."""

    def __init__(self, session: Session, ledger: Ledger) -> None:
        self.session, self.ledger, self.name = session, ledger, uuid.uuid4().hex[:12]
        self.refs = DataRefs(ray.put(session.data), ray.put(session.test))
        self.reservations: Reservations | None = None  # of a cluster
        self.spec, self.facts, self.console = ledger.spec, session.facts, session.console
        earlier = contents.read_environment(ledger.folder)
        self.durations: dict[str, float] = earlier.get("duration_seconds") or {}  # by phase, of all runs of the study
        self.expected: dict[str, float] = earlier.get("expected_seconds") or {}  # by phase
        self.environment: dict[str, object] = {
            **earlier, "schema": SCHEMA, "identity": ledger.identity, "runs": [*earlier.get("runs", []), self.name],
            "storage": ledger.address,
            **environment.describe(), "space": session.options.space,
            "data": asdict(session.facts) | session.described,
        }  # fmt: skip
        if ledger.lessons.studies:
            self.environment["learnt_from"] = ledger.lessons.studies
        self.write_tables = Chore(partial(tables.write, ledger, self.facts), TABLES_EVERY_SECONDS)
        self.tidy = Chore(partial(checkpoints.remove_unneeded, ledger))

    def examine_nodes(self) -> None:
        """Let each node of a cluster prove that it can work and that what it writes arrives. Raises UserError."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        folder = self.ledger.folder.path.absolute()
        keeper = ray.remote(num_cpus=0)(Keeper).options(scheduling_strategy=here).remote(str(folder))
        versions = nodes.versions(self.spec)
        self.refs = self.refs._replace(keeper=keeper, run=self.name, versions=versions)
        facts = nodes.check(self.spec, versions, self.session.pretrained, folder, keeper, self.name)
        self.reservations = Reservations(self.spec, facts, self.ledger.timings)
        if away := [each for each in facts.values() if not each.sees]:
            message = f"{len(away)} of {len(facts)} nodes do not see {folder}: their trials hand in files through Ray"
            self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def write_environment(self) -> None:
        timing = {"duration_seconds": self.durations} | ({"expected_seconds": self.expected} if self.expected else {})
        contents.write_environment(self.ledger.folder, self.environment | timing)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the duration of what happens inside to environment.json."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.durations[phase] = round(self.durations.get(phase, 0.0) + time.monotonic() - started, 1)
            self.write_environment()


@contextmanager
def opened(session: Session) -> Iterator[Run]:
    """Ray, the study folder and the ledger, for the time of a run; the tables are up to date when it ends."""
    options = session.options
    _check_places(options)  # before the seconds that Ray takes
    cluster.connect(options.address, session.console, show_logs=_logs_steps(session.spec))
    try:
        spec = _fit_to_cluster(session)
        with _writing(options.folder):
            options.folder.path.mkdir(parents=True, exist_ok=True)
        with (
            _mirrored(options),
            ray_death.reported(f"what was recorded is safe; continue with: {options.resume_command}"),
            session.interruption.caught(),
            Ledger(options.folder.path, spec, options.storage, options.fresh) as ledger,
        ):
            ledger.hold()
            if spec.learn_from and not ledger.lessons.studies:
                ledger.teach(learn(spec, options.folder.path, str(options.folder.spec)))
            with _writing(options.folder):
                contents.write_spec(options.folder, spec.model_dump(mode="json"))
            session.task.keep(options.folder, session.data, session.test)
            run = Run(session, ledger)
            run.write_environment()
            if options.address is not None:
                run.examine_nodes()
            recorded.write(ledger)
            run.write_tables()  # they may lag the ledger where an earlier run was killed
            try:
                yield run
            finally:
                run.write_tables()
    finally:
        ray.shutdown()


@contextmanager
def _mirrored(options: Options) -> Iterator[None]:
    """Inside, the study's copy, if it has one, follows the folder, and no other driver works on it."""
    if options.mirror is None:
        yield
        return
    try:
        lease = _lease(options.mirror)
        try:
            with options.mirror.kept(options.folder):
                yield
        finally:
            with suppress(OSError):  # out of reach: it runs out
                lease.release()
    except MirrorError as error:
        raise UserError(
            f"{error}; the study is whole in {options.folder.path}; continue with: {options.resume_command}"
        ) from error


def _lease(mirror: Mirror) -> Lease:
    try:
        return Lease(Copy(mirror))
    except OSError as error:
        raise MirrorError(f"{mirror.url}: cannot be written: {one_line(error)}") from error


def _logs_steps(spec: StudySpec) -> bool:
    """Whether a model of a text study logs its training steps, which a person wants to see here."""
    return any("steps" in entry.values("log") for entry in spec.models.values() if "log" in entry.names())


def _fit_to_cluster(session: Session) -> StudySpec:
    """The study on CPUs where there is no GPU. Raises UserError where the cluster is too small for it."""
    spec = session.spec
    wants_gpu = any(entry.resources.gpus for entry in spec.models.values())
    if wants_gpu and not cluster.has_gpu() and not session.options.needs_gpu:
        advice = f"; --space {spec.cpu_space} is the one made for CPUs" if spec.cpu_space else ""
        session.console.print(f"[bold]No GPU here[/]: this space is meant for one, and will run on CPUs{advice}.")
        spec = cluster.without_gpus(spec)
    cluster.check(spec)
    return spec


def rehearse(session: Session) -> None:
    """Check without Ray what a run checks after its inputs and before it trains; nothing stays in the results folder.

    Raises UserError as the run would.
    """
    cluster.check_address(session.options.address)
    if session.options.address is None:  # what a cluster has, only Ray knows
        _fit_to_cluster(session)
    _check_places(session.options)


def _check_places(options: Options) -> None:
    """Raise UserError where the study folder or the ledger cannot be written or is in use. Leaves nothing behind."""
    path = options.folder.path
    absent = missing_folders(path)
    try:
        with _writing(options.folder):
            path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
        os.close(lock(options.folder))
        check_storage(options.folder, options.storage)
    finally:
        remove_empty(absent)


@contextmanager
def _writing(folder: StudyFolder) -> Iterator[None]:
    """Inside, a folder that cannot be written is the user's error."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{folder.path}: cannot be written: {error.strerror}; choose another --results") from error


def unwritable(error: BaseException | None) -> str | None:
    """Why a disk or a database did not accept what was written, if that is what caused an error."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in UNWRITABLE:
            return cause.strerror
        if isinstance(cause, OperationalError):
            return str(cause.orig)
    return None


def image_sizes(spec: StudySpec) -> list[int]:
    """The image sizes that the study's models may need."""
    sizes: list[int] = []
    for entry in spec.models.values():
        if "image_size" in entry.names():
            sizes += [int(value) for value in entry.values("image_size")]
        elif "image_size" in (defaults := vars(models.config_class(entry.model)())):
            sizes.append(defaults["image_size"])
    return sizes
