"""All pictures of a study, from numbers that are computed once for the page, its tables and the PNG files."""

from dataclasses import dataclass

import pandas as pd

from analysis.read.study_folder import Study
from analysis.tell.pictures.calibration import Calibration, calibration
from analysis.tell.pictures.curves import LearningCurves, learning_curves
from analysis.tell.pictures.importance import SettingImportance, setting_importance
from analysis.tell.pictures.merging import TokenMerging, token_merging
from analysis.tell.pictures.settings import SettingLines, setting_lines
from analysis.tell.pictures.sizes import DataScaling, data_scaling
from analysis.tell.pictures.tradeoff import AccuracyVsSpeed, accuracy_vs_speed
from analysis.tell.pictures.tuning import ExpectedBest, expected_best
from analysis.weigh import importance, scaling
from analysis.weigh.calibration import calibration as weigh_calibration
from analysis.weigh.comparison import intervals
from analysis.weigh.expected_best import expected_best_curves

StudyPicture = (
    AccuracyVsSpeed
    | ExpectedBest
    | LearningCurves
    | DataScaling
    | TokenMerging
    | SettingLines
    | SettingImportance
    | Calibration
)


@dataclass(frozen=True)
class Findings:
    """What weigh/ makes of a study: the frames that its functions of these names return."""

    intervals: pd.DataFrame
    expected_best_curves: pd.DataFrame
    learning_curves: pd.DataFrame
    size_scaling: list[scaling.SizeScaling]
    merging_curve: pd.DataFrame
    importance: pd.DataFrame
    importance_remarks: list[str]
    calibration: pd.DataFrame


def weigh(study: Study) -> Findings:
    return Findings(
        intervals(study),
        expected_best_curves(study),
        scaling.learning_curves(study),
        scaling.size_scaling(study),
        scaling.merging_curve(study),
        *importance.importance(study),
        weigh_calibration(study),
    )


def pictures(study: Study, findings: Findings) -> list[StudyPicture]:
    """The pictures that the study has data for, and always the first, accuracy against speed."""
    drawn: list[StudyPicture] = [accuracy_vs_speed(study, findings.intervals)]
    if len(findings.expected_best_curves):
        drawn.append(expected_best(study, findings.expected_best_curves))
    if len(findings.learning_curves):
        drawn.append(learning_curves(study, findings.learning_curves))
    if findings.size_scaling:
        drawn.append(data_scaling(study, findings.size_scaling))
    if len(findings.merging_curve):
        drawn.append(token_merging(study, findings.merging_curve))
    if lines := setting_lines(study):
        drawn.append(lines)
    if len(findings.importance):
        drawn.append(setting_importance(study, findings.importance))
    if len(findings.calibration):
        drawn.append(calibration(study, findings.calibration))
    return drawn
