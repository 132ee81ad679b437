"""Downloads by torchvision from a server on this machine: whole or not at all, checked, extracted safely."""

from __future__ import annotations

import functools
import hashlib
import http.server
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_files import assert_refused
from torchvision import datasets
from torchvision_layouts import food101

from trainables.data import DataError
from trainables.data.download import download
from trainables.data.images.loading import load_images

pytestmark = pytest.mark.usefixtures("user_cache")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """(folder, URL of its files)."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


@pytest.fixture
def food(server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive of a tiny Food-101 on the server that torchvision asks."""
    folder, url = server
    food101(tmp_path / "source")
    with tarfile.open(folder / "food-101.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "source" / "food-101", arcname="food-101")
    monkeypatch.setattr(datasets.Food101, "_URL", f"{url}/food-101.tar.gz")
    monkeypatch.setattr(datasets.Food101, "_MD5", hashlib.md5((folder / "food-101.tar.gz").read_bytes()).hexdigest())
    return folder / "food-101.tar.gz"


def test_a_download_lies_in_the_folder_of_its_name_and_is_used_again(food: Path, tmp_path: Path) -> None:
    data = load_images("food101", tmp_path / "data", image_size=8)
    assert (data.source, len(data.train), len(data.test)) == ("food101 (torchvision)", 10, 4)
    names = {path.name for path in (tmp_path / "data" / "food101").iterdir()}
    assert names == {".cache", "food-101", "food-101.tar.gz"}
    food.unlink()
    assert len(load_images("food101", tmp_path / "data", image_size=9).train) == 10


def test_an_archive_with_another_checksum_leaves_nothing(food: Path, tmp_path: Path) -> None:
    food.write_bytes(food.read_bytes() + b"x")
    assert_refused("food101 is not in .*corrupted.*put food-101 there", "food101", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_an_archive_that_is_not_there_leaves_nothing(food: Path, tmp_path: Path) -> None:
    food.unlink()
    assert_refused("could not be downloaded .HTTP Error 404", "food101", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_what_a_download_extracts_stays_in_its_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("as it was")
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(outside, arcname="../../outside.txt")
    outside.write_text("still so")

    def fetch(draft: Path) -> None:
        datasets.utils.extract_archive(str(tmp_path / "set.tar"), str(draft))

    with pytest.raises(DataError, match=r"x is not in .*outside the destination.*: do without"):
        download(tmp_path / "data", "x", "do without", fetch)
    assert outside.read_text() == "still so" and not (tmp_path / "data").exists()
    assert vars(tarfile.TarFile).get("extraction_filter") is None
