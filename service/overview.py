"""All studies of a results folder, and whether they run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.weigh.overview import overview as recorded
from record.errors import UserError
from record.folder import STATES, StudyFolder
from service import progress


def overview(results: Path) -> tuple[pd.DataFrame, list[str]]:
    """As `analysis.weigh.overview`, with each study's state and phase, and its trials as the ledger has them now."""
    table, notes = recorded(results)
    rows = []
    for row in table.to_dict("records"):
        try:
            live = progress.read(StudyFolder(results / str(row["study"])))
        except UserError as error:
            notes.append(str(error))
            rows.append({"study": row.pop("study"), "state": None, "phase": None} | row)
            continue
        counts = {state: live.counts.get(state, 0) for state in STATES} if live.trials else {}
        now = {"study": row.pop("study"), "state": live.state, "phase": live.phase}
        del row["phases_done"]
        rows.append(now | row | counts)
    columns = ["study", "state", "phase", "started", *STATES, "best_model", "best"]
    return pd.DataFrame(rows, columns=columns), notes


def submitted(cluster: str) -> pd.DataFrame:
    """The studies submitted to a Ray cluster, the latest first. Raises UserError where none answers."""
    from study.jobs import Cluster

    return pd.DataFrame(Cluster(cluster).rows(), columns=["job", "study", "state", "started", "ended", "progress"])
