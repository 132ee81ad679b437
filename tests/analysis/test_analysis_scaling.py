"""Learning curves, power laws, token merging, importance: frames that give back what was put in."""

from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from fake_study import trial_row, write_study, write_tables
from optuna.distributions import FloatDistribution
from statsmodels.api import OLS, add_constant

import analysis
from analysis.tell.pictures.png import write_figures
from analysis.weigh.importance import importance
from analysis.weigh.scaling import learning_curves, merging_curve, power_law, size_scaling


def points(sizes: list[int], accuracies: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"train_size": sizes, "accuracy": accuracies, "trial": "vit-000"}).astype({"train_size": float})


def test_a_power_law_is_recovered_exactly() -> None:
    sizes = [500, 1000, 2000, 4000]
    fit = power_law("vit", points(sizes, [1 - 3 * n**-0.4 for n in sizes]))
    assert (fit.exponent, fit.coefficient) == pytest.approx((0.4, 3.0))
    beyond = fit.curve[fit.curve["extrapolated"]]
    assert beyond["train_size"].to_list() == pytest.approx([8000, 16_000])
    assert beyond["accuracy"].to_list() == pytest.approx([1 - 3 * n**-0.4 for n in (8000, 16_000)])
    # Nothing deviates from the law, but it may end here: from no gain to the law.
    assert beyond["low"].to_list() == pytest.approx([1 - 3 * 4000**-0.4] * 2)
    assert beyond["high"].to_list() == pytest.approx(beyond["accuracy"].to_list())


def test_the_interval_of_the_fit_agrees_with_statsmodels() -> None:
    sizes, accuracies = [500, 1000, 2000, 4000], [0.70, 0.79, 0.84, 0.90]
    fit = power_law("vit", points(sizes, accuracies))
    model = OLS(np.log(1 - np.array(accuracies)), add_constant(np.log(sizes))).fit()
    at = add_constant(np.log(fit.curve["train_size"]))
    reference = model.get_prediction(at).summary_frame(alpha=0.05)
    middle = reference["mean"].to_numpy()
    assert fit.curve["accuracy"].to_numpy() == pytest.approx(1 - np.exp(middle), abs=1e-9)
    # A training's luck: the residuals of the logarithms, or those of the errors where they are the larger share of it.
    of_errors = np.sqrt(((1 - np.array(accuracies) - np.exp(model.fittedvalues)) ** 2).sum() / 2)
    luck = np.maximum(np.sqrt(model.scale), of_errors / np.exp(middle))
    half = 4.302652729911275 * np.hypot(luck, reference["mean_se"].to_numpy())  # t(0.975, 2)
    assert fit.curve["high"].to_numpy() == pytest.approx(1 - np.exp(middle - half), abs=1e-9)
    low = np.maximum(1 - np.exp(middle + half), 0)
    assert fit.curve["low"].to_numpy()[:-2] == pytest.approx(low[:-2], abs=1e-9)
    assert fit.curve["low"].to_numpy()[-2:] == pytest.approx(np.minimum(low[-2:], low[-3]), abs=1e-9)
    assert (half >= 4.302652729911275 * reference["mean_se"].to_numpy()).all() and (luck > np.sqrt(model.scale)).any()


@pytest.mark.parametrize(
    ("sizes", "accuracies", "reason"),
    [([500, 1000], [0.7, 0.8], "needs three"), ([500, 1000, 2000], [0.7, 0.8, 1.0], "zero error at one size")],
)
def test_a_fit_is_refused(sizes: list[int], accuracies: list[float], reason: str) -> None:
    fit = power_law("vit", points(sizes, accuracies))
    assert reason in fit.refused
    assert fit.curve.empty


def test_the_best_trial_of_each_size_counts(tmp_path: Path) -> None:
    rows = [
        trial_row(f"vit-{i:03d}", a, 100.0, train_size=n)
        for i, (n, a) in enumerate([(500, 0.6), (500, 0.7), (1000, 0.8)])
    ]
    rows.append(trial_row("resnet18-000", 0.9, 100.0))  # one size only: nothing to show
    (model,) = size_scaling(analysis.load(write_tables(tmp_path, rows)))
    assert model.points["trial"].to_list() == ["vit-001", "vit-002"]


def test_many_sizes_are_taken_together(tmp_path: Path) -> None:
    rows = [trial_row(f"vit-{n:05d}", 0.5 + n / 1e5, 100.0, train_size=n) for n in range(100, 10_000, 90)]
    (model,) = size_scaling(analysis.load(write_tables(tmp_path, rows)))
    assert 3 <= len(model.points) <= 8
    assert model.points["train_size"].max() == 9910
    assert not model.refused


def test_learning_curves_show_the_best_candidate_by_its_seeds(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "s", trials=6))
    curves = learning_curves(study, others=2)
    for _, rows in curves.groupby("model"):
        best = rows[rows["line"] == "best"]
        assert best["trial"].nunique() == 3
        assert best["trial"].str.contains("-seed").all()
        assert 1 <= rows[rows["line"] == "other"]["trial"].nunique() <= 2
    unconfirmed = learning_curves(analysis.load(write_study(tmp_path / "u", seeds=0)))
    assert unconfirmed[unconfirmed["line"] == "best"].groupby("model")["trial"].nunique().to_list() == [1, 1, 1, 1]
    merged = learning_curves(analysis.load(tmp_path / "s", tmp_path / "u"))
    assert merged.groupby(["study", "model"]).ngroups == 8


