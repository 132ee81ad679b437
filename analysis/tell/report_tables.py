"""The report's tables: frames as rows of cells that show a rounded text and sort by the exact value."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.read.candidates import UNCONFIRMED, choices, front, identity, settings, speed, terms
from analysis.read.data_facts import class_sizes
from analysis.read.study_folder import Study
from analysis.tell.wording import choice_name, digits, trial_name
from analysis.weigh import mistakes as confused
from analysis.weigh.scaling import EXTRAPOLATED, SizeScaling
from analysis.weigh.summary import summary
from record import figures
from record.folder import FAILED, PRUNED

MAX_MATRIX = 12  # classes, one column each
MAX_ROWS = 500  # a browser sorts them at once; trials.csv has the rest
_UNSHOWN = ("torch", "host", "os", "busy", "hardware")  # of the timings: the conditions say these
_BOUNDS = ("_q1", "_q3", "_low", "_high", "_calls", "timing_seconds", "pace_seconds")  # of them: the file has these


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
    """`frame` for the page; shares (the columns named in `shares`, and figures with that unit) are shown in per cent.

    Columns without any value are left out. Of very long frames the first rows are shown, and a note says so.
    """
    frame = frame.dropna(axis="columns", how="all") if len(frame) else frame
    frame = frame[sorted(frame, key=lambda name: name != "trial")]  # the first column stays in view
    shown = frame.head(MAX_ROWS)
    notes = list(notes)
    if len(frame) > len(shown):
        notes.append(f"The first {len(shown):,} of {len(frame):,} rows; trials.csv has all of them.")
    columns, cells = [], []
    for column in map(str, shown):
        numeric = pd.api.types.is_numeric_dtype(frame[column]) and not pd.api.types.is_bool_dtype(frame[column])
        percent = column in shares or _is_share(column)
        columns.append(Column(column.replace("_", " ") + (" %" if percent else ""), numeric))
        cells.append([_cell(value, numeric, percent) for value in shown[column].tolist()])
    return Table(title, columns, [list(row) for row in zip(*cells, strict=True)], notes)


def _is_share(column: str) -> bool:
    figure = figures.BY_NAME.get(column.removesuffix("_std"))
    return figure is not None and figure.unit == "share"


def _cell(value: Any, numeric: bool, percent: bool) -> Cell:
    if pd.isna(value):
        return Cell("-", "" if numeric else None)
    if not numeric:
        return Cell({True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value), None)
    if percent:
        return Cell(f"{100 * value:.1f}", float(value))
    return Cell(digits(value), float(value))


def candidates(study: Study, intervals: pd.DataFrame) -> Table | None:
    """The confirmed candidates with their intervals; without any, the best trial of each model; None without trials."""
    rows, accuracy = choices(study)
    words = terms(study)
    if rows.empty and intervals.empty:
        return None
    shown = [*_balanced(study), *settings(study), speed(study), *_costs(study)]
    if intervals.empty:
        best = summary(study)
        best = best[best["trial"].notna()]
        known = [column for column in (*identity(study), words.validation, *shown, "on_front") if column in best]
        return table(best[known], f"Best trial of each model, one training each: {UNCONFIRMED}")
    names, frame = identity(study), intervals
    if accuracy == words.tested:  # else only some are confirmed, and the table of all trials has what they cost
        frame = frame.merge(rows[[*names, *(column for column in shown if column in rows)]], how="left", on=names)
        on_front = {choice_name(row, study) for row in front(rows, accuracy, speed(study)).to_dict("records")}
        frame["on_front"] = [choice_name(row, study) in on_front for row in frame.to_dict("records")]
    frame.insert(list(frame).index(words.tested) + 1, "95_%_interval", _ranges(frame, words.point))
    notes = [_INTERVAL_NOTE]
    if study.several_engines:
        ends = _ranges(frame, words.point, "difference_")
        frame.insert(list(frame).index("accuracy_difference") + 1, "difference_from_to", ends)
        frame = frame.drop(columns=["difference_low", "difference_high"])
        notes.append(_ENGINE_NOTE)
    frame = frame.drop(columns=["low", "high", *_STATISTICS])
    for name in ("on_front", speed(study)):  # what the answer rests on stands first
        if name in frame:
            frame.insert(list(frame).index("95_%_interval") + 1, name, frame.pop(name))
    return table(frame, "Confirmed candidates on the test split", notes)


def statistics(study: Study, intervals: pd.DataFrame, compared: pd.DataFrame) -> list[Table]:
    """What the intervals consist of, and the tests of `comparison.comparisons`."""
    words, tables = terms(study), []
    if len(intervals):
        frame = intervals[[*identity(study), "seeds", words.tested]].copy()
        for prefix, title in (("", "95_%_interval"), ("student_", "student"), ("wilson_", "wilson")):
            frame[title] = _ranges(intervals, words.point, prefix)
        frame["chance_on_front"] = intervals["front_probability"]
        tables.append(table(frame, "What the intervals consist of", _STATISTICS_NOTES, ["chance_on_front"]))
    return [*tables, *filter(None, [pairs(compared, study)])]


def _balanced(study: Study) -> list[str]:
    """The balanced accuracy, where it can differ from the accuracy: where classes of the test split differ in size."""
    sizes = [class_sizes(study, name).get("test", (1, 1)) for name in study.names]
    return ["test_balanced_accuracy"] if any(low < high for low, high in sizes) else []


def _costs(study: Study) -> list[str]:
    """What less of is better, of all that a trial inherits from its timing, and what its training took."""
    measured = [figures.BY_NAME[name] for name in figures.measured(terms(study).name)]
    return ["epochs", "train_seconds", *(figure.name for figure in measured if figure.better == "less")]


def _ranges(frame: pd.DataFrame, point: float, prefix: str = "") -> list[str | None]:
    return [_range(*ends, point) for ends in zip(frame[f"{prefix}low"], frame[f"{prefix}high"], strict=True)]


def _range(low: float, high: float, point: float) -> str | None:
    return None if pd.isna(low) else f"{low / point:.1f} to {high / point:.1f}"


_STATISTICS = (
    "interval", "student_low", "student_high", "wilson_low", "wilson_high", "front_probability",
)  # fmt: skip
_INTERVAL_NOTE = (
    "“95 % interval”: where the accuracy lies with other seeds and other test images, right 19 times in 20; for a single seed "
    "with other images only."
)
_STATISTICS_NOTES = (
    "“95 % interval” covers other seeds and other test images together (seeds' variance plus p (1 - p) / images, "
    "Satterthwaite's degrees of freedom); for a single seed it covers images only. “student” covers other seeds alone, "
    "“wilson” other test images alone, for one model of this accuracy.",
    "“chance on front”: share of 2,000 bootstrap draws over seeds and test images in which no other candidate is at "
    "least as accurate and as fast. Speed is taken as exact; with few seeds the share looks more certain than it is.",
)
_ENGINE_NOTE = (
    "“accuracy difference”: to eager PyTorch (torch), the same trainings on the same images; “difference from to”: its 95 % "
    "interval over seeds and test images, in points. Models are compared with each other by their answers in eager PyTorch."
)


def pairs(compared: pd.DataFrame, study: Study) -> Table | None:
    """The tests of `comparison.comparisons`."""
    if compared.empty or compared["p"].isna().all():
        return None
    verdict = compared["differ"].map({True: "differ", False: "cannot be told apart"})
    frame = compared.drop(columns=["differ", "p"]).assign(verdict=verdict)
    frame[["images_needed", "seeds_needed"]] = frame[["images_needed", "seeds_needed"]].round()
    frame.insert(list(frame).index("difference") + 1, "from_to", _ranges(frame, terms(study).point))
    frame = frame.drop(columns=["low", "high"])
    notes = [
        "The first of each pair is the candidate that was most accurate in validation. “from to”: 95 % interval of the "
        "difference in points, of all rows together. “p holm”: one test over seeds and test images together (crossed "
        "two-way analysis; Behrens' and Fisher's distribution), corrected for the number of rows, and of looks where seeds "
        "are added until the answer is decided.",
        "“seeds needed”, “images needed”: seeds (with these images) or test images (with these seeds) with which the two "
        "would be told apart four times out of five; a dash where no number can be given.",
    ]
    shares = ["difference"] if terms(study).is_share else []
    return table(frame, "Which candidates differ", notes, shares)


def mistakes(study: Study) -> list[Table]:
    """For each study's most accurate confirmed candidate: its classes, and where they are few what each is taken for."""
    tables = []
    for found in confused.mistakes(study):
        of = trial_name({"study": found.study, "trial": found.candidate}, study)
        frame = found.by_class()
        frame.insert(3, "from_to", _ranges(frame, terms(study).point))
        frame = frame.drop(columns=["low", "high"])
        note = "The least accurate first; “from to”: 95 % interval over seeds and test images. “share”: of the class's images."
        tables.append(table(frame, f"Test images of each class, by {of}", [note], ["accuracy", "share"]))
        if len(found.classes) <= MAX_MATRIX:
            matrix = pd.DataFrame(found.named(), index=found.classes, columns=[f"as {name}" for name in found.classes])
            title = f"What the images of each class are named, by {of}"
            tables.append(table(matrix.rename_axis("class").reset_index(), title, shares=list(map(str, matrix))))
    return tables


