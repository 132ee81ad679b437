"""The words of the ledger that its driver and those who look on share, and where the driver stands in its study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from record.folder import COMPLETE, FAILED, PHASES, PRUNED, RUNNING

IDENTITY = "identity"  # user attribute of every Optuna study, and a key of environment.json
STAGE = "stage"  # user attribute of the Optuna study of the isolated timings
ROW = "epoch_"  # user attributes epoch_00001, epoch_00002, ... of a trial are its rows
STATES = {"COMPLETE": COMPLETE, "PRUNED": PRUNED, "FAIL": FAILED, "RUNNING": RUNNING}  # of Optuna's trials


@dataclass(frozen=True)
class Stage:
    """A phase that has begun; written to the ledger then."""

    phase: str
    total: int  # its trials, or its timings
    done: float = 0.0  # of these, before this run; a running trial counts by its share of epochs
    since: float = 0.0  # when this run began with the phase, in seconds since the epoch
    expected: Mapping[str, float] = field(default_factory=dict)  # seconds of each phase, from the isolated timings

    def recorded(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, recorded: Mapping[str, Any]) -> Stage:
        return cls(**recorded)

    def remaining_seconds(self, done: float, now: float, total: int | None = None) -> float | None:
        """What the study still takes; None where that is not known.

        Before this run has done one trial the isolated timings say it, then the pace so far, which the later phases are
        taken to share. done: as `self.done`, now. total: of the phase, where it has changed.
        """
        total = total or self.total
        predicted = self.expected[self.phase] / total if total and self.expected.get(self.phase) else None
        gained, elapsed = done - self.done, max(now - self.since, 0.0)
        if gained > 0 and (gained >= 1 or predicted is None):
            each = elapsed / gained
            left = each * (total - done)
        elif predicted is not None:
            each = predicted
            left = each * (total - self.done) - elapsed
        else:
            return None
        later = sum(self.expected.get(phase, 0.0) for phase in PHASES[PHASES.index(self.phase) + 1 :])
        return max(left, 0.0) + later * (each / predicted if predicted else 1.0)
