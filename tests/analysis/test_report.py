"""report.html: what it says of whole, broken and hostile studies, and how it behaves in a browser."""

import base64
import json
import re
import shutil
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_study import confirmed_study, trial_row, write_study, write_tables

import analysis
from analysis.read.candidates import choices, front
from analysis.tell.report import write_report

HOSTILE = "</script><img src=x onerror=alert(1)><b>&amp;"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


class Text(HTMLParser):
    """The tags of a page and its text, without scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._code = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._code = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._code = False

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.text += data


def read(folder: Path) -> Text:
    path = write_report(folder)
    assert path == folder / "report.html"
    assert path.stat().st_size < 8e6
    return Text(path.read_text(encoding="utf-8"))


def test_everything_is_in_the_file_and_on_the_page(tmp_path: Path) -> None:
    page = read(confirmed_study(tmp_path / "digits"))
    linked = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if attrs.get(name)]
    assert all(str(link).startswith("#") for link in linked)
    assert not {"link", "iframe", "object"} & {tag for tag, _ in page.tags}
    ids = {attrs.get("id") for _, attrs in page.tags}
    assert {str(link)[1:] for link in linked} <= ids
    for part in ("cannot be told apart", "95 % interval", "How speed was measured", "No trial failed", "vit_tome-000"):
        assert part in page.text
    assert page.text.index("Answer") < page.text.index("All trials")


def test_text_from_the_study_is_escaped(tmp_path: Path) -> None:
    rows = [
        trial_row(f"vit{HOSTILE}-000", 0.9, 100.0, data=HOSTILE, weights=HOSTILE),
        trial_row(f"vit{HOSTILE}-001", 0.8, 200.0, state="failed", error=HOSTILE),
    ]
    folder = write_tables(tmp_path / "s", rows)
    (folder / "study.yaml").write_text(json.dumps({"description": HOSTILE}))
    (folder / "environment.json").write_text(json.dumps({"command": HOSTILE, "date": HOSTILE}))
    page = read(folder)
    assert not [tag for tag, attrs in page.tags if tag == "img" or "onerror" in attrs]
    assert page.text.count("onerror=alert(1)") >= 6


@pytest.mark.parametrize("quality", ["accuracy", "bleu"])
def test_a_study_that_was_not_confirmed(tmp_path: Path, quality: str) -> None:
    page = read(write_study(tmp_path / "s", seeds=0, quality=quality))
    assert "Differences are not tested" in page.text
    assert "loss is nan in epoch 2 [lr 0.3]" in page.text
    assert "Early-stopped trials" in page.text


def test_translation(tmp_path: Path) -> None:
    assert "test BLEU" in read(write_study(tmp_path / "s", quality="bleu")).text


def test_a_study_killed_in_the_middle(tmp_path: Path) -> None:
    rows = [trial_row("vit-000", 0.9, 100.0), trial_row("vit-001", 0.5, None, state="running", epochs=1)]
    folder = write_tables(tmp_path / "s", rows)
    (folder / "environment.json").write_text('{"schema": 1, "duration_seconds": {"profile": 3.0}}')
    (folder / "trials.csv.partial").write_text("trial,mod")
    page = read(folder)
    assert "search and confirm not done" in page.text
    assert "1 trial had begun and not ended" in page.text


def test_a_single_trial(tmp_path: Path) -> None:
    page = read(write_tables(tmp_path / "s", [trial_row("vit-000", 0.9, 100.0)]))
    assert "Most accurate" in page.text
    assert "No power law" not in page.text


def test_all_trials_failed(tmp_path: Path) -> None:
    rows = [trial_row(f"vit-00{i}", None, None, state="failed", error="out of memory", epochs=0) for i in range(3)]
    page = read(write_tables(tmp_path / "s", rows))
    assert "All trials failed; nothing can be concluded" in page.text
    assert page.text.count("out of memory") == 3


def test_nothing_but_a_space(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("description: begun\n")
    page = read(tmp_path)
    assert "there is nothing to choose from" in page.text
    assert "environment.json is missing" in page.text


def test_a_newer_schema_is_shown_and_said(tmp_path: Path) -> None:
    folder = confirmed_study(tmp_path / "s")
    (folder / "environment.json").write_text('{"schema": 7, "data": "elsewhere", "new": [1, {"a": null}]}')
    study = pd.read_csv(folder / "trials.csv").assign(shade="blue")
    study.to_csv(folder / "trials.csv", index=False)
    page = read(folder)
    assert "written by a newer version (schema 7" in page.text
    assert "Most accurate" in page.text


def test_no_speed_was_measured(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "s", [trial_row("vit-000", 0.9, None, train_seconds=None)])
    (folder / "profile.csv").write_text("model,phase\n")
    page = read(folder)
    assert "Most accurate" in page.text
    assert "No speed was measured alone" in page.text


def test_ten_thousand_trials_are_reported_in_thirty_seconds(tmp_path: Path) -> None:
    random, count = np.random.default_rng(0), 10_000
    trials = pd.DataFrame([trial_row("", 0.9, 100.0)] * count)
    trials["model"] = random.choice(["vit", "resnet18"], count)
    trials["trial"] = [f"{model}-{i:05d}" for i, model in enumerate(trials["model"])]
    trials["val_accuracy"], trials["inference_images_per_second"] = random.random(count), random.random(count)
    trials["train_size"] = random.integers(100, 10_000, count)
    trials.to_csv(tmp_path / "trials.csv", index=False)
    epochs = trials[["trial", "model", "phase", "val_accuracy"]]
    pd.concat([epochs.assign(epoch=i) for i in range(10)]).to_csv(tmp_path / "epochs.csv", index=False)
    start = time.perf_counter()
    assert "The first 500 of 10,000 rows" in read(tmp_path).text
    assert time.perf_counter() - start < 30


# -- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    from selenium.webdriver.chrome.service import Service

    driving = selenium.Chrome(options=options, service=Service(driver))
    yield driving
    driving.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = confirmed_study(tmp_path_factory.mktemp("browser") / "digits")
    trials = pd.read_csv(folder / "trials.csv")
    more = [
        trial_row(f"vit-{i:03d}", 0.6 + 0.05 * i, 100.0 - i, train_size=n, tome_ratio=0.1 * i)
        for i, n in enumerate((250, 500, 1000, 2000), start=1)
    ]
    more.append(trial_row(f"vit-9{HOSTILE}", 0.5, 90.0))
    pd.concat([trials, pd.DataFrame(more)]).to_csv(folder / "trials.csv", index=False)
    write_report(folder)
    return folder


@pytest.fixture
def opened(browser: Any, folder: Path) -> Any:
    """Open the page at a width, light or dark, and wait until its figures are drawn."""

    def open_page(width: int = 1600, dark: bool = False) -> Any:
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.get_log("browser"), browser.get_log("performance")
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        browser.get((folder / "report.html").as_uri())
        drawn(browser)
        return browser

    return open_page


def drawn(browser: Any, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    script = "return [...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg') && p.data)"
    while not browser.execute_script(script):
        assert time.monotonic() < until, "the figures were not drawn"
        time.sleep(0.05)


def trace(browser: Any, script: str) -> Any:
    return browser.execute_script(f"const plot = document.querySelector('#tradeoff .plot'); return {script};")


def toggle(browser: Any, figure: str, label: str) -> None:
    xpath = f"//figure[@id='{figure}']//label[normalize-space()='{label}']/input"
    browser.find_element("xpath", xpath).click()


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_it_opens_without_errors_and_fetches_nothing(opened: Any, width: int, dark: bool) -> None:
    browser = opened(width, dark)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert urls == [browser.current_url]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    plots = browser.execute_script(
        "return [...document.querySelectorAll('.plot .main-svg')].map(s => s.getBoundingClientRect().right)"
    )
    assert len(plots) >= 8
    assert max(plots) <= width
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    ink = trace(browser, "plot.layout.font.color")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 200) == dark
    assert ink == ("#e6e9ed" if dark else "#1b1f24")


def test_hover_shows_the_configuration(opened: Any) -> None:
    browser = opened()
    trace(browser, "Plotly.Fx.hover(plot, [{curveNumber: 3, pointNumber: 0}])")
    shown = trace(browser, "plot.querySelector('.hoverlayer').textContent")
    for part in ("vit-000", "test accuracy", "3 seed(s)", "lr 0.001", "train size 500", "inference, images/s: 100"):
        assert part in shown


def test_a_real_pointer_hovers_too(opened: Any) -> None:
    from selenium.webdriver import ActionChains

    browser = opened()
    point = browser.find_elements("css selector", "#tradeoff .scatterlayer .point")[-1]
    ActionChains(browser).move_to_element(point).perform()
    time.sleep(0.3)
    assert trace(browser, "plot.querySelectorAll('.hoverlayer .hovertext').length") == 1


def test_names_from_the_study_are_text_in_the_picture(opened: Any) -> None:
    browser = opened()
    texts = trace(browser, "plot.data.flatMap(t => t.text || [])")
    assert any("&lt;/script&gt;" in text for text in texts)
    assert browser.find_elements("css selector", "img[src='x']") == []


def test_the_front_is_the_front_and_follows_the_switches(opened: Any, folder: Path) -> None:
    browser = opened()
    study = analysis.load(folder)
    rows, accuracy = choices(study)
    expected = front(rows, accuracy, "inference_images_per_second")

    def shown() -> list[tuple[float, float]]:
        x, y = trace(browser, "[plot.data.at(-1).x, plot.data.at(-1).y]")
        return sorted(zip(x, y, strict=True))

    points = expected[["inference_images_per_second", accuracy]]
    assert np.array(shown()) == pytest.approx(points.to_numpy(float))
    assert len(shown()) == 3
    toggle(browser, "tradeoff", "resnet18")
    assert np.array(shown()) == pytest.approx(points.to_numpy(float)[:2])
    assert trace(browser, "plot.data.filter(t => t.name === 'resnet18').every(t => t.visible === false)")
    toggle(browser, "tradeoff", "resnet18")
    assert len(shown()) == 3


def test_speed_measure_and_scale_can_be_chosen(opened: Any) -> None:
    from selenium.webdriver.support.ui import Select

    browser = opened()
    assert trace(browser, "plot.layout.xaxis.type") == "log"
    toggle(browser, "tradeoff", "log axis")
    assert trace(browser, "plot.layout.xaxis.type") == "linear"
    choice = Select(browser.find_element("css selector", "#tradeoff select"))
    choice.select_by_visible_text("training time, s")
    assert trace(browser, "plot.layout.xaxis.title.text") == "training time, s"
    assert set(trace(browser, "plot.data[0].x")) == {10}
    # All cost the same 10 s, so only the most accurate is left on the front.
    assert len(trace(browser, "plot.data.at(-1).x")) == 1


def test_tables_sort_by_keyboard(opened: Any) -> None:
    browser = opened()
    table = browser.find_element("css selector", "#trials table")
    column = [head.text for head in table.find_elements("tag name", "th")].index("val accuracy %")
    button = table.find_elements("css selector", "th button")[column]

    def values() -> list[str]:
        rows = table.find_elements("css selector", "tbody tr")
        return [row.find_elements("tag name", "td")[column].text for row in rows]

    button.send_keys("\ue007")  # Enter
    numbers = [float(value) for value in values()]
    assert numbers == sorted(numbers)
    assert table.find_elements("tag name", "th")[column].get_attribute("aria-sort") == "ascending"
    button.send_keys(" ")
    assert [float(value) for value in values()] == sorted(numbers, reverse=True)


def test_every_control_has_a_name_and_takes_the_focus(opened: Any) -> None:
    browser = opened(400)
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('input, select, button')]"
        ".filter(c => !(c.ariaLabel || c.closest('label')?.textContent || c.textContent).trim() || c.tabIndex < 0).length"
    )
    assert unnamed == 0


def test_it_prints_on_white_paper(opened: Any, tmp_path: Path) -> None:
    browser = opened(1000, dark=True)
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert pdf.startswith(b"%PDF")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert trace(browser, "plot.layout.font.color") == "#1b1f24"
    assert not browser.find_element("css selector", "#tradeoff .controls").is_displayed()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
