"""Two studies in one PostgreSQL that is restarted while both run."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from conftest import PATIENCE, ROOT, Program
from driven_study import Driven, driven
from small_space import space

from record import contents
from record.errors import UserError
from record.folder import StudyFolder
from service import progress
from study.address import VARIABLE
from study.cells import cells
from study.ledger import Ledger
from study.proposals import build_sampler
from study.space.reading import resolve
from study.space.typed import typed
from tests.study.test_storage import open_together

SPACE = """
description: one tiny model
data: {{name: digits}}
objectives: [val_accuracy]
phases: [search]
trials: 3
seed: {seed}
checkpoint_seconds: 0
all_models:
  epochs: 6
  train_size: 400
  batch_size: 16
  image_size: 16
  flip: false
  resources: {{cpus: 2}}
  search: {{lr: {{low: 1.0e-3, high: 1.0e-2, log: true}}}}
models:
  scratch_vit: {{patch_size: 4, width: 32, depth: 2, heads: 2, feed_forward: 64, norm: pre}}
"""


class Server:
    """A PostgreSQL cluster in a temporary folder, on loopback."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.data, self.port = programs, folder / "data", _free_port()
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        folder.mkdir()
        if os.getuid() == 0:  # which the server refuses to run as
            shutil.chown(folder, self.user)
        password = folder / "password"
        password.write_text("secret")
        self._call("initdb", "-D", str(self.data), "-A", "scram-sha-256", "-U", "me", f"--pwfile={password}")
        self.control("start")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://me:secret@127.0.0.1:{self.port}/postgres"

    def control(self, *action: str) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.data.parent}"
        self._call("pg_ctl", "-D", str(self.data), "-o", options, "-l", str(self.data.parent / "log"), "-w", *action)

    def _call(self, program: str, *arguments: str) -> None:
        user = self.user if os.getuid() == 0 else None
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, user=user, cwd="/", check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def server() -> Iterator[Server]:
    found = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if found is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the server's user must reach its own
        server = Server(Path(found).parent, Path(folder) / "server")
        yield server
        server.control("stop", "-m", "immediate")


def test_a_ledger_survives_the_restart_of_its_database(tmp_path: Path, server: Server) -> None:
    spec = typed(resolve(space(), "x"))
    folder = tmp_path / "study"
    folder.mkdir()
    with Ledger(folder, spec, server.url) as ledger:
        ledger.hold()
        contents.write_environment(StudyFolder(folder), {"identity": ledger.identity, "storage": ledger.address})
        cell = cells(spec)[0]
        trial = ledger.ask(cell, build_sampler(ledger, cell))
        for epoch in range(1, 6):
            ledger.record(trial, {"epoch": epoch, "val_accuracy": epoch / 10})
            server.control("restart", "-m", "immediate")
    with Ledger(folder, spec, server.url) as ledger:
        assert [row["epoch"] for row in ledger.trials[trial.name].rows] == [1, 2, 3, 4, 5]
    assert "secret" not in StudyFolder(folder).environment.read_text()


@pytest.mark.slow
def test_who_looks_on_sees_of_a_shared_database_what_a_file_would_show(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two studies of one name in the database, the second with a trial more, and one in a file."""
    monkeypatch.setenv(VARIABLE, server.url)
    with (
        driven(tmp_path / "file" / "x") as filed,
        driven(tmp_path / "one" / "x", server.url) as one,
        driven(tmp_path / "other" / "x", server.url) as other,
    ):
        other.train(other.ask(), 4, 0.875)
        told = {study: progress.read(study.ledger.folder) for study in (filed, one, other)}
        rows = [progress.epoch_rows(study.ledger.folder, study.running.name) for study in (filed, one, other)]

    def known(study: Driven) -> list[object]:
        return [(t.name, t.phase, t.state, t.epoch, t.epochs, t.row, t.error, t.traceback) for t in told[study].trials]

    assert known(one) == known(filed) == known(other)[:4] and len(known(other)) == 5
    assert all(trial.started is not None for trial in told[one].trials)
    assert told[one].counts == told[filed].counts == {"complete": 2, "running": 1, "failed": 1}
    assert told[one].best and told[other].best and (told[one].best.row, told[other].best.row["val_accuracy"]) == (
        told[filed].best.row, 0.875
    )  # fmt: skip
    assert told[one].stage is not None and told[one].stage.total == 6
    assert rows[0] == rows[1] == rows[2] and len(rows[0]) == 2
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(UserError, match="the ledger cannot be read") as refused:
        progress.read(StudyFolder(tmp_path / "one" / "x"))
    assert "secret" not in str(refused.value)


def rows_in(server: Server) -> int:
    with psycopg.connect(server.url.replace("+psycopg", "")) as connection:
        tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'trial_user_attributes'"
        if connection.execute(tables).fetchone() == (0,):
            return 0
        query = "SELECT COUNT(*) FROM trial_user_attributes WHERE key LIKE 'epoch\\_%'"
        return int(connection.execute(query).fetchone()[0])  # type: ignore[index]


@pytest.mark.slow
def test_drivers_may_create_the_tables_at_the_same_time(tmp_path: Path, server: Server) -> None:
    address = server.url.replace("+psycopg", "")
    for name in ("first", "second", "third"):
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        assert open_together(tmp_path, server.url.replace("/postgres", f"/{name}")) == [0] * 6


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_studies_share_a_database_that_is_restarted(tmp_path: Path, server: Server, run_study: Program) -> None:
    drivers = {}
    for seed in (1, 2):
        folder = tmp_path / f"driver{seed}"
        folder.mkdir()
        (folder / "same.yaml").write_text(SPACE.format(seed=seed))
        command = [sys.executable, str(ROOT / "run_study.py"), "--space", "same.yaml", "--storage", server.url]
        drivers[seed] = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    while rows_in(server) < 6 and all(driver.poll() is None for driver in drivers.values()):
        time.sleep(0.1)
    server.control("restart", "-m", "immediate")
    for seed, driver in drivers.items():
        output, _ = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 0, output
        assert "secret" not in output
        folder = tmp_path / f"driver{seed}" / "results" / "same"
        assert "secret" not in "".join(path.read_text() for path in folder.glob("*.json"))
        assert "secret" not in (folder / "report.html").read_text()
        calm = tmp_path / f"calm{seed}"
        calm.mkdir()
        (calm / "same.yaml").write_text(SPACE.format(seed=seed))
        alone = run_study("--space", "same.yaml", cwd=calm)
        assert alone.returncode == 0, alone.stdout + alone.stderr
        columns = ["trial", "state", "seed", "lr", "epochs", "val_accuracy", "val_loss", "interruptions"]
        tables = [pd.read_csv(path / "trials.csv")[columns] for path in (folder, calm / "results" / "same")]
        pd.testing.assert_frame_equal(*tables)
