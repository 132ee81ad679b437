"""A proxy in the environment does not come between Ray's processes on one machine."""

from __future__ import annotations

import os
import socket

import pytest

from study.cluster import bypass_proxy


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_this_machine_is_reached_without_the_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(other, "")
    monkeypatch.setenv(name, "intranet.example, 10.0.0.1")
    bypass_proxy()
    hosts = os.environ["no_proxy"].split(",")
    assert hosts[:2] == ["intranet.example", "10.0.0.1"]
    assert {"127.0.0.1", "localhost", socket.gethostname()} <= set(hosts)
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    bypass_proxy()
    assert os.environ["no_proxy"].split(",") == hosts
