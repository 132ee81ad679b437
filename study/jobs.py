"""Studies as jobs of a Ray cluster: submitted from anywhere, and left to run there."""

from __future__ import annotations

import asyncio
import datetime
import os
import re
import shlex
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.job_submission import JobStatus, JobSubmissionClient

from record.errors import UserError, nearest, one_line
from study.address import VARIABLE, masked
from study.cluster import PROJECT, bypass_proxy

CODE = ("record", "study", "models", "trainables", "analysis", "service", "run_study.py", "vision_study.py")
SENT = "space.yaml"  # a space of the user's, in the job's working folder
STOP_SECONDS = "180"  # in which a job that is stopped saves its running trials, before Ray kills it
PROGRESS = re.compile(
    r"^\d\d:\d\d:\d\d (.*\[\d+/\d+\].*|\w+: \d+/\d+ trials started.*)$|^(expected duration.*|took .*)$"
)
STARTING, START_SECONDS = "No available agent", 60.0  # what a head that has just started says, and for how long
NO_AGENT = (
    "no agent of its nodes takes jobs; where another Ray on the machine holds its port, start the head with "
    "--dashboard-agent-listen-port=PORT"
)
DONE = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED)


class Cluster:
    """The jobs of the cluster whose dashboard is at `url`."""

    def __init__(self, url: str) -> None:
        """Raises UserError where no cluster answers there."""
        if not re.match(r"https?://", url):
            raise UserError(f"--cluster {url}: must be the address of a cluster's dashboard, such as http://HEAD:8265")
        self.url = url
        bypass_proxy()
        try:
            self.client = JobSubmissionClient(url)
        except Exception as error:  # Ray raises bare ones
            raise UserError(_no_answer(url, error)) from error

    def submit(self, name: str, command: Sequence[str], space: Path | None, python: str = "python") -> str:
        """Submit `run_study.py` with these options; the job's id. space: a file of the user's that travels along."""
        variables = {"RAY_JOB_STOP_WAIT_TIME_S": STOP_SECONDS, "PYTHONUNBUFFERED": "1"}
        if VARIABLE in os.environ:  # the password of the ledger's database
            variables[VARIABLE] = os.environ[VARIABLE]
        entrypoint = f"{shlex.quote(python)} run_study.py {shlex.join(command)} --address auto"
        with tempfile.TemporaryDirectory(prefix="submit-") as folder:
            _copy_code(Path(folder))
            if space is not None:
                shutil.copy(space, Path(folder) / SENT)
            return self._accepted(
                entrypoint=entrypoint,
                submission_id=f"{name}-{uuid.uuid4().hex[:8]}",
                metadata={"study": name, "command": masked(shlex.join(command))},
                runtime_env={"working_dir": folder, "env_vars": variables},
            )

    def _accepted(self, **job: Any) -> str:
        """The id of a job that the cluster accepts, perhaps only once it has started."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.client.submit_job(**job)
            except Exception as error:
                if STARTING not in str(error) or time.monotonic() > deadline:
                    why = NO_AGENT if STARTING in str(error) else one_line(error)
                    raise UserError(f"--cluster {self.url}: did not accept the job: {why}") from error
                time.sleep(5)  # each attempt prints lines of Ray's

    def rows(self) -> list[dict[str, object]]:
        """The submitted studies, the latest first."""
        return [self._row(job) for job in sorted(self._jobs(), key=lambda job: -(job.start_time or 0))]

    def row(self, job: str) -> dict[str, object]:
        return self._row(self._info(job))

    def _row(self, job: Any) -> dict[str, object]:
        running = job.status == JobStatus.RUNNING
        return {
            "job": job.submission_id, "study": job.metadata["study"], "state": job.status.value.lower(),
            "started": _time(job.start_time), "ended": _time(job.end_time),
            "progress": self._progress(job.submission_id) if running else "",
        }  # fmt: skip

    def status(self, job: str) -> str:
        """Lines on one job: Ray does not let a running job change what is known of it, so progress is its log's last word."""
        info = self._info(job)
        name, state = info.submission_id, info.status.value.lower()
        lines = [f"{name}: {state}, study {info.metadata['study']}, started {_time(info.start_time)}"]
        lines += [f"ended {_time(info.end_time)}: {one_line(info.message or '')}"] if info.status in DONE else []
        if progress := self._progress(name):
            lines.append(progress)
        return "\n".join([*lines, f"command: {info.metadata.get('command', '')}"])

    def logs(self, job: str, follow: bool) -> Iterator[str]:
        """What the job has printed; with `follow` until it ends."""
        name = self._info(job).submission_id
        with self._answering():
            if not follow:
                yield self.client.get_job_logs(name)
                return
            tail = self.client.tail_job_logs(name)
            with asyncio.Runner() as runner:
                while (text := runner.run(_next(tail))) is not None:
                    yield text

    def stop(self, job: str) -> str:
        """Ask the job to end, as Ctrl-C does; what came of it."""
        info = self._info(job)
        if info.status in DONE:
            raise UserError(f"{info.submission_id}: the job has ended; there is nothing to stop")
        with self._answering():
            self.client.stop_job(info.submission_id)
        name = info.submission_id
        return f"{name}: asked to end; everything is recorded, and the same submit with --resume continues the study"

    def _info(self, job: str) -> Any:
        """Of a job's id, or of the latest job of a study. Raises UserError where there is none."""
        jobs = sorted(self._jobs(), key=lambda each: each.start_time or 0)
        named = {str(each.metadata["study"]): each for each in jobs} | {str(each.submission_id): each for each in jobs}
        if job not in named:
            raise UserError(f"{job}: no submitted study of {self.url}; {nearest(job, named)}")
        return named[job]

    def _jobs(self) -> list[Any]:
        with self._answering():
            return [each for each in self.client.list_jobs() if "study" in (each.metadata or {})]

    def _progress(self, job: str) -> str:
        with self._answering():
            lines = self.client.get_job_logs(job).splitlines()
        return next((line for line in reversed(lines) if PROGRESS.match(line)), "")

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """UserError where the cluster refuses, or is gone: Ray raises bare errors."""
        try:
            yield
        except Exception as error:
            raise UserError(f"--cluster {self.url}: {one_line(error)}") from error


async def _next(tail: Any) -> str | None:
    return await anext(tail, None)


def _copy_code(folder: Path) -> None:
    """The program, and nothing else of the folder that it lies in: no data, results or secrets travel."""
    for name in CODE:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)


def _time(milliseconds: int | None) -> str:
    if not milliseconds:
        return ""
    return datetime.datetime.fromtimestamp(milliseconds / 1000).isoformat(timespec="seconds")


def _no_answer(url: str, error: Exception) -> str:
    reason = one_line(error)
    if "uthentication" in reason:
        reason = (
            "it asks for a token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that holds "
            "it (on the cluster, `ray get-auth-token` prints it)"
        )
    return f"--cluster {url}: {reason}"
