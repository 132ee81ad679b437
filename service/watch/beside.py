"""A live page beside a run: a process of its own, so that the study's driver does nothing for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from record.folder import StudyFolder

COMMAND = Path(__file__).parents[2] / "vision_study.py"


@contextmanager
def served(folder: StudyFolder, wanted: bool) -> Iterator[None]:
    """Inside, the page is served, and its address was printed, if it is wanted."""
    if not wanted:
        yield
        return
    command = [sys.executable, str(COMMAND), "watch", str(folder.path), "--parent", str(os.getpid())]
    with subprocess.Popen(command, start_new_session=True) as page:  # Ctrl-C is for the study
        try:
            yield
        finally:
            page.terminate()
