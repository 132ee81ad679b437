"""What Prometheus may read of a running study, at the metrics address of its cluster's nodes, where names start with ray_."""

from __future__ import annotations

from collections import Counter

from ray.util.metrics import Gauge

from record.folder import STATES
from study.ledger import Ledger, Trial, number

TRAINED = {"train_images_per_second": "study_images_per_second", "train_tokens_per_second": "study_tokens_per_second"}


class Gauges:
    """Told of each change of a trial; Ray sends the values on every few seconds."""

    def __init__(self, ledger: Ledger) -> None:
        metric = ledger.spec.terms.validation
        self.ledger, tags = ledger, ("study", "trial", "model", "phase")
        names = {metric: f"study_{metric}"} | TRAINED
        self.of_trials = {
            column: Gauge(name, f"{column} of a trial's last epoch", tags) for column, name in names.items()
        }
        self.trials = Gauge("study_trials", "Trials by state, of all phases", ("study", "state"))
        self.states: dict[str, str] = {}  # of each trial, when the trials were last counted

    def changed(self, trial: Trial) -> None:
        study = self.ledger.folder.name
        if self.states.get(trial.name) != trial.state:  # not after each epoch: there may be thousands of trials
            self.states = {each.name: each.state for each in list(self.ledger.trials.values())}
            counts = Counter(self.states.values())
            for state in STATES:
                self.trials.set(counts[state], {"study": study, "state": state})
        tags = {"study": study, "trial": trial.name, "model": trial.cell.entry, "phase": trial.cell.phase}
        for column, gauge in self.of_trials.items():
            if column in trial.last:
                gauge.set(number(trial.last, column), tags)
