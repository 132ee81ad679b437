"""Ending a study that runs on this machine, as its terminal would."""

from __future__ import annotations

import os
import signal
import socket
import time

from record.errors import UserError
from record.folder import StudyFolder
from service import progress

PATIENCE_SECONDS = 120.0  # in which running trials save what they have computed


def request(folder: StudyFolder) -> dict[str, object]:
    """Ask the study's driver to end; the process. Raises UserError where none runs here."""
    state = progress.read(folder)
    driver = state.driver
    if state.state == progress.ELSEWHERE:
        raise UserError(
            f"{folder.path}: its driver ran on {driver.get('host')}, process {driver.get('pid')}; this is "
            f"{socket.gethostname()}: stop it there, or a submitted one with --cluster"
        )
    if state.state != progress.RUNS:
        raise UserError(f"{folder.path}: the study does not run ({state.state}); there is nothing to stop")
    try:
        os.kill(int(driver["pid"]), signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has just ended
    except PermissionError:
        raise UserError(f"{folder.path}: process {driver['pid']} is another user's; ask them to stop it") from None
    return driver


def stop(folder: StudyFolder) -> str:
    """Ask the driver to end and wait for it; a line that says what came of it. Raises as `request`."""
    driver = request(folder)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while progress.is_alive(driver):
        if time.monotonic() > deadline:
            raise UserError(
                f"{folder.path}: process {driver['pid']} was asked to end, but still runs; look at its output"
            )
        time.sleep(0.1)
    results = folder.path.parent
    return f"Stopped; everything is recorded. Continue with: vision-study run --name {folder.name} --results {results} --resume"
