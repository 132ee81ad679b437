"""Where a timing runs on a cluster: alone on a whole node where one becomes free soon, always on nodes of one kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from record.errors import UserError
from study import cluster
from study.ledger import IsolatedTiming
from study.space.schema import ModelEntry, StudySpec
from trainables.examination import Facts
from trainables.task import Figures

ALONE_SECONDS = 300.0  # that all timings of a run together wait for a whole node
SHARE_SECONDS = 600.0  # that each of them waits for what a trial takes
UNNAMED = "GPU"  # of a maker whose tools are not asked
AT_ONCE_SECONDS = 2.0
SHARED = "no whole node became free: other work of the cluster may have run beside it"


class Kind(NamedTuple):
    """Nodes on which the same program has the same speed."""

    hardware: str  # as profile.csv has it
    cpus: int


def check_hardware(model: str, timed: Iterable[IsolatedTiming], figures: Figures) -> None:
    """Raises UserError where a timing, of these figures, was made on other hardware than the study's so far."""
    known = _timed_on(timed, figures.get("device") == "cuda")
    if known and str(figures["hardware"]) not in known:
        raise UserError(
            f"models.{model}: speeds of this study are timed on {' or '.join(sorted(known))}, this machine is "
            f"{figures['hardware']}, and speeds of different hardware are not comparable; continue there, or start another study"
        )


def _timed_on(timed: Iterable[IsolatedTiming], uses_gpu: bool) -> set[str]:
    return {str(t.figures["hardware"]) for t in timed if (t.figures.get("device") == "cuda") == uses_gpu}


class Reservations:
    """The cluster's nodes of the kind on which the study is timed."""

    def __init__(self, spec: StudySpec, facts: Mapping[str, Facts], timed: list[IsolatedTiming]) -> None:
        """facts: of each node, by id. timed: the study's timings so far, which decide the kind."""
        self.spec, self.facts, self.timed, self.patience = spec, facts, timed, ALONE_SECONDS

    @contextmanager
    def reserved(self, model: str, say: Callable[[str], None]) -> Iterator[tuple[Kind, dict[str, Any], bool]]:
        """Inside, a node is reserved: (its kind, the options of a remote call that runs there, whether it is reserved whole).

        Raises UserError where no node may time the model, or none has room for it.
        """
        entry = self.spec.models[model]
        kind, nodes = self._nodes(model, entry)
        gpus = {"GPU": 1.0} if entry.resources.gpus else {}
        whole, share = {"CPU": float(kind.cpus), **gpus}, {"CPU": entry.resources.cpus, **gpus}
        selector = [{"ray.io/node-id": f"in({','.join(nodes)})"}]
        where = f"to time {model} on {kind.hardware}"
        group, is_whole = self._wait(whole, selector, self.patience, f"a whole node {where}", say), True
        if group is None:
            self.patience = 0.0
            group, is_whole = self._wait(share, selector, SHARE_SECONDS, f"a trial's share {where}", say), False
        if group is None:
            raise UserError(
                f"{_words(share)} {where}: none was free for {SHARE_SECONDS / 60:g} minutes; continue with --resume when the "
                "cluster is less busy"
            )
        try:
            yield kind, {"scheduling_strategy": PlacementGroupSchedulingStrategy(group)}, is_whole
        finally:
            remove_placement_group(group)

    def _nodes(self, model: str, entry: ModelEntry) -> tuple[Kind, list[str]]:
        """The kind of node on which the study is timed, that of most trials, and its nodes."""
        uses_gpu = bool(entry.resources.gpus)
        alike = [other for other in self.spec.models.values() if bool(other.resources.gpus) == uses_gpu]
        kinds = self._kinds(uses_gpu)
        timed = _timed_on(self.timed, uses_gpu)
        known = {kind: nodes for kind, nodes in kinds.items() if not timed or kind.hardware in timed}
        room = {kind: self._trials(alike, nodes) for kind, nodes in known.items()}
        if not any(room.values()):
            have = ", ".join(sorted({kind.hardware for kind in kinds})) or "none"
            of = f"speeds of this study are timed on {' or '.join(sorted(timed))}, " if timed else ""
            raise UserError(
                f"models.{model}: {of}and speeds of different hardware are not comparable, but the trials of all models fit "
                f"on no such node (there are: {have}); add one, or start another study"
            )
        best = max(room, key=lambda kind: room[kind])
        return best, known[best]

    def _kinds(self, uses_gpu: bool) -> dict[Kind, list[str]]:
        kinds: dict[Kind, list[str]] = {}
        for name, node in cluster.nodes_for(self.spec).items():
            if name not in self.facts or (uses_gpu and not node["Resources"].get("GPU")):
                continue
            cpus, facts = int(node["Resources"].get("CPU", 0)), self.facts[name]
            kind = Kind((facts.gpu or UNNAMED) if uses_gpu else f"{cpus} x {facts.cpu}", cpus)
            kinds.setdefault(kind, []).append(name)
        return kinds

    def _trials(self, entries: list[ModelEntry], nodes: list[str]) -> int:
        """How many trials of any of the entries run on the nodes at once; 0 where one of the entries does not fit."""
        living = cluster.nodes_for(self.spec)
        return min(sum(cluster.fit(entry, living[node]["Resources"]) for node in nodes) for entry in entries)

    def _wait(
        self,
        needs: dict[str, float],
        selector: list[dict[str, str]],
        seconds: float,
        what: str,
        say: Callable[[str], None],
    ) -> Any | None:
        """A placement group with these resources, None where they did not become free in time."""
        group, started = placement_group([needs], bundle_label_selector=selector), time.monotonic()
        if group.wait(AT_ONCE_SECONDS):
            return group
        if seconds:
            say(f"waiting up to {seconds / 60:.1g} minutes for {what} ({_words(needs)})")
        if seconds and group.wait(seconds):
            self.patience -= time.monotonic() - started
            return group
        remove_placement_group(group)
        return None


def _words(needs: Mapping[str, float]) -> str:
    return " and ".join(f"{number:g} {kind}{'s' * (number != 1)}" for kind, number in needs.items())
