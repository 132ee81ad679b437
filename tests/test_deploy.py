"""What deploy/ holds can be loaded, and names only files, options and metrics that exist."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

import run_study
from record import tasks
from study.gauges import TRAINED

DEPLOY = ROOT / "deploy"
GAUGES = {"study_trials", *TRAINED.values(), *(f"study_{task.validation}" for task in tasks.TASKS.values())}


def options(command: str) -> dict[str, object]:
    """Those of a `vision-study run` as the program reads them; an option that it does not have raises."""
    import typer

    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("vision-study", "run")
    return typer.main.get_command(run_study.app).make_context("run", words).params


def test_the_image_copies_all_that_the_program_needs() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = [word for line in re.findall(r"^COPY (.*)$", text, re.M) for word in line.split()[:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}
    assert packages <= set(copied)
    extras = re.search(r"\.\[([a-z,]+)\]", text)
    assert extras is not None
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f"\n{extra} = [" in project for extra in extras[1].split(","))


def test_a_kubernetes_job_that_is_tried_again_resumes_its_study() -> None:
    job = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob") and job["spec"]["backoffLimit"] > 0
    asked = options(job["spec"]["entrypoint"])
    assert asked["resume"] and asked["address"] == "auto" and asked["space"] in run_study.space_names()
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {f"/{Path(str(asked[name])).parts[1]}" for name in ("results", "data_dir")} <= mounts
    locked = re.search(r"^ray==([\d.]+)$", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.M)
    assert locked is not None and cluster["rayVersion"] == locked[1]
    assert yaml.safe_load(job["spec"]["runtimeEnvYAML"])["env_vars"]


def test_the_cluster_of_machines_asks_for_a_token() -> None:
    cluster = yaml.safe_load((DEPLOY / "cluster.yaml").read_text(encoding="utf-8"))
    starts = [*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in command for command in starts if "ray start" in command)


def test_the_dashboard_shows_gauges_that_a_study_has() -> None:
    dashboard = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    shown = {name for query in queries for name in re.findall(r"\bray_(study_\w+)", query)}
    assert shown and shown <= GAUGES


def test_prometheus_accepts_its_configuration() -> None:
    path = DEPLOY / "prometheus.yml"
    (scrape,) = yaml.safe_load(path.read_text(encoding="utf-8"))["scrape_configs"]
    assert scrape["file_sd_configs"][0]["files"] == ["/tmp/ray/prom_metrics_service_discovery.json"]
    if promtool := shutil.which("promtool"):
        subprocess.run([promtool, "check", "config", str(path)], check=True, capture_output=True)
    else:
        pytest.skip("promtool is not installed: apt-get install prometheus")
