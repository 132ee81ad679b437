"""A dispatcher on a real ledger, without Ray, and what it tells of its trials."""

from __future__ import annotations

from study.dispatch import Dispatcher
from study.ledger import Ledger, Trial, number
from study.proposals import SearchProposals
from trainables.task import Figures
from trainables.trial_config import TrialConfig

SPACE = {
    "description": "one model, three trials",
    "data": {"name": "digits"},
    "objectives": ["val_accuracy"],
    "phases": ["search", "confirm"],
    "trials": 3,
    "confirm": {"seeds": 2, "candidates": 1},
    "early_stopping": {"grace_epochs": 1, "reduction_factor": 2},
    "models": {
        "resnet18": {
            "epochs": 3, "train_size": 100, "width": 8, "weights": "none", "resources": {"cpus": 2},
            "search": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}},
        }
    },
}  # fmt: skip


class Phase:
    """A dispatcher over a ledger, and what it told of its trials."""

    def __init__(
        self,
        ledger: Ledger,
        slots: int = 8,
        timeout: float = 600.0,
        deadline: float | None = None,
        last_epoch: int | None = None,
    ) -> None:
        self.changes: list[tuple[str, str, int]] = []
        self.ledger = ledger
        self.proposals = SearchProposals(ledger, deadline)
        self.dispatcher = Dispatcher(
            ledger,
            self.proposals,
            self.values,
            lambda _: (),
            self.changed,
            lambda _: timeout,
            lambda: slots,
            deadline,
            last_epoch,
        )

    def values(self, trial: Trial) -> list[float]:
        return [number(trial.last, "val_accuracy")]

    def changed(self, trial: Trial) -> None:
        self.changes.append((trial.name, trial.state, len(trial.rows)))

    def start(self) -> TrialConfig:
        config = self.dispatcher.next_trial()
        assert isinstance(config, TrialConfig)
        return config

    def state(self, name: str) -> str:
        return self.ledger.trials[name].state


def row(epoch: int, accuracy: float) -> Figures:
    return {"epoch": epoch, "val_accuracy": accuracy, "val_loss": 1.0}
