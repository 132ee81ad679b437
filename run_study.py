"""Run a hyper-parameter study: python run_study.py --space digits_compare

Ends with a table (which model is best, how fast it is, what it costs) and the study folder results/NAME.
`--list-spaces` names the built-in studies, `--help` all options.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from analysis.tell.formats import Format
from record import yaml_text
from record.errors import UserError, unusable_path
from record.folder import COMPLETE, StudyFolder
from record.mirror import Mirror, inside, is_url
from study.space.overrides import Overrides
from study.space.plain import name_message
from study.space.reading import check_new, read_space, resolve, space_names
from study.space.schema import StudySpec

if TYPE_CHECKING:
    from rich.console import Console

RESULTS = Path("results")  # where studies lie, also those whose copies are kept at a URL
INTERRUPTED = 130  # exit status, as shells have it for Ctrl-C
HOURS = (1.0, 3.0, 10.0)  # that a plan looks at
CHANCE = 0.05  # a cell with smaller chances to be best or on the front cannot win

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    space: Annotated[str | None, typer.Option(metavar="NAME|FILE.yaml", help="The study to run.")] = None,
    list_spaces: Annotated[bool, typer.Option("--list-spaces", help="Name the built-in studies and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, print the study, run nothing.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="With --dry-run: time the models first, and plan.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Study name; the space's name if left out.")] = None,
    results: Annotated[str, typer.Option(metavar="DIR|URL", help="Folder or URL that holds the studies.")] = "results",
    data: Annotated[str | None, typer.Option(metavar="NAME|DIR", help="Replace the data set.")] = None,
    data_dir: Annotated[Path, typer.Option(help="Folder that holds the data sets.")] = Path("data"),
    weights: Annotated[str | None, typer.Option(metavar="none|timm|FILE", help="Replace pretrained weights.")] = None,
    trials: Annotated[int | None, typer.Option(help="Search trials per cell.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs per trial, for every model.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the split, the search and the trainings.")] = None,
    time_budget: Annotated[
        str | None, typer.Option(metavar="30m", help="Start only trials that end within this time.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any field, dotted.")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(help="GPUs (a fraction shares one), for every model.")] = None,
    cpus_per_trial: Annotated[float | None, typer.Option(help="CPUs, for every model.")] = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster: auto or host:port.")] = None,
    storage: Annotated[str | None, typer.Option(metavar="URL", help="Optuna storage instead of study.db.")] = None,
    mlflow: Annotated[str | None, typer.Option(metavar="URI", help="Log the trials to MLflow at the end.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Serve a live page on this machine while it runs.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue or extend an existing study.")] = False,
) -> None:
    """Find which model gives the best accuracy for the speed you need, on your images and your hardware."""
    if list_spaces:
        _print_spaces()
        return
    from study.address import storage_of
    from study.lessons import learn

    overrides = Overrides(
        data, weights, trials, epochs, seed, time_budget, gpus_per_trial, cpus_per_trial, tuple(set_ or ())
    )
    if profile and not dry_run:
        raise UserError("--profile goes with --dry-run: a study profiles its models by itself, see phases")
    mirror, folder = None, (RESULTS if is_url(results) else Path(results)) / study_name(space, name, data)
    if is_url(results):
        mirror = Mirror(inside(results, folder.name))
        mirror.check()
        mirror.meet(StudyFolder(folder))
    storage = storage_of(StudyFolder(folder), storage)
    spec, raw_space, fresh = _spec(space, folder, overrides, resume, storage, data_dir)
    _check(spec, _where(space, folder))
    learnt = learn(spec, folder, _where(space, folder)) if fresh and spec.learn_from else None
    options = {
        "address": address,
        "storage": storage,
        "mirror": mirror,
        "fresh": fresh,
        "needs_gpu": bool(gpus_per_trial),
    }
    if dry_run:
        _dry_run(spec, folder, data_dir, options, profile)
        if learnt is not None:
            print(f"# {learnt.summary()}")
        return
    from service.watch.beside import served

    with served(StudyFolder(folder), watch):
        status = _run(spec, raw_space, folder, data_dir, options, mlflow)
    raise typer.Exit(status)


def study_name(space: str | None, name: str | None, data: str | None) -> str:
    """Of the study that these options ask for. Raises UserError where it is no name of a folder, or they ask for none."""
    if space is None and name is None and data is None:
        raise UserError(
            f"--space is missing; the built-in ones are {', '.join(space_names())} (see --list-spaces), and --data NAME|DIR "
            "alone chooses models for your images"
        )
    name = name or Path(str(space or data)).stem
    if message := name_message(name):
        raise UserError(f"--name {name[:80]!r}: {message}")
    return name


def _where(space: str | None, folder: Path) -> str:
    return space or str(folder / "study.yaml")


def _spec(
    space: str | None, folder: Path, overrides: Overrides, resume: bool, storage: str | None, data_dir: Path
) -> tuple[StudySpec, dict[str, Any], bool]:
    """The resolved study with typed settings, the space as it was read, and whether the study starts from nothing."""
    from study.recorded import has_begun
    from study.space.data_folder import find_data, find_weights
    from study.space.resume import resumed, stored
    from study.space.typed import typed
    from study.storage import check_storage

    raw, where = read_space(space)[0] if space else None, _where(space, folder)
    file = Path(str(space)) if space not in (None, *space_names()) else None
    if study := stored(folder, storage) if resume else None:
        located = raw
        if raw is not None and study.space is study.spec:  # killed before the space was recorded as it is written
            found = find_weights(find_data(resolve(raw, where), file, data_dir), file)
            located = found.model_dump(mode="json")
        return resumed(folder, study, located, overrides, where), raw or study.space, False
    if begun := has_begun(folder, storage):
        check_storage(StudyFolder(folder), storage)
        if not resume:
            raise UserError(f"{folder}: this study exists; add --resume to continue it, or choose another --name")
    if raw is None and overrides.data is not None and not resume:
        raw = _chosen(overrides, data_dir)
    if raw is None:
        raise UserError(f"{folder}: no study to resume there; name a --space")
    spec = resolve(overrides.apply(raw), where)
    check_new(spec, where)
    if overrides.weights not in (None, "none") and all(entry.weights == "none" for entry in spec.models.values()):
        raise UserError(f"--weights {overrides.weights}: no model of this space takes pretrained weights")
    spec = find_weights(typed(spec), file)
    return find_data(spec, None if "data.name" in overrides.changes() else file, data_dir), raw, not begun


def _chosen(overrides: Overrides, data_dir: Path) -> dict[str, Any]:
    """The space for data that come without one, after a line that says what was chosen."""
    from study.space.chosen import choose, summary
    from trainables.device import gpu_name

    space = choose(str(overrides.data), data_dir, overrides.weights, gpu=bool(gpu_name()) and overrides.gpus != 0)
    print(summary(space), file=sys.stderr)
    return space


def _check(spec: StudySpec, where: str) -> None:
    """Everything that can be known to be wrong before data, weights or Ray are touched."""
    from study import search
    from study.cells import check_names
    from study.costs import check_grid
    from study.space.checking import check_models

    check_models(spec, where)
    check_names(spec, where)
    check_grid(spec, where)
    if spec.sampler is not None:
        search.check(spec.sampler.name, spec.sampler.options, spec, f"{where}: sampler")


def _run(
    spec: StudySpec,
    space: dict[str, Any],
    folder: Path,
    data_dir: Path,
    options: dict[str, Any],
    mlflow: str | None,
) -> int:
    """Run the study and show what came of it; the exit status."""
    from rich.console import Console

    from study.address import masked
    from study.phases import run_study
    from study.session import Options

    console, run = Console(), Options(StudyFolder(folder), data_dir, space=space, **options)
    finished = run_study(spec, run, console)
    concluded = _conclude(folder, console)
    if run.mirror is not None:
        run.mirror.update(run.folder)
        console.print(f"Copy: {run.mirror.url}", highlight=False, markup=False, soft_wrap=True)
    if mlflow is not None:
        from analysis.trackers.mlflow_log import log_study

        console.print(f"MLflow: {log_study(folder, mlflow)} trials logged to {masked(mlflow)}", markup=False)
    if not finished:
        message = f"Interrupted; everything is recorded. Continue with: {run.resume_command}"
        console.print(message, highlight=False, markup=False, soft_wrap=True)
        return INTERRUPTED
    return 0 if concluded else 1


def _dry_run(spec: StudySpec, folder: Path, data_dir: Path, options: dict[str, Any], profile: bool) -> None:
    """Refuse what the run would refuse before it trains; print the study, its data, and with `profile` its duration."""
    from rich.console import Console

    from study.session import Options, Session, rehearse

    session = Session(spec, Options(StudyFolder(folder), data_dir, **options), Console(stderr=True))
    rehearse(session)
    _print_dry_run(spec)
    for line in filter(None, [*session.steps, session.summary]):
        print(f"# {line}")
    if profile:
        text = io.StringIO()
        with redirect_stdout(text):
            print_plan(
                spec, data_dir, options | {"storage": None, "mirror": None, "fresh": False}, HOURS, CHANCE, Format.TEXT
            )
        print("".join(f"# {line.rstrip()}\n" for line in text.getvalue().splitlines()), end="")


def plan_space(
    space: str,
    overrides: Overrides,
    data_dir: Path,
    address: str | None,
    hours: Sequence[float],
    chance: float,
    format: Format,
) -> None:
    """Print what so many hours of a study of this space would buy; a cell with smaller chances than `chance` cannot win."""
    with TemporaryDirectory(prefix="plan-") as folder:
        spec = _spec(space, Path(folder), overrides, False, None, data_dir)[0]
    _check(spec, space)
    print_plan(spec, data_dir, {"address": address, "needs_gpu": bool(overrides.gpus)}, hours, chance, format)


def print_plan(
    spec: StudySpec, data_dir: Path, options: dict[str, Any], hours: Sequence[float], chance: float, format: Format
) -> None:
    """Time the models alone, train a few pilot epochs, and print what so many hours would buy; nothing is left behind.

    Progress, and how long the study would take, go to standard error where another program reads the table.
    """
    from rich.console import Console

    import analysis
    from analysis.tell.plan import print_plan as print_outlook
    from study.phases import pilot
    from study.session import Options

    with TemporaryDirectory(prefix="plan-") as folder:
        piloted = Options(StudyFolder(Path(folder)), data_dir, **options)
        takes = pilot(spec, piloted, Console(stderr=True))
        print(takes, file=sys.stdout if format is Format.TEXT else sys.stderr)
        print_outlook(analysis.load(folder), hours, chance, format, pilot=True)


def _conclude(folder: Path, console: Console) -> bool:
    """The table, the pictures and the report of a study folder; whether any trial was completed."""
    import analysis
    from analysis.tell.pictures.png import write_figures
    from analysis.tell.report import write_report
    from analysis.tell.summary import print_summary

    study = analysis.load(folder)
    complete = bool((study.trials["state"] == COMPLETE).any())
    try:
        if complete:
            write_figures(study, StudyFolder(folder).figures)
        report = f"report: {write_report(folder)}"
    except OSError as error:
        report = f"pictures and report cannot be written: {error.strerror}"
    print_summary(study, console)
    console.print(f"Study folder: {folder}; {report}", highlight=False, markup=False)
    return complete


def _print_spaces() -> None:
    for name in space_names():
        spec = resolve(*read_space(name))
        print(f"{name}: {spec.description}")
        print(f"    task {spec.task}, data {spec.data.name}, models {', '.join(spec.models)}")
        print(f"    cost {spec.cost}; meant for {spec.hardware}")


def _print_dry_run(spec: StudySpec) -> None:
    from study.candidates import room

    print(yaml_text.dump(spec.model_dump(mode="json")))
    cells = {name: len(entry.factor_combinations()) for name, entry in spec.models.items()}
    total = spec.trials * sum(cells.values())
    print(f"# {total} search trials ({spec.trials} per cell, {sum(cells.values())} cells)", end="")
    if "confirm" in spec.phases:
        seeds = " to ".join(map(str, sorted({spec.confirm.seeds, spec.confirm.looks[-1]})))
        print(f", then up to {room(spec)} candidates x {seeds} seeds", end="")
    print()
    for name, entry in spec.models.items():
        print(
            f"# {name}: {entry.epochs} epochs, {entry.resources.cpus:g} CPUs, {entry.resources.gpus:g} GPUs per trial"
        )


def cli(command: typer.Typer = app) -> int:
    """Run a command on sys.argv: its exit status. Bad input is one line on standard error and status 2."""
    try:
        return command(standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):  # before there was anything to record
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except typer.TyperException as error:  # an unknown option, a value of the wrong type
        message = error.format_message()
    except UserError as error:
        message = str(error)
    except OSError as error:
        if (problem := unusable_path(error)) is None:
            raise
        message = str(problem)
    print(f"error: {message}", file=sys.stderr)
    return 2


def leave(status: int) -> NoReturn:
    """End the process; after an interruption at once, since threads of Ray may still wait for workers."""
    sys.stdout.flush()
    if status == INTERRUPTED:
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    leave(cli())
