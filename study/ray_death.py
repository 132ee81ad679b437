"""The death of Ray's own processes under a study: one line at once, where Ray would wait for a minute and dump its state."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import ray

PROCESSES = ("raylet", "gcs_server")


@contextmanager
def reported(advice: str) -> Iterator[None]:
    """Inside, the death of a process of Ray on this machine ends the program with status 1 and one line on standard error.

    The driver cannot outlive its raylet: Ray's own threads would end it. advice: how to go on, the line's end.
    """
    processes = _of_this_node()
    handles = {os.pidfd_open(process.pid): process.name() for process in processes}
    reader, writer = os.pipe()
    thread = threading.Thread(target=_watch, args=(handles, reader, advice), name="Ray's death", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(writer)  # which ends the thread
        thread.join()
        for descriptor in (reader, *handles):
            os.close(descriptor)


def _of_this_node() -> list[psutil.Process]:
    """The raylet that the driver depends on and, where it runs on this machine, the cluster's control service."""
    here = ray.get_runtime_context().get_node_id()
    socket = next(node["RayletSocketName"] for node in ray.nodes() if node["NodeID"] == here)
    session = next(part for part in socket.split("/") if part.startswith("session_"))
    marks = {"raylet": socket, "gcs_server": session}
    processes = []
    for process in psutil.process_iter(["name", "cmdline"]):
        name, command = process.info["name"], process.info["cmdline"] or []
        if name in PROCESSES and any(marks[name] in argument for argument in command):
            processes.append(process)
    return processes


def _watch(handles: dict[int, str], end: int, advice: str) -> None:
    ready, _, _ = select.select([end, *handles], [], [])
    if end not in ready:
        died = handles[ready[0]]
        sys.stdout.flush()
        print(f"\nerror: Ray ended: its process {died} died; {advice}", file=sys.stderr, flush=True)
        os._exit(1)
