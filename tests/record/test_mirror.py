"""A study's copy at a URL, on a disk and in S3's own protocol."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from record import contents
from record.errors import UserError
from record.folder import StudyFolder
from record.mirror import Mirror, MirrorError, inside, is_url


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.getfixturevalue(request.param)}/tiny"


@pytest.fixture
def disk(tmp_path: Path) -> str:
    return f"file://{tmp_path}/copies"


places = pytest.mark.parametrize("url", ["disk", "s3"], indirect=True)


def study(path: Path, runs: list[str]) -> StudyFolder:
    folder = StudyFolder(path)
    contents.write_environment(folder, {"schema": 1, "runs": runs})
    folder.table("trials").write_text("trial\n")
    folder.checkpoints.mkdir(exist_ok=True)
    folder.checkpoint("net-000").write_bytes(os.urandom(3_000_000))
    return folder


@places
def test_a_copy_is_the_study_on_another_machine(url: str, tmp_path: Path) -> None:
    here = study(tmp_path / "here", ["a"])
    database = sqlite3.connect(here.ledger)
    database.execute("PRAGMA journal_mode=WAL")
    with database:
        database.execute("CREATE TABLE t AS SELECT 1 AS x")
    mirror = Mirror(url)
    mirror.check()
    mirror.push(here)  # while the ledger is open
    there = StudyFolder(tmp_path / "there")
    Mirror(url).meet(there)
    assert there.checkpoint("net-000").read_bytes() == here.checkpoint("net-000").read_bytes()
    assert sqlite3.connect(there.ledger).execute("SELECT x FROM t").fetchall() == [(1,)]
    assert not list(there.path.glob("*-wal")) and not list(there.path.rglob("*.partial"))
    here.checkpoint("net-000").unlink()
    with database:
        database.execute("INSERT INTO t VALUES (2)")
    mirror.push(here)
    assert mirror.read("checkpoints/net-000.pt") is None
    again = StudyFolder(tmp_path / "again")
    Mirror(url).meet(again)
    assert len(sqlite3.connect(again.ledger).execute("SELECT x FROM t").fetchall()) == 2
    database.close()


@places
def test_the_side_that_went_on_wins_and_two_that_did_are_refused(url: str, tmp_path: Path) -> None:
    here = study(tmp_path / "here", ["a"])
    Mirror(url).push(here)
    there = StudyFolder(tmp_path / "there")
    Mirror(url).meet(there)
    here.table("trials").write_text("trial\nnet-000\n")
    Mirror(url).push(here)
    Mirror(url).meet(there)  # the run goes on elsewhere: what is new comes
    assert "net-000" in there.table("trials").read_text()
    contents.write_environment(there, {"schema": 1, "runs": ["a", "b"]})
    Mirror(url).meet(there)  # ahead of its copy
    assert contents.read_environment(there)["runs"] == ["a", "b"]
    Mirror(url).push(there)
    Mirror(url).meet(here)
    assert contents.read_environment(here)["runs"] == ["a", "b"]
    contents.write_environment(here, {"schema": 1, "runs": ["a", "b", "c"]})
    contents.write_environment(there, {"schema": 1, "runs": ["a", "b", "d"]})
    Mirror(url).push(there)
    with pytest.raises(UserError, match=r"are not the same study; move one away"):
        Mirror(url).meet(here)


@pytest.mark.parametrize("bad", ["nowhere://bucket/x", "file:///proc/nothing/here", "s3://key:secret@bucket/x"])
def test_a_place_that_takes_no_results_is_one_line(bad: str) -> None:
    with pytest.raises(UserError, match="results") as error:
        Mirror(bad).check()
    assert "\n" not in str(error.value) and "secret" not in str(error.value)


@places
def test_a_copy_that_cannot_be_reached_is_said_at_the_end(url: str, tmp_path: Path) -> None:
    folder, mirror = study(tmp_path / "here", ["a"]), Mirror(url)
    with pytest.raises(MirrorError, match="is not up to date"), mirror.kept(folder):
        mirror.root = "/proc/nothing" if "file" in url else "Not_A_Bucket/x"
    assert folder.checkpoint("net-000").exists()


def test_a_url_has_a_place_for_each_study() -> None:
    assert inside("s3://bucket/x/?region=eu-west-1", "tiny") == "s3://bucket/x/tiny?region=eu-west-1"
    mirror = Mirror("file:///tmp/x/tiny")
    assert (mirror.results, mirror.name) == ("file:///tmp/x", "tiny")


def test_what_a_url_is() -> None:
    assert is_url("s3://bucket/x") and is_url("file:///x") and not is_url("results") and not is_url("C:/x")
