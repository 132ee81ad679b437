"""A driver's hold on a study: on its folder, and on a ledger that several machines can reach or the copy of a folder."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import signal
import socket
import threading
import time
import uuid
from contextlib import suppress
from typing import Any, Protocol

import psutil

from record.errors import UserError
from record.folder import StudyFolder
from record.mirror import Mirror

KEY = "lease"  # user attribute of the Optuna study of the isolated timings, or the name of a file
VALID_SECONDS, RENEW_SECONDS = 60.0, 10.0
SETTLE_SECONDS = 1.0  # two drivers that take it at once: the later writer has it


class Record(Protocol):
    """Where it is written: an Optuna study, or a study's copy at a URL."""

    @property
    def study_name(self) -> str: ...
    @property
    def user_attrs(self) -> dict[str, Any]: ...

    def set_user_attr(self, key: str, value: Any) -> None: ...


class Copy:
    """A study's copy as such a record."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror, self.study_name = mirror, mirror.url

    @property
    def user_attrs(self) -> dict[str, Any]:
        return {KEY: json.loads(self.mirror.read(f".{KEY}") or b"{}")}

    def set_user_attr(self, key: str, value: Any) -> None:
        self.mirror.write(f".{key}", json.dumps(value).encode())


class Lease:
    """Held from its creation until `release`; a dead driver's runs out."""

    def __init__(self, study: Record) -> None:
        """Raises UserError where another driver holds it."""
        self.study, self.nonce = study, uuid.uuid4().hex
        self._released = threading.Event()
        self._check(self._read())
        self._write()
        time.sleep(SETTLE_SECONDS)
        self._check(self._read())
        self._renewal = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewal.start()

    def release(self) -> None:
        self._released.set()
        self._renewal.join()
        if self._read().get("nonce") == self.nonce:
            self.study.set_user_attr(KEY, {})

    def _read(self) -> dict[str, Any]:
        return self.study.user_attrs.get(KEY, {})

    def _write(self) -> None:
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "nonce": self.nonce}
        self.study.set_user_attr(KEY, holder | {"until": time.time() + VALID_SECONDS})

    def _check(self, lease: dict[str, Any]) -> None:
        if not lease or lease["nonce"] == self.nonce or lease["until"] < time.time():
            return
        if lease["host"] == socket.gethostname() and not psutil.pid_exists(lease["pid"]):
            return
        until = datetime.datetime.fromtimestamp(lease["until"])
        raise UserError(
            f"{self.study.study_name}: another run works on this study (process {lease['pid']} on {lease['host']}); wait "
            f"for its end, or, if it is dead, until {until:%H:%M:%S}"
        )

    def _renew(self) -> None:
        while not self._released.wait(RENEW_SECONDS):
            with suppress(Exception):  # of a database that does not answer: the study's own writing will say so
                if self._read().get("nonce") != self.nonce:  # another driver took it while this one was out of reach
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                self._write()


def lock(folder: StudyFolder) -> int:
    """Hold the folder for this process (the system releases it if the process dies); the descriptor to close."""
    descriptor = os.open(folder.path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(
            f"{folder.path}: another run is working in this study folder; wait for it or choose another --name"
        ) from None
    return descriptor