def trials(study: Study) -> Table:
    """Every trial, the most accurate first."""
    words = terms(study)
    identity = [*study.keys[:-1], "trial", "model", "phase", "state", "seed"]
    measured = ["epochs", words.tested, words.validation, words.speed, "train_seconds", "pareto"]
    frame = study.trials[[name for name in (*identity, *settings(study), *measured) if name in study.trials]]
    return table(frame.sort_values(words.validation, ascending=False, kind="stable"), "Trials")


def failed(study: Study) -> Table | None:
    rows = study.trials[study.trials["state"] == FAILED]
    shown = [*study.keys[:-1], "trial", "model", "phase", *settings(study), "epochs", "error"]
    return table(rows[shown].fillna({"error": "no reason recorded"}), "Failed trials") if len(rows) else None


def pruned(study: Study) -> Table | None:
    rows = study.trials[study.trials["state"] == PRUNED]
    epochs = ["epochs", "epoch_budget", terms(study).validation]
    shown = [*study.keys[:-1], "trial", "model", *settings(study), *epochs]
    note = (
        "Stopped because trials that could replace them (same model, no more training images, at least as good in speed and "
        "the other objectives that are timed) were ahead at the same epoch; not on any front."
    )
    return table(rows[shown], "Early-stopped trials", [note]) if len(rows) else None


