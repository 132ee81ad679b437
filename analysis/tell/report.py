"""report.html: the whole study on one page that opens from disk, with its pictures, tables and behaviour inside it.

python -m analysis report results/digits_compare
"""

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from analysis.read.conditions import learnt, trials_by_state
from analysis.read.data_facts import data_lines, data_summaries
from analysis.read.same_data import check_same_data, hardware_notes
from analysis.read.study_folder import Study, load
from analysis.tell import answer, remarks, report_tables
from analysis.tell.gallery import galleries
from analysis.tell.headline import headline
from analysis.tell.pictures.calibration import Calibration
from analysis.tell.pictures.curves import LearningCurves
from analysis.tell.pictures.data import pictures, weigh
from analysis.tell.pictures.html import drawn
from analysis.tell.pictures.importance import SettingImportance
from analysis.tell.pictures.merging import TokenMerging
from analysis.tell.pictures.settings import SettingLines
from analysis.tell.pictures.sizes import DataScaling
from analysis.tell.pictures.tradeoff import NOTHING_MEASURED, AccuracyVsSpeed
from analysis.tell.pictures.tuning import ExpectedBest
from analysis.weigh.comparison import comparisons
from record.folder import StudyFolder, write_text

_HERE = Path(__file__).parent
_SECTIONS = [
    (picture.name, picture.heading)
    for picture in (
        Calibration,
        SettingLines,
        SettingImportance,
        ExpectedBest,
        LearningCurves,
        DataScaling,
        TokenMerging,
    )
]
_PARTS = (
    ("answer", "Answer"), ("picture", AccuracyVsSpeed.heading), ("candidates", "Candidates"), ("mistakes", "Mistakes"),
    *((f"{name}-part", title) for name, title in _SECTIONS),
    ("trials", "All trials"), ("stopped", "Failed and stopped"), ("speed", "How speed was measured"),
    ("environment", "What was run"),
)  # fmt: skip
_ALWAYS = {"answer", "picture", "trials", "speed", "environment"}


class Live(NamedTuple):
    """What a server that keeps the page fresh adds to it; not escaped."""

    head: str
    css: str
    script: str


def write_report(*folders: Path, path: Path | None = None) -> Path:
    """Write the report of one study, finished or not, to `path` (folder/report.html) in one step; of several of the same data,
    to `path` (NAME+NAME.html in the current folder).

    Raises `StudyError` where a folder is not a study, its tables cannot be read, or the studies have different data.
    """
    study = load(*folders)
    together = Path("+".join(study.names).replace("/", "-") + ".html")
    path = path or (StudyFolder(folders[0]).report if len(folders) == 1 else together)
    write_text(path, render(study))
    return path


def render(study: Study, live: Live | None = None) -> str:
    """The page's HTML. Raises `StudyError` where merged studies have different data."""
    check_same_data(study)
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    assets = {"css": "report.css", "script": "report.js"}
    inlined = {key: Markup((_HERE / file).read_text(encoding="utf-8")) for key, file in assets.items()}
    return environment.get_template("report.html.j2").render(
        _context(study), **inlined, live=live, plotly=Markup(get_plotlyjs())
    )


def _context(study: Study) -> dict[str, Any]:
    findings, pairs = weigh(study), comparisons(study)
    figures = {picture.name: drawn(picture) for picture in pictures(study, findings)}
    found = headline(study, findings.intervals, pairs)
    content = {
        "title": ", ".join(study.names),
        "description": " ".join(str(spec["description"]) for spec in study.specs.values() if spec.get("description")),
        "use": found.use,
        "sureness": found.parts,
        "data": [*data_summaries(study), *(f"{line}." for line in data_lines(study))],
        "warnings": [*answer.status(study), *hardware_notes(study), *remarks.unsteady_timings(study), *study.notes],
        "answers": answer.answers(study, findings.intervals, pairs),
        "learnt": [f"{line}." for line in learnt(study)],
        "not_learnt": [line for line in answer.not_learnt(study) if line != found.use],
        "tradeoff": AccuracyVsSpeed.name if figures[AccuracyVsSpeed.name].measures else "",
        "nothing_measured": NOTHING_MEASURED,
        "figures": figures,
        "tables": {
            DataScaling.name: report_tables.scaling(findings.size_scaling, study),
            SettingImportance.name: report_tables.importance(findings.importance),
        },
        "remarks": remarks.remarks(study, findings),
        "sections": [(name, heading) for name, heading in _SECTIONS if name in figures],
        "candidates": report_tables.candidates(study, findings.intervals),
        "statistics": report_tables.statistics(study, findings.intervals, pairs),
        "mistakes": report_tables.mistakes(study),
        "galleries": galleries(study),
        "trials": report_tables.trials(study),
        "stopped": [*filter(None, (report_tables.failed(study), report_tables.pruned(study)))],
        "profile": report_tables.profile(study),
        "speed_method": remarks.speed_method(study),
        **_what_was_run(study),
    }
    shown = {f"{name}-part" for name in figures} | {name for name, part in content.items() if part}
    return content | {"parts": [(id, title) for id, title in _PARTS if id in shown | _ALWAYS]}


def _what_was_run(study: Study) -> dict[str, Any]:
    return {
        "counts": trials_by_state(study),
        "date": " and ".join(str(e["date"]) for e in study.environments.values() if "date" in e),
        "environment": remarks.environment(study),
        "space": "\n".join(yaml.safe_dump(spec, sort_keys=False) for spec in study.specs.values() if spec),
    }
