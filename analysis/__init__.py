"""Read a study folder, and nothing else: typed tables, the trade-off, pictures.

import analysis
study = analysis.load("results/digits_compare")
study.trials, study.epochs, study.profile  # pandas frames, units in the column names
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.read.study_folder import Study, StudyError, load
else:

    def __getattr__(name: str) -> object:
        """The public names, imported on first use: the command line has no time to wait for pandas."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from analysis.read import study_folder

        return getattr(study_folder, name)


__all__ = ["Study", "StudyError", "load"]
