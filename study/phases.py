"""The phases of a study: profile, search, confirm. Each leaves its record in the ledger and can be resumed."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from functools import partial

from rich.console import Console

from models.engines import EAGER
from record import contents
from record.errors import UserError
from record.figures import REFUSED
from record.folder import CONFIRM, PROFILE, RUNNING, SEARCH
from record.ledger import Stage
from study import cluster, costs, duration, limits, recorded, tables
from study.candidates import candidates
from study.costs import grid, speed_dimensions, trial_costs
from study.dispatch import Dispatcher
from study.gauges import Gauges
from study.ledger import IsolatedTiming, Ledger, Trial, number
from study.proposals import ConfirmProposals, Proposals, SearchProposals, trials_done
from study.reservation import check_hardware
from study.session import Options, Run, Session, opened, unwritable
from study.space.dimensions import Scalar
from study.space.numbers import seconds
from study.space.schema import StudySpec
from study.stopwatch import time_alone
from study.tuning import run as run_trials
from study.view import View

PILOT_TRIALS, PILOT_EPOCHS = 2, 3  # per cell, of each


def run_study(spec: StudySpec, options: Options, console: Console) -> bool:
    """Run all phases of the study that are not done yet; False where it was interrupted.

    Raises UserError, before any training where the input cannot work.
    """
    session = Session(spec, options, console)
    if nothing_left(session):
        return True
    try:
        with opened(session) as run:
            lessons = run.ledger.lessons
            learnt = lessons.summary() if lessons.studies else ""
            for line in filter(None, [session.summary, *session.steps, learnt]):
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            return _run_phases(run)
    except Exception as error:
        if isinstance(error, UserError) or (reason := unwritable(error)) is None:
            raise
        raise UserError(
            f"{options.folder.path}: the study cannot be recorded: {reason}; what was recorded so far is safe: fix that, "
            f"then continue with: {options.resume_command}"
        ) from error


def pilot(spec: StudySpec, options: Options, console: Console) -> str:
    """Time the models alone, then train the first epochs of each cell's first trials, as the study would.

    What came of it is left in the folder of `options`, the trials as running ones. Returns how long the study would take,
    in a line. Raises as `run_study`, and KeyboardInterrupt where the user stopped it.
    """
    spec = spec.model_copy(update={"learn_from": []})  # when a study is resumed, what it learnt from may be gone
    session = Session(spec, options, console)
    with opened(session) as run:
        with run.timed(PROFILE):
            profile(run)
        line = f"{duration.expectation(run.expected)}, after the profile phase, which took "
        trials = min(PILOT_TRIALS, spec.trials)
        run.ledger.spec = run.spec.model_copy(update={"trials": trials, "early_stopping": None})
        proposals = SearchProposals(run.ledger)
        if not _train(run, SEARCH, proposals, last_epoch=PILOT_EPOCHS):
            raise KeyboardInterrupt
        return line + duration.readable(run.durations[PROFILE])


def nothing_left(session: Session) -> bool:
    """Whether every phase of an existing study is done, which needs no cluster to find out; its tables are made again."""
    options = session.options
    if options.fresh:
        return False
    with Ledger(options.folder.path, session.spec, options.storage) as ledger:
        done = {
            PROFILE: not untimed(ledger),
            SEARCH: SearchProposals(ledger).done,
            CONFIRM: ConfirmProposals(ledger, candidates(ledger)).done,
        }
        if not all(done[phase] for phase in session.spec.phases):
            return False
        limits.check(ledger)
        try:
            contents.write_spec(options.folder, session.spec.model_dump(mode="json"))
            tables.write(ledger, session.facts)
        except OSError as error:  # a read-only folder can still be shown
            session.console.print(
                f"study.yaml and the tables cannot be written again: {error.strerror}", highlight=False
            )
    return True


def _run_phases(run: Run) -> bool:
    """All phases that the spec names; False where one was interrupted."""
    steps: dict[str, Callable[[Run], bool]] = {PROFILE: profile, SEARCH: search, CONFIRM: confirm}
    try:
        for phase, step in steps.items():
            if phase in run.spec.phases:
                with run.timed(phase):
                    finished = step(run)
                if not finished:
                    return False
    except KeyboardInterrupt:  # between trials; while they run, Tune ends them itself
        return False
    run.environment["finished"] = datetime.datetime.now().isoformat(timespec="seconds")
    run.write_environment()
    summary = duration.summary(run.durations, run.expected, run.spec.phases)
    run.console.print(summary, highlight=False, soft_wrap=True)
    return True


def profile(run: Run) -> bool:
    """Time the models, and say what follows from it for the rest of the study. Raises UserError where no model can hold
    the space's limits."""
    time_models(run)
    limits.check(run.ledger)
    for line in limits.report(run.ledger):
        run.console.print(line, highlight=False, markup=False, soft_wrap=True)
    run.expected = expected_seconds(run)
    run.console.print(duration.expectation(run.expected), highlight=False, soft_wrap=True)
    return True


def time_models(run: Run) -> None:
    """Time every model entry alone over its grid; what the ledger has already is not timed again."""
    missing = untimed(run.ledger)
    done = len(run.ledger.timings)
    recorded.begin(run.ledger, Stage(PROFILE, done + len(missing), done, time.time()))
    if missing:
        run.console.print(f"profile: timing {len(missing)} settings alone on the hardware", soft_wrap=True)
    for timed, (model, point) in enumerate(missing, start=1):
        if not run.console.is_terminal:  # a log has a line for each, which takes up to a minute
            run.console.print(f"profile: {timed} of {len(missing)}: {model}", highlight=False, soft_wrap=True)
        _time(run, model, point, PROFILE)
    run.write_tables()


