"""The pictures: what they show by hand-worked numbers, and that PNG and page show the same."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_study import confirmed_study, trial_row, write_study, write_tables
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

import analysis
from analysis.tell.pictures import html, png, tradeoff
from analysis.tell.pictures.data import StudyPicture, pictures, weigh
from analysis.tell.pictures.importance import setting_importance
from analysis.tell.pictures.merging import token_merging
from analysis.tell.pictures.style import BaselineLine, styles
from analysis.tell.pictures.tradeoff import AccuracyVsSpeed, accuracy_vs_speed
from analysis.weigh.comparison import intervals
from analysis.weigh.importance import COLUMNS
from analysis.weigh.scaling import merging_curve

MODELS = ["broken", "vit", "vit_tome"]


def every_picture(folder: Path) -> list[StudyPicture]:
    """A study whose first model failed, with something for each picture; the importances are made up."""
    rows = [trial_row("broken-000", None, None, state="failed", error="out of memory")]
    for i, (size, ratio) in enumerate([(250, 0.0), (500, 0.2), (1000, 0.6)]):
        rows.append(trial_row(f"vit-00{i}", 0.90 + 0.01 * i, 100.0 - i, train_size=size))
        merged = {"train_size": size, "tome_ratio": ratio}
        rows.append(trial_row(f"vit_tome-00{i}", 0.85 + 0.01 * i, 240.0 * (1 + ratio), **merged))
    for trial in ("vit-002", "vit_tome-002"):
        again = {"phase": "confirm", "candidate": trial, "test_images": 400}
        rows += [trial_row(f"{trial}-s{i}", 0.9, 110.0, test_accuracy=0.90 + 0.01 * i, seed=i, **again) for i in (1, 2)]
    study = analysis.load(write_tables(folder, rows))
    shares = [(model, target, "lr", 0.7, 10) for model in MODELS[1:] for target in ("accuracy", "speed")]
    findings = replace(weigh(study), importance=pd.DataFrame(shares, columns=list(COLUMNS)), importance_remarks=[])
    return pictures(study, findings)


def drawn(picture: StudyPicture) -> Axes:
    axes = Figure().add_subplot()
    png.draw(picture, axes)
    return axes


def on_page(picture: StudyPicture) -> Any:
    return html.figure(picture).to_plotly_json()


def page_colours(picture: StudyPicture) -> Iterator[tuple[str, str]]:
    for trace in on_page(picture)["data"]:
        for part in (trace.get("marker"), trace.get("line"), {"color": trace.get("fillcolor")}):
            if part and part.get("color"):
                yield trace["name"], part["color"].lower()


def test_a_model_has_one_colour_in_all_pictures_also_where_another_one_failed(tmp_path: Path) -> None:
    made = every_picture(tmp_path)
    assert [picture.name for picture in made] == [
        "accuracy_vs_speed", "learning_curves", "size_scaling", "token_merging", "settings", "importance",
    ]  # fmt: skip
    expected = {"vit": "#d55e00", "vit_tome": "#009e73"}  # the first colour belongs to the model that failed
    for picture in made:
        assert set(page_colours(picture)) <= set(expected.items())
        axes = drawn(picture)
        bars = {to_hex(bar.get_facecolor()) for bar in axes.patches}
        lines = {
            to_hex(line.get_color()) for side in axes.figure.axes for line in side.get_lines() if len(line.get_xdata())
        }
        assert bars | lines - {"#595959"} <= set(expected.values())  # grey: the front
        legend = axes.get_legend()
        named = zip(legend.get_texts(), legend.get_lines(), strict=True) if legend else []
        shown = {text.get_text(): to_hex(line.get_color()) for text, line in named}
        assert {model: shown[model] for model in shown if model in MODELS}.items() <= expected.items()
        assert legend is None or set(expected) <= set(shown) or picture.name == "token_merging"


def test_a_model_has_one_marker_in_all_pictures(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "s"))
    by_model = styles(study)
    assert [style.symbol for style in by_model.values()] == ["circle", "square", "triangle-up", "diamond"]
    assert [style.marker for style in by_model.values()] == ["o", "s", "^", "D"]
    for trace in on_page(accuracy_vs_speed(study, intervals(study)))["data"]:
        assert trace["marker"]["symbol"] == by_model[trace["name"]].symbol


def test_many_models_still_differ_in_colour_or_marker(tmp_path: Path) -> None:
    rows = [trial_row(f"model{i}-000", 0.9, 100.0) for i in range(56)]
    assert len(set(styles(analysis.load(write_tables(tmp_path, rows))).values())) == 56


def test_both_renderings_have_the_same_axes_and_captions(tmp_path: Path) -> None:
    for picture in every_picture(tmp_path):
        axes, layout = drawn(picture), on_page(picture)["layout"]
        assert axes.get_xlabel() == layout["xaxis"]["title"]["text"] == picture.x.title
        assert axes.get_ylabel() == layout["yaxis"]["title"]["text"] == picture.y.title
        if not isinstance(picture, AccuracyVsSpeed):  # the PNG file tells its legend apart and the hardware instead
            assert axes.get_title().replace("\n", " ") == picture.caption == html.drawn(picture).caption


def test_both_renderings_show_the_95_percent_interval(tmp_path: Path) -> None:
    study = analysis.load(confirmed_study(tmp_path / "s"))
    known = intervals(study).set_index("trial")
    picture = accuracy_vs_speed(study, intervals(study))
    lows, highs = [], []
    for marks in picture.marks:
        if marks.confirmed:
            own = known.loc[marks.points["trial"]]
            assert marks.points["low"].to_list() == own["low"].to_list()
            assert marks.points["high"].to_list() == own["high"].to_list()
            lows += own["low"].to_list()
            highs += own["high"].to_list()
    axes = drawn(picture)
    segments = np.concatenate([bars.get_segments() for bars in axes.collections])
    assert segments[:, :, 1] == pytest.approx(np.column_stack([lows, highs]))
    traces = [trace for trace in on_page(picture)["data"] if "error_y" in trace]
    below = [y - under for trace in traces for y, under in zip(trace["y"], trace["error_y"]["arrayminus"], strict=True)]
    above = [y + over for trace in traces for y, over in zip(trace["y"], trace["error_y"]["array"], strict=True)]
    assert (below, above) == (pytest.approx(lows), pytest.approx(highs))
    assert "large: test, mean and 95 % interval" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert "95 % interval" in html.drawn(picture).caption


def test_merged_studies_keep_their_own_intervals(tmp_path: Path) -> None:
    folders = [confirmed_study(tmp_path / "one"), confirmed_study(tmp_path / "two", seeds=2)]
    picture = accuracy_vs_speed(study := analysis.load(*folders), intervals(study))
    known = intervals(study).set_index(["study", "model"])
    shown = {marks.model: marks.points.iloc[0] for marks in picture.marks if marks.confirmed}
    assert len(shown) == 6
    for (name, model), row in known.iterrows():
        assert (shown[f"{name}/{model}"]["low"], shown[f"{name}/{model}"]["high"]) == (row["low"], row["high"])
    seeds = {
        text.rsplit(", ")[-1] for model, row in shown.items() if model.startswith("two/") for text in row["text"][1:2]
    }
    assert seeds == {"2 seeds"}


def test_search_candidates_and_front_are_shown(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "digits"))
    picture = accuracy_vs_speed(study, intervals(study))
    assert sum(len(marks.points) for marks in picture.marks if not marks.confirmed) == 11
    repeated = pd.concat([marks.points for marks in picture.marks if marks.confirmed])
    assert len(repeated) == 4
    assert all(marks.deciding == marks.confirmed for marks in picture.marks)
    assert picture.front["trial"].isin(repeated["trial"]).all()
    assert picture.front["accuracy"].is_monotonic_decreasing
    assert picture.key["front"] == "Pareto front (test)"
    assert picture.y.title == "accuracy"


def test_measures_are_the_labelled_figures_that_are_timed_alone(tmp_path: Path) -> None:
    rows = [trial_row("vit-000", 0.9, 100.0, latency_ms=3.0, gflops_per_image=0.0, contended_train_seconds=7.0)]
    picture = accuracy_vs_speed(study := analysis.load(write_tables(tmp_path, rows)), intervals(study))
    measures = [(measure.label, measure.more_is_better) for measure in picture.measures]
    assert measures == [("inference, images/s", True), ("training time, s", False), ("latency, ms", False)]
    (marks,) = picture.marks
    assert marks.points["text"].to_list() == [
        [
            "vit-000", "validation accuracy 90.0 %, one training (unconfirmed, optimistic)", "lr 0.001", "train size 500",
            "inference, images/s: 100", "training time, s: 10", "latency, ms: 3",
        ]
    ]  # fmt: skip


def test_a_translation_study_is_drawn_in_its_own_terms(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "multi30k", quality="bleu"))
    picture = accuracy_vs_speed(study, intervals(study))
    assert picture.y.title == "BLEU"
    assert not picture.y.is_share
    assert picture.x.title == "inference, sentences/s (log scale)"
    _, curves, sizes = pictures(study, weigh(study))[:3]
    assert curves.y.title == "validation BLEU"
    assert sizes.x.title == "training pairs (log scale)"
    assert "pairs: %{y:.1f}" in on_page(sizes)["data"][0]["hovertemplate"]


def test_the_front_against_a_cost_wants_less_of_it(tmp_path: Path) -> None:
    costs = [(0.9, 10.0), (0.8, 5.0), (0.7, 7.0)]
    rows = [trial_row(f"vit-00{i}", accuracy, None, train_seconds=s) for i, (accuracy, s) in enumerate(costs)]
    picture = accuracy_vs_speed(study := analysis.load(write_tables(tmp_path, rows)), intervals(study))
    assert [measure.label for measure in picture.measures] == ["training time, s"]
    assert picture.front[["train_seconds", "accuracy"]].to_numpy().tolist() == [[5.0, 0.8], [10.0, 0.9]]
    assert drawn(picture).get_xlabel() == "training time, s (log scale)"


@pytest.mark.parametrize(
    ("column", "points", "at_7"),
    [
        ("inference_images_per_second", [(5.0, 0.9), (10.0, 0.8)], 0.8),
        ("train_seconds", [(5.0, 0.8), (10.0, 0.9)], 0.8),
    ],
)
def test_between_two_points_of_the_front_only_the_faster_or_cheaper_one_is_available(
    tmp_path: Path, column: str, points: list[tuple[float, float]], at_7: float
) -> None:
    figures = [(accuracy, {"train_seconds": None, column: x}) for x, accuracy in points]
    rows = [trial_row(f"vit-00{i}", accuracy, None) | figure for i, (accuracy, figure) in enumerate(figures)]
    picture = accuracy_vs_speed(study := analysis.load(write_tables(tmp_path, rows)), intervals(study))
    (front,) = [line for line in drawn(picture).get_lines() if line.get_linestyle() == ":" and len(line.get_xdata())]
    assert [y for (x, y), (after, _) in pairwise(front.get_path().vertices) if x < 7 < after] == [at_7]


def test_of_very_many_trials_an_even_share_the_best_and_the_front_are_drawn(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [trial_row(f"vit-{i:05d}", random.uniform(0.5, 0.9), random.uniform(100, 200)) for i in range(3000)]
    rows[1] |= {"val_accuracy": 0.1, "inference_images_per_second": 300.0}  # the fastest, but neither good nor even
    picture = accuracy_vs_speed(study := analysis.load(write_tables(tmp_path, rows)), intervals(study))
    (marks,) = picture.marks
    assert len(marks.points) <= tradeoff.MAX_POINTS
    assert "vit-00001" in marks.points["trial"].to_list()
    best = study.trials.nlargest(100, "val_accuracy")["trial"]
    assert set(best) <= set(marks.points["trial"])
    assert f"({len(marks.points):,} of 3,000 trials, the whole front among them)" in picture.caption


@pytest.mark.parametrize(
    ("ratios", "label"),
    [
        ({}, "times as fast as at tome_ratio 0"),
        ({"vit_tome": 0.1, "vit": 0.2}, "times as fast as vit_tome at 0.1, vit at 0.2"),
    ],
)
def test_the_speed_axis_of_merging_names_what_it_divides_by(
    tmp_path: Path, ratios: dict[str, float], label: str
) -> None:
    rows = [trial_row(f"{m}-00{i}", 0.9, 240.0, tome_ratio=0.2 * i) for m in ("vit_tome", "vit") for i in (1, 2)]
    study = analysis.load(write_tables(tmp_path, rows))
    curve = merging_curve(study)
    curve["baseline_ratio"] = curve["model"].map(ratios).fillna(curve["baseline_ratio"])
    picture = token_merging(study, curve)
    right = drawn(picture).figure.axes[1]
    assert right.get_ylabel() == on_page(picture)["layout"]["yaxis2"]["title"]["text"] == label


def test_importance_bars_name_model_setting_and_target(tmp_path: Path) -> None:
    study = analysis.load(write_tables(tmp_path, [trial_row("vit-000", 0.9, 100.0)]))
    shares = [("vit", "accuracy", "lr", 0.75, 10), ("vit", "speed", "lr", 0.25, 10)]
    picture = setting_importance(study, pd.DataFrame(shares, columns=list(COLUMNS)))
    rows = ["vit: lr (accuracy)", "vit: lr (speed)"]
    assert [row for trace in on_page(picture)["data"] for row in trace["y"]] == rows
    axes = drawn(picture)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == rows
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.25]
    assert [bar.get_hatch() or "" for bar in axes.patches] == ["", "//"]


@pytest.mark.parametrize("content", ["full", "unconfirmed", "merged", "empty"])
def test_the_picture_is_drawn_for_every_kind_of_study(tmp_path: Path, content: str) -> None:
    folders = [write_study(tmp_path / "digits", seeds=0 if content == "unconfirmed" else 3)]
    if content == "merged":
        folders.append(write_study(tmp_path / "other", seeds=0))
    if content == "empty":
        (folders[0] / "trials.csv").unlink()
    paths = png.write_figures(analysis.load(*folders), tmp_path / "figures" / "deep")
    assert paths[0].name == "accuracy_vs_speed.png"
    assert len(paths) == (1 if content == "empty" else 5)
    for path in paths:
        with Image.open(path) as picture:
            assert picture.size == (1350, 900)
            assert len(picture.convert("L").getcolors() or []) > 10  # something is drawn


def test_two_train_sizes_are_drawn_without_a_power_law(tmp_path: Path) -> None:
    """As in the embedded study: too few sizes for a fit, so there is no line and no band."""
    rows = [trial_row(f"vit-{i}", 0.7 + i / 10, 100.0, train_size=600 + 500 * (i % 2)) for i in range(4)]
    study = analysis.load(write_tables(tmp_path / "two_sizes", rows))
    [picture] = [picture for picture in pictures(study, weigh(study)) if picture.name == "size_scaling"]
    assert [len(curve.points) for curve in picture.curves] == [2] and picture.curves[0].band.empty
    assert tmp_path / "figures" / "size_scaling.png" in png.write_figures(study, tmp_path / "figures")
    assert html.figure(picture).data


def test_speeds_of_disturbed_timings_are_hollow_with_whiskers_in_both_renderings(tmp_path: Path) -> None:
    """vit's repeats lie 20 % apart: 100 images/s are drawn from 90 to 110. The number of parameters is exact."""
    rows = [trial_row("vit-000", 0.9, 100.0), trial_row("vit_tome-000", 0.8, 200.0)]
    folder = write_tables(tmp_path, rows)
    profile = pd.read_csv(folder / "profile.csv").assign(spread=0.2)
    profile["busy"] = profile["model"].map({"vit": "other processes took 50% of the processor time"})
    profile.to_csv(folder / "profile.csv", index=False)
    picture = accuracy_vs_speed(study := analysis.load(folder), intervals(study))
    axes = drawn(picture)
    [segment] = np.concatenate([bars.get_segments() for bars in axes.collections])
    assert segment[:, 0] == pytest.approx([90, 110])
    hollow = [line for line in axes.get_lines() if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
    assert [float(x) for line in hollow for x in line.get_xdata() if line.get_marker() == "o"] == [100.0]
    legend = " ".join(text.get_text().replace("\n", " ") for text in axes.get_legend().get_texts())
    assert tradeoff.HOLLOW in legend
    symbols = [trace["marker"]["symbol"] for trace in on_page(picture)["data"]]
    assert symbols == [["circle-open"], "square"]
    by_label = {each["label"]: each["whiskers"] for each in html.choices_of_x(picture)}
    assert by_label["inference, images/s"] == [[pytest.approx(10)], [None]]
    assert by_label["training time, s"] == [[pytest.approx(1)], [None]]
    assert tradeoff.HOLLOW.capitalize() in html.drawn(picture).caption


def test_long_conditions_stay_inside_a_picture_with_a_legend_beside_it(tmp_path: Path) -> None:
    study = analysis.load(confirmed_study(tmp_path / "s"))
    picture = accuracy_vs_speed(study, intervals(study))
    line = BaselineLine("test accuracy of naming the most frequent class: 10.3 %", 0.103, True)
    words = [
        "Speed measured alone on: 2 x AMD EPYC cpu, 2 threads, 1 in training, bfloat16, batch 32 or 64, 16 px, " * 2
    ]
    whole = png.figure(replace(picture, conditions=words, baselines=[line]), "s")
    FigureCanvasAgg(whole).draw()  # lays it out as the file
    [axes] = whole.axes
    extent = axes.title.get_window_extent()
    assert len(axes.get_title().splitlines()) > 1 and extent.x0 >= 0 and extent.x1 <= whole.bbox.width


def test_undisturbed_speeds_are_points(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "s"))
    picture = accuracy_vs_speed(study, intervals(study))
    assert "hollow" not in picture.key and "ollow" not in picture.caption
    assert {half for each in html.choices_of_x(picture) for trace in each["whiskers"] for half in trace} == {None}


@pytest.mark.parametrize("span", [1.4, 2.5, 5.5, 6.5, 12.0, 19.0, 30.0, 300.0, 20_000.0])
@pytest.mark.parametrize("slowest", [3.0, 45.0, 2_100.0, 17_000.0])
def test_the_labels_of_speeds_do_not_touch(tmp_path: Path, slowest: float, span: float) -> None:
    speeds = (slowest, slowest * span)
    rows = [trial_row(f"vit-00{i}", 0.9 - i / 100, speed) for i, speed in enumerate(speeds)]
    study = analysis.load(write_tables(tmp_path, rows))
    whole = png.figure(accuracy_vs_speed(study, intervals(study)), "study")
    FigureCanvasAgg(whole).draw()
    labels = [label for label in whole.axes[0].get_xticklabels() if label.get_text()]
    shown = [
        box
        for label in labels
        if speeds[0] / 2 < label.get_position()[0] < speeds[1] * 2 and (box := label.get_window_extent())
    ]
    assert len(shown) > 1 and all(left.x1 + 3 < right.x0 for left, right in pairwise(shown))
