"""The verbs for studies that run, or ran, here or on a cluster: list, status, logs, stop, watch, submit.

vision-study status digits_compare
vision-study logs digits_compare/vit-003
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from analysis.cli.arguments import FormatOption
from analysis.tell.formats import Format

Study = Annotated[str, typer.Argument(metavar="STUDY", help="A study folder, or a study's name in --results.")]
ClusterUrl = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="URL",
        help="A Ray cluster's dashboard: of the studies submitted there, by name (the latest job) or job id.",
    ),
]
Results = Annotated[Path, typer.Option(help="Where study folders lie.")]
RESULTS = Path("results")

app = typer.Typer()


@app.command("list")
def list_studies(results: Results = RESULTS, format: FormatOption = Format.TEXT, cluster: ClusterUrl = None) -> None:
    """The studies of a results folder, the latest first: whether they run, trials by state, the best model."""
    from analysis.cli.listing import show
    from analysis.tell.tables import print_frame
    from service.overview import overview, submitted

    if cluster is not None:
        print_frame(submitted(cluster), format)
    else:
        show(results, format, overview)


@app.command()
def status(
    study: Study,
    results: Results = RESULTS,
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
    cluster: ClusterUrl = None,
) -> None:
    """What a study is doing: its phase, trials by state, running trials, failures, the best so far, the expected end."""
    from service import progress, tell

    if cluster is not None:
        from study.jobs import Cluster

        jobs = Cluster(cluster)
        print(json.dumps(jobs.row(study), indent=2) if as_json else jobs.status(study))
        return
    state = progress.read(progress.find(study, results))
    print(json.dumps(tell.as_dict(state), indent=2) if as_json else "\n".join(tell.lines(state)))


@app.command()
def logs(
    what: Annotated[str, typer.Argument(metavar="STUDY|TRIAL", help="A study, STUDY/TRIAL, or a trial's name.")],
    results: Results = RESULTS,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the study, or the trial, ends.")] = False,
    cluster: ClusterUrl = None,
) -> None:
    """What happened in a study, or a trial's epochs and, where it failed, its traceback."""
    from service import logs

    if cluster is not None:
        from study.jobs import Cluster

        for text in Cluster(cluster).logs(what, follow):
            print(text, end="", flush=True)
        return
    folder, trial = logs.named(what, results)
    for line in logs.of_study(folder, follow) if trial is None else logs.of_trial(folder, trial, follow):
        print(line, flush=True)


@app.command()
def stop(study: Study, results: Results = RESULTS, cluster: ClusterUrl = None) -> None:
    """End a study that runs on this machine, or was submitted, as Ctrl-C does: nothing is lost, --resume continues it."""
    from service import progress
    from service.stopping import stop as end

    if cluster is not None:
        from study.jobs import Cluster

        print(Cluster(cluster).stop(study))
        return
    print(end(progress.find(study, results)))


@app.command()
def watch(
    study: Study,
    results: Results = RESULTS,
    port: Annotated[int, typer.Option(help="Of this machine; 0: any that is free.", min=0, max=65535)] = 0,
    parent: Annotated[
        int | None, typer.Option(hidden=True, help="The run that the page belongs to and ends with.")
    ] = None,
) -> None:
    """The report as a live page, with what runs now and a button to stop the study; on this machine alone, until Ctrl-C."""
    from record.folder import StudyFolder
    from service import progress
    from service.watch.server import Server

    with Server(StudyFolder(Path(study)) if parent else progress.find(study, results), port, parent) as server:
        print(f"Live page: {server.address}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("The page has ended; the study has not.")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def submit(
    context: typer.Context,
    cluster: Annotated[str, typer.Option(metavar="URL", help="The dashboard of a Ray cluster, http://HEAD:8265.")],
    python: Annotated[str, typer.Option(help="The Python of the cluster's head that has the dependencies.")] = "python",
) -> None:
    """Hand a study to a Ray cluster and leave: --cluster URL and the options of `run`, such as --space; prints the job's id."""
    from service import submission

    options = submission.parsed(context.args)
    from study import jobs

    words, space = submission.command(options, jobs.SENT)
    job = jobs.Cluster(cluster).submit(options["name"], words, space, python)
    print(job)
    print(
        f"results: {submission.folder(options)} on the cluster; vision-study status {job} --cluster {cluster}",
        file=sys.stderr,
    )
