"""All studies of a results folder in one table."""

from pathlib import Path
from typing import Any

import pandas as pd

from analysis.read.candidates import UNCONFIRMED, terms
from analysis.read.errors import StudyError
from analysis.read.study_folder import Study, load
from analysis.weigh.summary import best_candidates
from record.folder import STATES, StudyFolder

COLUMNS = ("study", "started", "phases_done", *STATES, "best_model", "best")


def overview(results: Path) -> tuple[pd.DataFrame, list[str]]:
    """(one row per study, the latest first; a note for each folder that cannot be read).

    `best` is the best validation quality so far, in the task's terms, and whether it is unconfirmed. States count trials of
    all phases.
    """
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for path in sorted(path for path in results.iterdir() if path.is_dir() and StudyFolder(path).is_study()):
        try:
            rows.append(_row(path.name, load(path)))
        except StudyError as error:
            notes.append(str(error))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values("started", ascending=False, kind="stable", ignore_index=True), notes


def _row(name: str, study: Study) -> dict[str, Any]:
    environment, states = study.environment, study.trials["state"].value_counts()
    done = environment.get("duration_seconds")
    row: dict[str, Any] = {
        "study": name,
        "started": str(environment.get("date", "")),
        "phases_done": ", ".join(done) if isinstance(done, dict) else "",
    }
    row |= {state: int(states.get(state, 0)) for state in STATES}
    words, best = terms(study), best_candidates(study)
    if len(best):
        [top] = best.nlargest(1, words.validation).to_dict("records")
        doubt = f" ({UNCONFIRMED})" if pd.isna(top.get("seeds")) else ""
        row |= {"best_model": top["model"], "best": f"{words.label} {words.show(top[words.validation])}{doubt}"}
    return row
