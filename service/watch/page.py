"""What the live page shows: the head at every poll, the report when the tables have changed. Both are kept until then."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from pathlib import Path

from analysis.read.study_folder import load
from analysis.tell.report import Live, render
from record.errors import UserError
from record.figures import ENGINES, EPOCHS, PROFILE, TRIALS
from record.folder import StudyFolder
from service import progress, tell
from service.progress import Progress

_HERE = Path(__file__).parent
SHARE = 0.05  # of a processor's time that reports may take
MIN_PAUSE = 3.0  # seconds between two reports


class Page:
    """Everything that the server sends. `folder` may not be a study yet."""

    def __init__(self, folder: StudyFolder, secret: str) -> None:
        self.folder, self.secret = folder, secret
        self.assets = [(_HERE / name).read_text(encoding="utf-8") for name in ("head.html", "watch.css", "watch.js")]
        self._lock, self._rendering = threading.Lock(), threading.Lock()
        self._seen: object = None
        self._state: Progress | None = None
        self._html, self._version, self._rendered, self._next = "", 0, object(), 0.0

    def whole(self) -> str:
        """The page's HTML."""
        if not self._html:
            self._render()
        return self._html

    def report(self) -> str:
        """Of the newest report: everything between the head and the scripts."""
        html = self.whole()
        start, end = html.find("<header>"), html.rfind("</main>")
        return html[start : end + len("</main>")] if start >= 0 else ""

    def head(self) -> str:
        """JSON: the study's progress and the version of the report; starts a newer report where one is due."""
        try:
            content = tell.as_dict(self._progress())
        except UserError as error:
            content = {"problem": str(error)}
        if time.monotonic() >= self._next and _changes(self._tables()) != self._rendered:
            threading.Thread(target=self._render, daemon=True).start()
        return json.dumps(content | {"report": self._version})

    def _progress(self) -> Progress:
        """The ledger is read again only where its files have changed."""
        ledger = self.folder.ledger
        files = [ledger, ledger.with_name(f"{ledger.name}-wal"), self.folder.environment]
        with self._lock:
            seen = _changes(files)
            if self._state is None or seen != self._seen or not ledger.exists():
                self._state, self._seen = progress.read(self.folder), seen
            return dataclasses.replace(self._state, now=time.time())

    def _tables(self) -> list[Path]:
        return [self.folder.spec, *(self.folder.table(name) for name in (TRIALS, EPOCHS, PROFILE, ENGINES))]

    def _render(self) -> None:
        if not self._rendering.acquire(blocking=not self._html):
            return  # another thread is at it
        try:
            started, seen = time.monotonic(), _changes(self._tables())
            if self._html and seen == self._rendered:
                return
            head, css, script = self.assets
            live = Live(head, css, f"const SECRET = {json.dumps(self.secret)};\n{script}")
            try:
                html = render(load(self.folder.path), live)
            except UserError as error:
                html = _without_report(self.folder.name, str(error), live)
            took = time.monotonic() - started
            self._html, self._rendered, self._version = html, seen, self._version + 1
            self._next = time.monotonic() + max(MIN_PAUSE, took / SHARE)
        finally:
            self._rendering.release()


def _changes(files: list[Path]) -> list[tuple[int, int] | None]:
    """What differs where one of the files was written since."""
    found: list[tuple[int, int] | None] = []
    for file in files:
        try:
            stat = file.stat()
            found.append((stat.st_mtime_ns, stat.st_size))
        except OSError:
            found.append(None)
    return found


def _without_report(name: str, problem: str, live: Live) -> str:
    """A page for a study that has no readable tables yet."""
    from jinja2 import Environment

    page = Environment(autoescape=True).from_string(
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>{{ name }}</title><style>{{ css }}</style></head>"
        "<body>{{ head }}<header><h1>{{ name }}</h1><p>{{ problem }}</p></header><main></main><script>{{ script }}</script>"
    )
    from markupsafe import Markup

    parts = {key: Markup(value) for key, value in (("head", live.head), ("css", live.css), ("script", live.script))}
    return page.render(name=name, problem=problem, **parts)
