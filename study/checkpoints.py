"""Which checkpoints stay in the study folder: what resume and export need, and no more."""

from __future__ import annotations

from record.folder import COMPLETE, FAILED, PREVIOUS, PRUNED, SEARCH
from study.candidates import candidates
from study.ledger import Ledger


def remove_unneeded(ledger: Ledger) -> None:
    """Remove the checkpoints of trials that are stopped, failed, or complete and not a candidate of the confirm phase."""
    needed = {trial.name for trial in candidates(ledger)}
    for path in ledger.folder.checkpoints.glob("*.pt"):  # the few that are left, not every trial
        trial = ledger.trials.get(path.stem.removesuffix(PREVIOUS))
        if trial is None:  # not a file of this study
            continue
        beaten = trial.state == COMPLETE and trial.cell.phase == SEARCH and trial.name not in needed
        older = trial.state == COMPLETE and path.stem.endswith(PREVIOUS)
        if beaten or older or trial.state in (PRUNED, FAILED):
            path.unlink(missing_ok=True)