def test_speed_up_is_against_the_lowest_ratio_timed(tmp_path: Path) -> None:
    rows = [
        trial_row(f"vit_tome-00{i}", 0.9, 240.0 * f, tome_ratio=r) for i, (r, f) in enumerate([(0.6, 1.5), (0.2, 1.2)])
    ]
    rows.append(trial_row("vit-000", 0.9, 150.0, tome_ratio=0.0))
    curve = merging_curve(analysis.load(write_tables(tmp_path, rows)))  # profile.csv times vit_tome at 0 with 240/s
    assert curve["model"].to_list() == ["vit_tome", "vit_tome"]
    assert curve["tome_ratio"].to_list() == [0.2, 0.6]
    assert curve["speed_up"].to_list() == pytest.approx([1.2, 1.5])
    assert set(curve["baseline_ratio"]) == {0.0}


def test_the_unmerged_vit_is_ratio_0_where_the_merging_one_was_not_timed_there(tmp_path: Path) -> None:
    """vit has as many parameters as vit_tome and runs at 150 images/s; resnet18 is another network."""
    rows = [
        trial_row(f"vit_tome-00{i}", 0.9, 150.0 * f, tome_ratio=r) for i, (r, f) in enumerate([(0.2, 1.2), (0.6, 1.5)])
    ]
    rows += [trial_row("vit-000", 0.95, 150.0), trial_row("resnet18-000", 0.8, 600.0)]
    folder = write_tables(tmp_path, rows)
    profile = pd.DataFrame(
        [("vit_tome", 0.5, 210.0, 10), ("vit", None, 150.0, 10), ("resnet18", None, 600.0, 20)],
        columns=["model", "tome_ratio", "inference_images_per_second", "parameters"],
    )
    profile.assign(image_size=32).to_csv(folder / "profile.csv", index=False)
    curve = merging_curve(analysis.load(folder))
    assert curve["model"].to_list() == ["vit", "vit_tome", "vit_tome"]
    assert curve["tome_ratio"].to_list() == [0.0, 0.2, 0.6]
    assert curve["speed_up"].to_list() == pytest.approx([1.0, 1.2, 1.5])
    assert set(curve["baseline_ratio"]) == {0.0}


def searched_study(folder: Path, trials: int) -> Path:
    """Accuracy follows lr alone, speed follows tome_ratio alone."""
    kinds = {"lr": FloatDistribution(1e-4, 1e-2, log=True), "tome_ratio": FloatDistribution(0, 0.8)}
    random = np.random.default_rng(0)
    folder.mkdir()
    study = optuna.create_study(study_name="vit_tome", storage=f"sqlite:///{folder / 'study.db'}")
    rows = []
    for i in range(trials):
        params = {"lr": float(10 ** random.uniform(-4, -2)), "tome_ratio": float(random.uniform(0, 0.8))}
        row = trial_row(
            f"vit_tome-{i:03d}", 1 + 0.1 * np.log10(params["lr"]), 100 * (1 + params["tome_ratio"]), **params
        )
        attributes = {"trial": row["trial"]}
        study.add_trial(optuna.create_trial(value=0.0, params=params, distributions=kinds, user_attrs=attributes))
        rows.append(row)
    return write_tables(folder, rows)


def test_importance_finds_what_moves_accuracy_and_speed(tmp_path: Path) -> None:
    frame, remarks = importance(analysis.load(searched_study(tmp_path / "s", 30)))
    assert remarks == []
    shares = frame.set_index(["target", "setting"])["importance"]
    assert shares["accuracy", "lr"] > 0.8
    assert shares["speed", "tome_ratio"] > 0.8
    assert shares.groupby("target").sum().to_list() == pytest.approx([1, 1])


def test_importance_says_why_there_is_none(tmp_path: Path) -> None:
    few, (_, remarks) = searched_study(tmp_path / "few", 4), importance(analysis.load(write_study(tmp_path / "no")))
    assert remarks == ["no: no study.db in the folder (the study kept its ledger elsewhere)"]
    assert importance(analysis.load(few))[1] == ["vit_tome: 4 complete trials; importance needs 20"]
    (few / "study.db").write_bytes(b"no database at all" * 100)
    assert "study.db cannot be read" in importance(analysis.load(few))[1][0]


def test_every_figure_is_drawn_where_there_is_something_to_draw(tmp_path: Path) -> None:
    drawn = write_figures(analysis.load(searched_study(tmp_path / "s", 20)), tmp_path / "figures")
    assert [path.name for path in drawn] == [
        "accuracy_vs_speed.png", "expected_best.png", "learning_curves.png", "token_merging.png", "settings.png",
        "importance.png",
    ]  # fmt: skip
    assert all(path.stat().st_size > 10_000 for path in drawn)
