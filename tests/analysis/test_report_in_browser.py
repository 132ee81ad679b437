"""report.html in a browser: pictures, switches, tables, keyboard, dark mode and print."""

import base64
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import waiting
from fake_study import HOSTILE, confirmed_study, trial_row

import analysis
from analysis.read.candidates import choices, front
from analysis.tell.report import write_report


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


def drawn(browser: Any) -> None:
    script = "return [...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg') && p.data)"
    waiting(browser).until(lambda _: browser.execute_script(script), "the figures were not drawn")


def trace(browser: Any, script: str) -> Any:
    return browser.execute_script(f"const plot = document.querySelector('#accuracy_vs_speed .plot'); return {script};")


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
    for part in ("vit-000", "test accuracy", "3 seeds", "lr 0.001", "train size 500", "inference, images/s: 100"):
        assert part in shown


def test_a_real_pointer_hovers_too(opened: Any) -> None:
    from selenium.webdriver import ActionChains

    browser = opened()
    point = browser.find_elements("css selector", "#accuracy_vs_speed .scatterlayer .point")[-1]
    ActionChains(browser).move_to_element(point).perform()
    told = "plot.querySelectorAll('.hoverlayer .hovertext').length"
    waiting(browser).until(lambda _: trace(browser, told) == 1, "nothing is told of the point")


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
    # Horizontal from the faster point to the slower one: at a speed in between only the faster one's accuracy is had.
    x, shape = trace(browser, "[plot.data.at(-1).x, plot.data.at(-1).line.shape]")
    assert (x, shape) == (sorted(x, reverse=True), "hv")
    toggle(browser, "accuracy_vs_speed", "resnet18")
    assert np.array(shown()) == pytest.approx(points.to_numpy(float)[:2])
    assert trace(browser, "plot.data.filter(t => t.name === 'resnet18').every(t => t.visible === false)")
    toggle(browser, "accuracy_vs_speed", "resnet18")
    assert len(shown()) == 3


def test_speed_measure_and_scale_can_be_chosen(opened: Any) -> None:
    from selenium.webdriver.support.ui import Select

    browser = opened()
    assert trace(browser, "plot.layout.xaxis.type") == "log"
    toggle(browser, "accuracy_vs_speed", "log axis")
    assert trace(browser, "plot.layout.xaxis.type") == "linear"
    choice = Select(browser.find_element("css selector", "#accuracy_vs_speed select"))
    choice.select_by_visible_text("training time, s")
    assert trace(browser, "plot.layout.xaxis.title.text") == "training time, s"
    assert set(trace(browser, "plot.data[0].x")) == {10}
    # All cost the same 10 s, so only the most accurate is left on the front.
    assert len(trace(browser, "plot.data.at(-1).x")) == 1


@pytest.mark.parametrize("width", [400, 1600])
def test_labels_of_a_scale_in_ratios_are_whole_and_do_not_touch(opened: Any, width: int) -> None:
    browser = opened(width)
    for span, lowest in itertools.product((1.4, 3.0, 8.0, 40.0, 900.0, 20_000.0), (0.02, 4.0, 3_100.0)):
        low, high = np.log10([lowest, lowest * span])
        zoom = f"Plotly.relayout(plot, {{'xaxis.range': [{low}, {high}]}})"
        browser.execute_async_script(
            "const [plot, done] = [document.querySelector('#accuracy_vs_speed .plot'), arguments[0]];"
            f"{zoom}.then(() => requestAnimationFrame(() => requestAnimationFrame(done)));"
        )
        boxes = "[...plot.querySelectorAll('.xtick text')].map(t => [t.textContent, t.getBoundingClientRect()])"
        shown = trace(browser, f"{boxes}.map(([text, box]) => [text, box.left, box.right]).sort((a, b) => a[1] - b[1])")
        values = [float(text.replace(",", "")) for text, *_ in shown]
        assert len(values) >= 2 and values == sorted(values)
        assert lowest * 0.99 <= values[0] and values[-1] <= lowest * span * 1.01
        assert all(right + 4 < left for (*_, right), (_, left, _) in itertools.pairwise(shown)), shown


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
    for control in ("select", "input"):
        assert not browser.find_element("css selector", f"#accuracy_vs_speed .controls {control}").is_displayed()
    key = browser.find_elements("css selector", "#accuracy_vs_speed .controls label:has(i)")
    assert {"vit", "vit_tome", "resnet18"} <= {label.text for label in key if label.is_displayed()}
    assert all(part.get_attribute("open") for part in browser.find_elements("css selector", "details"))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
