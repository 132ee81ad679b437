"""The report's tables: frames as rows of cells that show a rounded text and sort by the exact value."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.read.candidates import choices, front, quality, settings, speed
from analysis.read.study_folder import Study
from analysis.tell.answer import name
from analysis.tell.summary import summary
from analysis.weigh.comparison import LEVEL

MOST_ROWS = 500  # a browser sorts them at once; the rest is in trials.csv
_SHARES = ("_accuracy", "_accuracy_std")
_COSTS = ("epochs", "train_seconds", "parameters", "gflops_per_image", "peak_memory_mb")


class Column(NamedTuple):
    label: str
    numeric: bool


class Cell(NamedTuple):
    """`sort` is the value to sort by; None for text, which sorts as it reads, "" where a number is missing."""

    text: str
    sort: float | str | None


class Table(NamedTuple):
    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    notes: list[str]


def table(frame: pd.DataFrame, title: str, notes: Sequence[str] = (), shares: Sequence[str] = ()) -> Table:
    """`frame` for the page; the columns named in `shares`, and those whose name says accuracy, are shown in per cent.

    Columns without any value are left out. Of very long frames the first rows are shown, and a note says so.
    """
    frame = frame.dropna(axis="columns", how="all") if len(frame) else frame
    shown = frame.head(MOST_ROWS)
    notes = list(notes)
    if len(frame) > len(shown):
        notes.append(f"The first {len(shown):,} of {len(frame):,} rows; trials.csv holds all.")
    columns, cells = [], []
    for column in map(str, shown):
        numeric = pd.api.types.is_numeric_dtype(frame[column]) and not pd.api.types.is_bool_dtype(frame[column])
        percent = column in shares or column.endswith(_SHARES)
        columns.append(Column(column.replace("_", " ") + (" %" if percent else ""), numeric))
        cells.append([_cell(value, numeric, percent) for value in shown[column].tolist()])
    return Table(title, columns, [list(row) for row in zip(*cells, strict=True)], notes)


def _cell(value: Any, numeric: bool, percent: bool) -> Cell:
    if pd.isna(value):
        return Cell("-", "" if numeric else None)
    if not numeric:
        return Cell({True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value), None)
    if percent:
        return Cell(f"{100 * value:.1f}", float(value))
    if isinstance(value, float) and not value.is_integer():
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    else:
        text = f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.0f}"
    return Cell(text, float(value))


def candidates(study: Study, sure: pd.DataFrame) -> Table | None:
    """The confirmed candidates with their intervals; without any, the best trial of each model; None without trials."""
    rows, accuracy = choices(study)
    if rows.empty and sure.empty:
        return None
    if sure.empty:
        best = summary(study)
        shown = [*study.keys, "trial", f"val_{quality(study)}", *settings(study), speed(study), *_COSTS, "on_front"]
        shown = [column for column in shown if column in best]
        return table(best[best["trial"].notna()][shown], "Best trial of each model, one training each")
    costs = [column for column in (*settings(study), speed(study), *_COSTS) if column in rows]
    if accuracy.startswith("val"):  # some are confirmed, not all: what they cost is in the table of all trials
        costs, on_front = [], None
    else:
        on_front = {name(row, study) for row in front(rows, accuracy, speed(study)).to_dict("records")}
    details = rows[[*study.keys, "trial", *costs]]
    frame = sure.merge(details, how="left", on=[*study.keys, "trial"]) if costs else sure
    if on_front is not None:
        frame["on_front"] = [name(row, study) in on_front for row in frame.to_dict("records")]
    frame = frame.drop(columns="interval").rename(columns={"front_probability": "chance_on_front"})
    for prefix, title in (("wilson_", "wilson"), ("student_", "student"), ("", "95_%_interval")):
        bounds = frame.pop(f"{prefix}low"), frame.pop(f"{prefix}high")
        after = list(frame).index(f"test_{quality(study)}") + 1
        frame.insert(after, title, [_range(low, high, study) for low, high in zip(*bounds, strict=True)])
    return table(frame, "Confirmed candidates on the test split", _CANDIDATE_NOTES, ["chance_on_front"])


def _range(low: float, high: float, study: Study) -> str | None:
    scale = 100 if quality(study) == "accuracy" else 1
    return None if pd.isna(low) else f"{scale * low:.1f} to {scale * high:.1f}"


_CANDIDATE_NOTES = (
    "“95 % interval” covers other seeds and other test images together (seeds' variance plus p (1 - p) / images, "
    "Satterthwaite's degrees of freedom); of a single seed it covers images only. “student” covers other seeds alone, "
    "“wilson” other test images alone, for one model of this accuracy.",
    "“chance on front”: share of 2,000 bootstrap draws over seeds and test images in which no other candidate is at "
    "least as accurate and as fast; speed is taken as exact, and few seeds make it look surer than it is.",
)


def pairs(compared: pd.DataFrame) -> Table | None:
    """The pairwise tests, as `comparison.comparisons` found them."""
    if compared.empty or compared["p"].isna().all():
        return None
    verdict = compared["differ"].map({True: "differ", False: "cannot be told apart"})
    frame = compared.drop(columns=["differ", "p"]).assign(verdict=verdict)
    frame["images_needed"] = frame["images_needed"].where(~compared["differ"] & (compared["p_images"] >= LEVEL)).round()
    notes = [
        "The more accurate of each pair stands first. “p images”: McNemar's test on the models of the first seed "
        "(exact below 25 disagreements, else chi-square with continuity correction); “p seeds”: Welch's test over "
        "seeds. Candidates differ where both find it: “p holm” is the larger p, corrected for all pairs, below 0.05.",
        "“images needed”: test images with which McNemar's test would find the difference of the two models it compared "
        "four times in five; given where those at hand did not and the first of the pair was the better.",
    ]
    return table(frame, "Which candidates differ", notes)


def trials(study: Study) -> Table:
    """Every trial, the most accurate first."""
    kind = quality(study)
    measured = [f"test_{kind}", f"val_{kind}", speed(study), "train_seconds"]
    shown = [
        *study.keys[:-1],
        "trial",
        "model",
        "phase",
        "state",
        "seed",
        *settings(study),
        "epochs",
        *measured,
        "pareto",
    ]
    frame = study.trials[[column for column in shown if column in study.trials]]
    return table(frame.sort_values(f"val_{kind}", ascending=False, kind="stable"), "Trials")


def failed(study: Study) -> Table | None:
    rows = study.trials[study.trials["state"] == "failed"]
    shown = [*study.keys[:-1], "trial", "model", "phase", *settings(study), "epochs", "error"]
    return table(rows[shown].fillna({"error": "no reason recorded"}), "Failed trials") if len(rows) else None


def pruned(study: Study) -> Table | None:
    rows = study.trials[study.trials["state"] == "pruned"]
    shown = [*study.keys[:-1], "trial", "model", *settings(study), "epochs", "epoch_budget", f"val_{quality(study)}"]
    note = "Stopped because trials of the same model and train size were ahead at the same epoch; not on any front."
    return table(rows[shown], "Early-stopped trials", [note]) if len(rows) else None


def profile(study: Study) -> Table | None:
    """The isolated timings."""
    if study.profile.empty:
        return None
    measured = [name for name in study.profile if str(name).startswith(_MEASURED)]
    rest = study.profile.drop(columns=[*measured, *(name for name in _UNSHOWN if name in study.profile)])
    varied = [name for name in rest if name in study.keys or rest[name].nunique() > 1]
    return table(
        study.profile[[*varied, *measured]], "Timings, each alone", ["Settings that all timings share are left out."]
    )


_MEASURED = (
    "inference_", "spread", "latency_ms", "train_step_seconds", "train_images_per_second", "train_tokens_per_second",
    "parameters", "gflops_per_image", "peak_memory_mb",
)  # fmt: skip
_UNSHOWN = ("torch", "host", "os", "busy", "hardware")


def scaling(models: Sequence[Any], study: Study) -> Table | None:
    """Where each power law leads: at the largest size that was tried, and beyond it."""
    rows = []
    for model in models:
        for point in model.curve.tail(3).to_dict("records"):
            kind = "extrapolated" if point["extrapolated"] else "fitted"
            row = {"model": model.model, "train_size": round(point["train_size"]), "kind": kind}
            rows.append(row | {f"val_{quality(study)}": point["accuracy"], "from": point["low"], "to": point["high"]})
    shares = ["from", "to"] if quality(study) == "accuracy" else []
    title = "Power law of the error: at the largest size tried, and extrapolated to 2 and 10 times the data"
    return table(pd.DataFrame(rows), title, shares=shares) if rows else None


def importance(found: pd.DataFrame) -> Table | None:
    return (
        table(found, "Share of the variance that each setting explains", shares=["importance"]) if len(found) else None
    )
