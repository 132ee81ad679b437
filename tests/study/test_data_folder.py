"""Where the data folder of a space is looked for, and what a study records of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_space import space

from record.errors import UserError
from study.space.data_folder import find_data, find_weights
from study.space.overrides import Overrides
from study.space.reading import resolve


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The folder of the space, the current folder, and that of --data-dir."""
    found = {name: tmp_path / name for name in ("space", "current", "data")}
    for folder in found.values():
        folder.mkdir()
    monkeypatch.chdir(found["current"])
    return found


def name_found(places: dict[str, Path], name: str, in_space: bool = True, task: str = "image_classification") -> str:
    raw = space(data={"name": name}) if task == "image_classification" else space(data={"name": name}, task=task)
    file = places["space"] / "my.yaml" if in_space else None
    return find_data(resolve(raw, "x"), file, places["data"]).data.name


@pytest.mark.parametrize("name", ["pics", "my/pics", "../space/pics"])
def test_a_folder_beside_the_space_comes_first_and_its_whole_path_is_recorded(
    places: dict[str, Path], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (places["space"] / name).mkdir(parents=True)
    assert name_found(places, name) == str((places["space"] / name).resolve())
    assert capsys.readouterr().err == ""


def test_the_order_is_space_then_current_folder_then_data_dir(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("data", "current", "space"):
        (places[place] / "pics").mkdir()
        used, others = name_found(places, "pics"), capsys.readouterr().err
        assert used == ("pics" if place == "data" else str(places[place] / "pics"))
        assert others.startswith(f"data 'pics' is {places[place] / 'pics'}; not used: ") == (place != "data")
    assert others.endswith(f"{places['current'] / 'pics'}, {places['data'] / 'pics'}\n")
    assert name_found(places, "pics", in_space=False) == str(places["current"] / "pics")


def test_one_folder_in_two_places_is_one(places: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    (places["space"] / "pics").mkdir()
    (places["current"] / "pics").symlink_to(places["space"] / "pics")
    assert name_found(places, "pics") == str(places["space"] / "pics") and capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["digits", "fashion_mnist", "cifar100"])
def test_the_name_of_a_data_set_stays_one(places: dict[str, Path], name: str) -> None:
    (places["space"] / name).mkdir()
    assert name_found(places, name) == name


def test_the_error_says_where_it_looked(places: dict[str, Path]) -> None:
    with pytest.raises(UserError) as error:
        name_found(places, "picz")
    data = places["data"]
    start = f"data 'picz' is neither a data set nor a folder in the folder of my.yaml, the current folder or {data}; "
    assert str(error.value).startswith(start) and "\n" not in str(error.value)
    with pytest.raises(UserError, match=f"in the current folder or {data}; did you mean 'digits'"):
        name_found(places, "digts", in_space=False)
    with pytest.raises(UserError, match=r"neither a data set nor a folder; "):
        name_found(places, "")


def test_whole_paths_are_left_as_they_are(places: dict[str, Path]) -> None:
    for name in (str(places["data"]), "/no/such/folder", "~/pics"):
        assert name_found(places, name) == name


@pytest.mark.parametrize("overrides", [Overrides(data="pics"), Overrides(settings=("data.name=pics",))])
def test_the_command_line_records_the_whole_path_of_a_folder_here(
    places: dict[str, Path], overrides: Overrides
) -> None:
    raw = {"data": {"name": "digits"}}
    assert overrides.apply(raw)["data"]["name"] == "pics"
    (places["current"] / "pics").mkdir()
    assert overrides.apply(raw)["data"]["name"] == str(places["current"] / "pics")


def weights_found(places: dict[str, Path], weights: str, in_space: bool = True) -> str:
    raw = space(models={"net": {"model": "vit", "weights": weights}})
    [entry] = find_weights(resolve(raw, "x"), places["space"] / "my.yaml" if in_space else None).models.values()
    return entry.weights


def test_weights_are_looked_for_beside_the_space_then_in_the_current_folder(places: dict[str, Path]) -> None:
    """Trials run in another folder: a relative path that was left so passed the check, and every trial failed."""
    for place in ("current", "space"):
        (places[place] / "vit.pt").touch()
        assert weights_found(places, "vit.pt") == str(places[place] / "vit.pt")
        assert weights_found(places, "vit.pt#ema") == str(places[place] / "vit.pt#ema")
    assert weights_found(places, "vit.pt", in_space=False) == str(places["current"] / "vit.pt")
    for other in ("none", "timm", "/nowhere/vit.pt", "~/vit.pt"):
        assert weights_found(places, other) == other
    message = (
        r"^models\.net\.weights: no file 'vot.pt' in the folder of my.yaml or the current folder; give none, timm or "
    )
    with pytest.raises(UserError, match=message):
        weights_found(places, "vot.pt")
    given = Overrides(settings=("models.net.weights=vit.pt",)).changes()
    assert given == {"models.net.weights": str(places["current"] / "vit.pt")}  # beside no file
    assert Overrides(settings=("models.net.weights=null",)).changes() == {
        "models.net.weights": None
    }  # named as it was written
