"""The live page in a browser: it keeps up with the study, and no text of a study becomes HTML."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import waiting
from driven_study import TRACEBACK, driven
from fake_study import HOSTILE

from record.folder import StudyFolder
from service.watch import page
from service.watch.server import Server
from study import tables
from study.costs import DataFacts

FACTS = DataFacts("digits", 1000, 200, 300)


def test_the_page_keeps_up_with_the_study(tmp_path: Path, browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MIN_PAUSE", 0.0)
    monkeypatch.setattr(page, "SHARE", 1.0)
    wait = waiting(browser)
    with driven(tmp_path / "mine") as study, Server(StudyFolder(tmp_path / "mine")) as server:
        study.ledger.finish(bad := study.ask(), "failed", error=HOSTILE, traceback=HOSTILE)
        tables.write(study.ledger, FACTS)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            browser.get(server.address)
            text = "return document.querySelector(arguments[0]).textContent"
            wait.until(lambda _: "epoch 2 of 4" in browser.execute_script(text, "#live-running"))
            assert "?" not in browser.current_url
            failures = browser.execute_script(
                "return [...document.querySelectorAll('#live-failed details')].map((each) => each.textContent)"
            )
            assert failures == [
                f"resnet18-002 failed: ValueError: <b>bad</b>{TRACEBACK}",
                f"{bad.name} failed: {HOSTILE}{HOSTILE}",
            ]
            assert browser.execute_script("return document.querySelectorAll('#live b, #live img').length") == 0
            browser.execute_script("document.querySelector('#live-failed details').open = true; scrollTo(0, 300)")
            study.train(study.running, 4, 0.96875)
            tables.write(study.ledger, FACTS)
            wait.until(lambda _: "96.9 %" in browser.execute_script(text, "#live-counts"))
            wait.until(lambda _: "96.9" in browser.execute_script(text, "#trials"))
            assert browser.execute_script("return document.querySelector('#live-failed details').open")
            assert browser.execute_script("return scrollY") > 200  # the page was not loaded again
            for width, dark in ((400, False), (1600, True)):
                size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
                scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
                fits = f"return document.documentElement.scrollWidth <= {width}"
                wait.until(lambda _, fits=fits: browser.execute_script(fits))  # pictures are drawn again
                if folder := os.environ.get("SCREENSHOTS"):
                    browser.execute_script("scrollTo(0, 0)")
                    browser.save_screenshot(f"{folder}/watch-{width}.png")
            assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
        finally:
            server.shutdown()
            thread.join()
    wait.until(lambda _: "server has ended" in browser.execute_script(text, "#live-state"))
