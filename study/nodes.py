"""Whether each node of a cluster can do the study's work, found out before anything is trained."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from record.errors import UserError, one_line
from study import cluster
from study.space.schema import StudySpec
from trainables.examination import Facts, Weights, differences, examine, python, version

PACKAGES = ("numpy", "torch", "torchvision", "timm", "safetensors", "spacy", "sacrebleu")  # that trials may import
ENGINES = ("onnxruntime", "openvino")  # packages, with which the names of their engines start
ANSWER_SECONDS = 180.0  # a new worker on a busy node takes a minute to import torch


def check(
    spec: StudySpec, versions: Mapping[str, str | None], weights: Sequence[Weights], folder: Path, keeper: Any, run: str
) -> dict[str, Facts]:
    """Let each node that trials can run on prove that it can work: Facts by node id.

    versions: the driver's. keeper, run: as `Place` takes them. Raises UserError that names the node, and what it lacks.
    """
    nodes = cluster.nodes_for(spec)
    marks = {node: f".node-{uuid.uuid4().hex}" for node in nodes}
    refs = {
        node: ray.remote(num_cpus=0, max_retries=0)(examine)
        .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        .remote(list(versions), weights, str(folder), keeper, run, marks[node])
        for node in nodes
    }
    ray.wait(list(refs.values()), num_returns=len(refs), timeout=ANSWER_SECONDS)
    try:
        answers = {node: _answer(nodes[node], ref) for node, ref in refs.items()}
        facts = {node: answer for node, answer in answers.items() if answer is not None}
        if not facts:
            raise UserError(
                "every node of the cluster that trials fit on died at the start; start the study again later"
            )
        for node, answer in facts.items():
            if problem := _problem(answer, versions) or _unread(folder / marks[node]):
                raise UserError(f"node {_named(nodes[node], answer.host)}: {problem}")
    finally:
        for mark in marks.values():
            (folder / mark).unlink(missing_ok=True)
    return facts


def versions(spec: StudySpec) -> dict[str, str | None]:
    """Of what a trial of the study imports: what its inputs have made this process import, and its engines."""
    engines = {engine for model in spec.models for engine in spec.engines_of(model)}
    wanted = [package for package in ENGINES if any(engine.startswith(package) for engine in engines)]
    return {package: version(package) for package in [*(each for each in PACKAGES if each in sys.modules), *wanted]}


def _answer(node: Mapping[str, Any], ref: Any) -> Facts | None:
    """None of a node that has died: Ray lists it for a while, and the study goes on without it."""
    try:
        return ray.get(ref, timeout=0)
    except ray.exceptions.GetTimeoutError:
        reason = f"did not answer within {ANSWER_SECONDS:g} s"
    except Exception as error:  # Ray's, or whatever the code of the study raises there
        if not any(each["Alive"] for each in ray.nodes() if each["NodeID"] == node["NodeID"]):
            return None
        cause = getattr(error, "cause", None)
        reason = f"cannot run the study's code: {one_line(cause or error, 300)}"
    raise UserError(f"node {_named(node)}: {reason}; repair it, or take it out of the cluster")


def _named(node: Mapping[str, Any], host: str | None = None) -> str:
    return f"{host or node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:8]})"


def _problem(facts: Facts, own: Mapping[str, str | None]) -> str:
    """What a node lacks, and what to do; "" for nothing."""
    if facts.python != python():
        return f"has Python {facts.python}, but this program runs with {python()}; install the same one"
    return differences(facts.versions, own) or facts.problem


def _unread(path: Path) -> str:
    """Why what a node wrote cannot be read here; "" where it can."""
    with suppress(OSError):
        if path.read_text() == path.name:
            return ""
    return f"what it writes into {os.path.dirname(path)} cannot be read here"
