"""What was run and what its figures hold for, in lines of text: trials, data, weights, hardware, timings."""

import pandas as pd

from analysis.read.candidates import SEARCH, speed, terms
from analysis.read.data_facts import data_lines
from analysis.read.study_folder import Study
from record.figures import NOISE, PACE, REFUSED
from record.folder import STATES

NOTED_PACE = 0.05  # a smaller change of the processor's speed is not worth a line
_TIMED_WITH = {
    "threads": "{} threads",
    "train_threads": "{} in training",
    "dtype": "{}",
    "batch": "batch {}",
    "image_size": "{} px",
}


def trials_by_state(study: Study) -> str:
    """`16 search trials (12 complete, 3 pruned, 1 failed); 8 confirm trials (8 complete)`."""
    parts = []
    for phase, trials in study.trials.groupby("phase", sort=False):
        counts = trials["state"].value_counts()
        unknown = counts.index.difference(list(STATES))
        states = [f"{counts[state]} {state}" for state in (*STATES, *unknown) if state in counts]
        parts.append(f"{len(trials)} {phase} trial{'s' * (len(trials) != 1)} ({', '.join(states)})")
    return "; ".join(parts) or "no trial yet"


def conditions(study: Study) -> list[str]:
    """What the figures hold for: data and weights of the trials, hardware of the timings."""
    lines = data_lines(study)
    for title in ("data", "weights"):
        used = study.trials[["model", title]].dropna().drop_duplicates()
        if used[title].nunique() > 1:
            models = [f"{value} ({', '.join(rows['model'])})" for value, rows in used.groupby(title, sort=False)]
            lines.append(f"{title.capitalize()}: {'; '.join(models)}")
        elif len(used):
            lines.append(f"{title.capitalize()}: {used[title].iloc[0]}")
    timed = study.profile[study.profile[REFUSED].isna()] if REFUSED in study.profile else study.profile
    for place, timings in timed.groupby(["hardware", "device"], dropna=False, sort=False):
        details = [" ".join(name for name in place if isinstance(name, str))]
        for column, form in _TIMED_WITH.items():
            if column == "dtype" and study.several_engines:
                details += _dtypes(timings)
            elif column in timings and (values := [str(value) for value in timings[column].dropna().unique()]):
                details.append(form.format(" or ".join(values)))
        lines.append(f"Speed measured alone on: {', '.join(filter(None, details))}")
    return lines + refusals(study) + learnt(study) + pace(study) + disturbed_timings(study)


def _dtypes(timings: pd.DataFrame) -> list[str]:
    """What each engine computed in: "float32 in torch and onnxruntime"."""
    groups = timings.dropna(subset="dtype").groupby("dtype", sort=False)["engine"].unique()
    return [f"{dtype} in {' and '.join(engines)}" for dtype, engines in groups.items()]


def refusals(study: Study) -> list[str]:
    """One line per model, engine and reason for which the study does without an engine."""
    tables = [t[["model", REFUSED]].dropna() for t in (study.profile, study.engines) if REFUSED in t]
    refused = pd.concat(tables).drop_duplicates() if tables else pd.DataFrame(columns=["model", REFUSED])
    return [
        f"Refused for {', '.join(rows['model'].unique())}: {reason}"
        for reason, rows in refused.groupby(REFUSED, sort=False)
    ]


def learnt(study: Study) -> list[str]:
    """One line per study: how many of the trials of each model tried settings of which earlier studies."""
    lines = []
    for name in study.names:
        trials = study.trials[study.trials["phase"] == SEARCH]
        rows = trials[trials["study"] == name] if "study" in trials else trials
        if rows["learnt_from"].isna().all():
            continue
        sources = dict.fromkeys(rows["learnt_from"].dropna().str.rpartition("/")[0])
        by_model: dict[str, list[str]] = {}
        for model, own in rows.groupby("model", sort=False):
            cells = own.groupby("cell", dropna=False)["learnt_from"]
            per_cell = dict.fromkeys(
                f"{tried} of {total}" for tried, total in zip(cells.count(), cells.size(), strict=True)
            )
            by_model.setdefault(" or ".join(per_cell), []).append(str(model))
        counts = "; ".join(f"{words} trials per cell of {', '.join(models)}" for words, models in by_model.items())
        of = f" ({name})" if len(study.names) > 1 else ""
        lines.append(f"Settings of earlier studies ({', '.join(sources)}) tried{of}: {counts}")
    return lines


def pace(study: Study) -> list[str]:
    """One line, where the processor's own speed changed while the study was timed."""
    paces = study.profile[PACE].dropna()
    if paces.empty or paces.between(1 - NOTED_PACE, 1 + NOTED_PACE).all():
        return []
    extent = f"{paces.min():.2f} to {paces.max():.2f} times its usual pace"
    return [
        f"The processor ran at {extent} (pace in profile.csv) while it was timed; speeds are those at the usual one"
    ]


def disturbed_timings(study: Study) -> list[str]:
    """A line each, where other work ran beside timings and where their turns differed."""
    disturbed, of = study.profile["busy"].notna().sum(), f"of {len(study.profile)} timings"
    uncertain = (study.profile["busy"].isna() & study.profile["uncertainty"].gt(NOISE)).sum()
    return [
        *([f"{disturbed} {of} stayed disturbed (busy in profile.csv says by what)"] if disturbed else []),
        *(
            [f"{uncertain} {of} are uncertain by more than {NOISE:.0%} (uncertainty in profile.csv)"]
            if uncertain
            else []
        ),
    ]


def interpolation_error(study: Study) -> list[str]:
    """One line: how far the search's interpolated speeds were from those that the confirm phase timed exactly."""
    exact, interpolated = speed(study), terms(study).interpolated_speed
    errors = (study.profile[interpolated] / study.profile[exact] - 1).abs().dropna()
    if errors.empty:
        return []
    return [
        f"Interpolated speeds of {len(errors)} setting{'s' * (len(errors) != 1)} against exact timings: "
        f"median error {errors.median():.1%}, largest {errors.max():.1%}"
    ]
