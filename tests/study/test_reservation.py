"""Timings on a cluster: on a whole node where one is free, a stated patience where not, and on one kind of node only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray
from small_space import space

from record.errors import UserError
from study import reservation
from study.ledger import IsolatedTiming
from study.reservation import Reservations, check_hardware
from study.space.reading import resolve
from study.space.schema import StudySpec
from study.space.typed import typed
from trainables.examination import Facts

MODEL = "scratch_vit"


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield ray.get_runtime_context().get_node_id()
    ray.shutdown()


@pytest.fixture
def spec() -> StudySpec:
    content = space()
    content["all_models"]["resources"] = {"cpus": 2}
    return typed(resolve(content, "space.yaml"))


def facts(cpu: str = "Some CPU") -> Facts:
    return Facts("host", "3.11", {}, sees=True, cpu=cpu)


def timed_on(hardware: str) -> IsolatedTiming:
    return IsolatedTiming(MODEL, "profile", {}, {}, {"hardware": hardware, "device": "cpu"})


@ray.remote(num_cpus=1)
class Work:
    """Another user's."""


@pytest.mark.slow
def test_a_busy_node_is_waited_for_and_then_shared(node: str, spec: StudySpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservation, "ALONE_SECONDS", 1.0)
    monkeypatch.setattr(reservation, "SHARE_SECONDS", 1.0)
    said: list[str] = []
    with Reservations(spec, {node: facts()}, []).reserved(MODEL, said.append) as (kind, _, is_whole):
        assert (kind.cpus, is_whole, said) == (3, True, [])
    first, busy = Work.remote(), Reservations(spec, {node: facts()}, [])
    ray.get(first.__ray_ready__.remote())
    for _ in range(2):
        with busy.reserved(MODEL, said.append) as (kind, options, is_whole):
            assert (kind.cpus, is_whole) == (3, False)
            assert ray.get(ray.remote(num_cpus=2, **options)(lambda: 5).remote()) == 5
    assert len(said) == 1  # it is patient once, not for each timing
    assert "a whole node to time scratch_vit on 3 x Some CPU (3 CPUs)" in said[0]
    second = Work.remote()
    ray.get(second.__ray_ready__.remote())
    none_free = pytest.raises(UserError, match=r"^2 CPUs to time scratch_vit on 3 x Some CPU: none was free for")
    with none_free, busy.reserved(MODEL, said.append):
        pass
    for work in (first, second):
        ray.kill(work)


def test_a_study_is_timed_on_one_kind_of_node(node: str, spec: StudySpec) -> None:
    same = Reservations(spec, {node: facts()}, [timed_on("3 x Some CPU")])
    with same.reserved(MODEL, print) as (kind, _, _):
        assert kind == ("3 x Some CPU", 3)
    other = Reservations(spec, {node: facts("Faster CPU")}, [timed_on("3 x Some CPU")])
    refused = pytest.raises(UserError, match=r"timed on 3 x Some CPU, and .*not comparable.*there are: 3 x Faster CPU")
    with refused, other.reserved(MODEL, print):
        pass


def test_a_timing_on_other_hardware_than_the_study_s_is_refused_for_each_device_alone() -> None:
    timed = [timed_on("3 x Some CPU")]
    check_hardware(MODEL, [], {"hardware": "8 x Faster CPU", "device": "cpu"})
    check_hardware(MODEL, timed, {"hardware": "3 x Some CPU", "device": "cpu"})
    check_hardware(MODEL, timed, {"hardware": "Some GPU", "device": "cuda"})
    with pytest.raises(
        UserError, match=r"timed on 3 x Some CPU, this machine is 2 x Some CPU, .*not comparable; continue"
    ):
        check_hardware(MODEL, timed, {"hardware": "2 x Some CPU", "device": "cpu"})
