"""`python -m analysis table results/digits_compare` prints the table of the study."""

import sys
from pathlib import Path

# With -m the current folder comes first on sys.path: a `models/` or `record/` of the user's there would be imported
# instead of the project's.
_ROOT, _HERE = Path(__file__).resolve().parents[1], Path.cwd().resolve()
if _HERE != _ROOT:
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _HERE]

from analysis.cli.main import main  # noqa: E402

main()