def profile(study: Study) -> Table | None:
    """The isolated timings: the settings in which they differ, then what was measured, as much as fits onto paper."""
    if study.profile.empty:
        return None
    results = (*figures.measured(terms(study).name), terms(study).interpolated_speed, "spread")
    known = [str(name) for name in study.profile if not str(name).endswith(_BOUNDS)]
    measured = [name for name in known if name.startswith(results)]
    rest = [name for name in known if name not in (*measured, *_UNSHOWN)]
    varied = [name for name in rest if name in study.keys or study.profile[name].nunique() > 1]
    note = "Settings that all timings share are left out; quartiles and intervals are in profile.csv."
    return table(study.profile[[*varied, *measured]], "Timings, each alone", [note])


def scaling(models: Sequence[SizeScaling], study: Study) -> Table | None:
    """Where each power law leads: at the largest size that was tried, and beyond it."""
    words = terms(study)
    rows = []
    for model in models:
        for point in model.curve.tail(3).to_dict("records"):
            kind = "extrapolated" if point["extrapolated"] else "fitted"
            row = {"model": model.model, "train_size": round(point["train_size"]), "kind": kind}
            rows.append(row | {words.validation: point["accuracy"], "from": point["low"], "to": point["high"]})
    shares = ["from", "to"] if words.is_share else []
    times = " and ".join(map(str, EXTRAPOLATED))
    title = f"Power law of the error: at the largest size tried, and extrapolated to {times} times the data"
    note = "Extrapolated: from no gain at all, as at a floor of the error that few sizes cannot show, to the power law going on."
    return table(pd.DataFrame(rows), title, [note], shares) if rows else None


def importance(shares: pd.DataFrame) -> Table | None:
    title = "Share of the variance that each setting explains"
    return table(shares, title, shares=["importance"]) if len(shares) else None
