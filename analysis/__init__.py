"""Read a study folder, and nothing else: typed tables, the trade-off, pictures.

import analysis
study = analysis.load("results/digits_compare")
study.trials, study.epochs, study.profile  # pandas frames, units in the column names
"""

from analysis.read.study_folder import Study, StudyError, load

__all__ = ["Study", "StudyError", "load"]
