"""What more hours of a study would buy, as a table and one sentence."""

from collections.abc import Sequence

from analysis.read.candidates import terms
from analysis.read.study_folder import Study
from analysis.tell.formats import Format
from analysis.tell.tables import print_frame
from analysis.weigh.outlook import flat_after, outlook, table

MIN_GAIN = 0.5  # points per hour, where the space does not say


def print_plan(
    study: Study, hours: Sequence[float], chance: float, format: Format = Format.TEXT, *, pilot: bool = False
) -> None:
    """Print what the study's cells may reach after so many hours, and, as text, from when on the gain is small.

    chance: a cell whose chances to be best and to be on the front are below it cannot win. pilot: the study is only
    piloted; the hours are those of the whole study.
    """
    frame = table(outlook(study, hours, pilot=pilot), terms(study).validation, chance)
    print_frame(frame, format)
    if format is Format.TEXT:
        print(flattening(study, max(hours), pilot=pilot))


def flattening(study: Study, longest: float, *, pilot: bool = False) -> str:
    """One sentence: from when on another hour is expected to gain little."""
    task = terms(study)
    wanted = study.spec.get("min_gain_per_hour")
    gain = wanted if isinstance(wanted, int | float) and wanted > 0 else MIN_GAIN
    little = f"less than {gain:g} points of {task.label}"
    hours = flat_after(study, longest, gain, pilot=pilot)
    if hours is None:
        return f"Within {longest:g} hours the gain does not flatten: another hour is expected to gain {gain:g} points or more."
    return f"From about {hours:.2g} hours on, another hour is expected to gain {little}."
