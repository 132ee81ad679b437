"""The live page over HTTP: who may see it, what it says, and that it keeps up with the study."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import PATIENCE
from driven_study import driven
from fake_study import HOSTILE, write_study

from record.errors import UserError
from record.folder import StudyFolder
from service.watch.page import Page
from service.watch.server import Server


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    with Server(StudyFolder(folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    answer = response.status, response.read().decode(), dict(response.getheaders())
    connection.close()
    return answer


def cookie(server: Server) -> str:
    status, _, headers = ask(server, f"/?token={server.token}")
    assert status == 303 and headers["Location"] == "/" and "HttpOnly; SameSite=Strict" in headers["Set-Cookie"]
    return headers["Set-Cookie"].partition(";")[0]


def test_only_the_printed_address_opens_the_page_and_nothing_but_the_page(tmp_path: Path) -> None:
    write_study(tmp_path / "mine", models=("vit",))
    with serving(tmp_path / "mine") as server:
        assert server.address == f"http://127.0.0.1:{server.server_port}/?token={server.token}"
        mine = cookie(server)
        page = ask(server, "/", Cookie=mine)
        assert page[0] == 200 and 'id="live-state"' in page[1] and "connect-src 'self'" in page[1]
        for path in ("/", "/progress", "/report", "/?token=guess"):
            assert ask(server, path)[0] == 403, path
            assert ask(server, path, Cookie=f"watch_{server.server_port}=guess")[0] == 403
        assert ask(server, "/", Cookie=mine, Host=f"evil.example:{server.server_port}")[0] == 403
        assert ask(server, "/", Cookie=mine, Origin="http://evil.example")[0] == 403
        for path in ("/../mine/trials.csv", "/trials.csv", "/%2e%2e/etc/passwd", "/../../etc/passwd", "/stop"):
            assert ask(server, path, Cookie=mine)[0] == 404, path
        assert ask(server, "/", Cookie="\x7f=; a=b")[0] == 403


def test_only_the_pages_own_button_stops_the_study(tmp_path: Path) -> None:
    with driven(tmp_path / "mine") as study:
        study.write_environment(driver={})  # not this process
        with serving(tmp_path / "mine") as server:
            mine = cookie(server)
            assert ask(server, "/stop", "POST")[0] == 403
            assert ask(server, "/stop", "POST", Cookie=mine)[0] == 403
            assert ask(server, "/stop", "POST", X_Watch=server.token)[0] == 403
            assert (
                ask(server, "/stop", "POST", Cookie=mine, X_Watch=server.token, Origin="http://evil.example")[0] == 403
            )
            status, text, _ = ask(server, "/stop", "POST", Cookie=mine, X_Watch=server.token)
            assert status == 409 and "does not run (stopped)" in text


def test_the_head_follows_the_ledger(tmp_path: Path) -> None:
    with driven(tmp_path / "mine") as study, serving(tmp_path / "mine") as server:
        mine = cookie(server)
        first = json.loads(ask(server, "/progress", Cookie=mine)[1])
        assert first["state"] == "running" and first["done"] == 3.5 and first["running"][0]["epoch"] == 2
        study.train(study.running, 4, 0.875)
        second = json.loads(ask(server, "/progress", Cookie=mine)[1])
        assert second["done"] == 4 and not second["running"] and "accuracy 87.5 %" in second["best"]


def test_the_report_is_made_again_when_the_tables_have_changed_and_all_text_is_escaped(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "mine", models=("vit",))
    page = Page(StudyFolder(folder), "secret")
    assert page.report().startswith("<header>") and page.report().endswith("</main>")
    version = json.loads(page.head())["report"]
    assert version == 1 and page.whole() is page.whole()
    table = folder / "trials.csv"
    table.write_text(table.read_text().replace("loss is nan in epoch 2 [lr 0.3]", HOSTILE))
    page._next = 0.0
    page._render()
    assert json.loads(page.head())["report"] == 2
    assert "&lt;/script&gt;&lt;img" in page.report() and "<img src=x" not in page.whole()


def test_a_study_that_has_no_tables_yet_has_a_page(tmp_path: Path) -> None:
    page = Page(StudyFolder(tmp_path / "<b>none"), "secret")
    assert "&lt;b&gt;none" in page.whole() and "<b>none" not in page.whole() and 'id="live-state"' in page.whole()
    assert "no such study" in json.loads(page.head())["problem"]


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with (
        Server(StudyFolder(tmp_path)) as server,
        pytest.raises(UserError, match=f"--port {server.server_port}: cannot be used"),
    ):
        Server(StudyFolder(tmp_path), server.server_port)
