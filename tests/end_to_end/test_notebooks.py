"""Every notebook runs top to bottom on a fresh study, and is stored without outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import PATIENCE

import analysis

nbformat = pytest.importorskip("nbformat", reason="nbclient and ipykernel are development dependencies")
nbclient = pytest.importorskip("nbclient", reason="nbclient and ipykernel are development dependencies")

NOTEBOOKS = sorted((Path(analysis.__file__).parent / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_there_are_notebooks():
    assert {"tradeoff", "learning_curves", "token_merging"} <= {path.stem for path in NOTEBOOKS}


def test_is_stored_without_outputs_and_paths(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert "parameters" in notebook.cells[0].metadata.tags
    assert str(Path.home()) not in nbformat.writes(notebook)


@pytest.mark.parametrize("notebook", [path for path in NOTEBOOKS if path.stem != "translation"], indirect=True)
def test_runs_on_a_fresh_study(notebook, tiny_study, monkeypatch):
    monkeypatch.setenv("STUDY", str(tiny_study))
    folder = str(NOTEBOOKS[0].parent)  # where Jupyter starts a notebook
    nbclient.NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": folder}}).execute()
    printed = nbformat.writes(notebook)
    assert "digits (scikit-learn)" in printed
    assert "vit_tome" in printed