def untimed(ledger: Ledger) -> list[tuple[str, dict[str, Scalar]]]:
    """The points of the grid, each with its model entry, that the ledger has no timing of."""
    points = [(model, point) for model, entry in ledger.spec.models.items() for point in grid(entry)]
    return [(model, point) for model, point in points if not _has_timing(ledger, model, point)]


def _has_timing(ledger: Ledger, model: str, point: dict[str, Scalar]) -> bool:
    """Whether the ledger has an exact timing of this setting, of whichever phase."""
    return any(timing.model == model and timing.point == point for timing in ledger.timings)


def _time(run: Run, model: str, point: dict[str, Scalar], phase: str) -> None:
    session = run.session
    say = partial(run.console.print, highlight=False, markup=False, soft_wrap=True)
    rows = time_alone(run.spec, model, point, session.task.shape(session.data), run.reservations, say)
    check_hardware(model, run.ledger.timings, rows[EAGER])
    settings = {name: value for name, value in run.spec.models[model].settings.items() if name != "lr"} | point
    run.ledger.add_timing(IsolatedTiming(model, phase, point, settings, rows.pop(EAGER), rows))
    at = f" ({', '.join(f'{name}={value}' for name, value in point.items())})" if point else ""
    for figures in rows.values():
        if REFUSED in figures:
            run.console.print(f"{model}{at}: {figures[REFUSED]}", highlight=False, markup=False, soft_wrap=True)
    session.interruption.check()


def expected_seconds(run: Run) -> dict[str, float]:
    return duration.expected_seconds(run.ledger, run.facts, cluster.parallelism(run.spec))


def search(run: Run) -> bool:
    """Train what Optuna proposes, within the time budget."""
    spec, deadline = run.spec, None
    if spec.time_budget is not None:
        reserve = expected_seconds(run).get(CONFIRM, 0.0) if PROFILE in spec.phases else 0.0
        deadline = run.session.started + seconds(spec.time_budget) - reserve
    proposals = SearchProposals(run.ledger, deadline, cluster.slots(spec))
    finished = _train(run, SEARCH, proposals, deadline)
    if finished and (proposals.out_of_time or run.ledger.in_phase(SEARCH, RUNNING)):
        _say_out_of_time(run, "ended the search; to extend it")
    elif finished and proposals.gains_little:
        message = (
            f"The search ended after {len(run.ledger.in_phase(SEARCH))} trials: another hour is expected to gain less than "
            f"min_gain_per_hour, {spec.min_gain_per_hour:g} points; to extend it: "
            f"{run.session.options.resume_command} --set min_gain_per_hour=null"
        )
        run.console.print(message, highlight=False, markup=False, soft_wrap=True)
    return finished


def _say_out_of_time(run: Run, what: str) -> None:
    more = f"{run.session.options.resume_command} --time-budget 2h"
    message = f"The time budget of {run.spec.time_budget} {what}: {more}"
    run.console.print(message, highlight=False, markup=False, soft_wrap=True)


def confirm(run: Run) -> bool:
    """Train the candidates again with other seeds, time them alone at their settings, and test them once.

    The time budget does not shorten it, but ends the adding of seeds.
    """
    chosen = candidates(run.ledger)
    if PROFILE in run.spec.phases:
        for candidate in chosen:
            model, settings = candidate.cell.entry, run.ledger.settings(candidate)
            point = {name: settings[name] for name in speed_dimensions(run.spec.models[model])}
            if not _has_timing(run.ledger, model, point):
                _time(run, model, point, CONFIRM)
    budget = run.spec.time_budget
    deadline = None if budget is None else run.session.started + seconds(budget)
    proposals = ConfirmProposals(run.ledger, chosen, deadline, cluster.slots(run.spec))
    finished = _train(run, CONFIRM, proposals)
    if finished and proposals.out_of_time:
        _say_out_of_time(run, "ended before the answer was decided; to add seeds")
    return finished


def _train(
    run: Run, phase: str, proposals: Proposals, deadline: float | None = None, last_epoch: int | None = None
) -> bool:
    """Run the trials of a phase, up to `last_epoch` if it is given; False where the user interrupted them."""
    if proposals.done:
        return True
    ledger = run.ledger

    def values(trial: Trial) -> list[float]:
        """The objectives of a complete trial: what it reached, and what it costs alone on the hardware."""
        figures = trial.last | trial_costs(ledger, trial, run.facts)
        return [float(number(figures, objective)) for objective in run.spec.objectives]

    known: dict[str, tuple[float, ...] | None] = {}  # by trial: timings do not change while a phase runs

    def gains(trial: Trial) -> tuple[float, ...] | None:
        if trial.name not in known:
            known[trial.name] = costs.gains(ledger, trial, run.facts)
        return known[trial.name]

    stage = Stage(phase, proposals.total, trials_done(ledger, phase), time.time(), run.expected)
    recorded.begin(ledger, stage)
    gauges = Gauges(ledger)
    with View(run.console, ledger, stage, proposals) as view:

        def changed(trial: Trial) -> None:
            view.changed(trial)
            gauges.changed(trial)
            if trial.state != RUNNING:
                run.tidy.if_due()
            run.write_tables.if_due()

        timeout = partial(duration.trial_timeout, ledger, data=run.facts)
        slots = cluster.Slots(run.spec)
        dispatcher = Dispatcher(ledger, proposals, values, gains, changed, timeout, slots, deadline, last_epoch)
        finished = run_trials(dispatcher, run.refs, run.session.options.reuse_workers)
    run.tidy()  # also after workers that saved while they stopped
    run.write_tables()
    return finished
