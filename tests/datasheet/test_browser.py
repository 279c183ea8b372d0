"""Pages in headless Chromium: no error, no request, no wider than the screen; the plane counts what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet
from poyodata.datasheet import plane_widget
from poyodata.store import Store
from tests.datasheet.browser import Browser

pytestmark = pytest.mark.slow

WIDTH = "return [doc.documentElement.scrollWidth, doc.body.innerText.length];"


def test_the_browser_sees_errors_and_requests(browser: Browser) -> None:
    page = "<!doctype html><img src='https://example.org/x.png'><script>nothing.there()</script>"
    seen = browser.look(page, "return doc.images.length;")
    assert seen.answers == {1280: 1}
    assert "ReferenceError" in seen.console[0]
    assert seen.requests == ["https://example.org/x.png"]


@pytest.mark.parametrize("kind", ["datasheet", "plane"])
def test_a_page_fits_the_screen_and_asks_for_nothing(kind: str, browser: Browser, sheet: Path) -> None:
    page = sheet.read_text(encoding="utf-8") if kind == "datasheet" else plane_widget(table()).page
    seen = browser.look(page, WIDTH, (1280, 400))
    assert seen.console == []
    assert seen.requests == []
    for width, (wide, letters) in seen.answers.items():
        assert wide <= width
        assert letters > 100


def table() -> pd.DataFrame:
    """Neurons of which some lie on thresholds to the last bit, some have no moments."""
    rng = np.random.default_rng(3)
    skewness = rng.gamma(1.2, 2.0, 400) - 0.3
    kurtosis = skewness**2 + rng.gamma(2.0, 6.0, 400) - 2
    skewness[:3], kurtosis[:3] = 3.51, [22.62, np.nextafter(22.62, 30), 1e-7]
    skewness[3:6], kurtosis[5:8] = np.nan, np.nan
    skewness[8:10] = [np.inf, -np.inf]
    names = [f"n{number}" for number in range(400)]
    lines = np.resize(["Sst-IRES-Cre", "Cux2-CreERT2"], 400)
    return pd.DataFrame({"neuron_id": names, "skewness": skewness, "kurtosis": kurtosis, "cre_line": lines})


STEPS = """
const seen = [], field = (id) => doc.getElementById(id);
const put = (id, value, kind = "input") => {
  field(id).value = value; field(id).dispatchEvent(new win.Event(kind, { bubbles: true }));
};
const note = () => seen.push({ where: field("clause").value, yaml: field("yaml").value, ...field("counts").dataset });
note();
for (const scale of ["log", "lin"]) {
  put("scale-x", scale, "change"); put("scale-y", scale, "change");
  for (const region of ["low", "high", "neither"]) {
    put("region", region, "change");
    for (let step = 0; step <= 1000; step += 125) { put("slide-x", step); put("slide-y", 1000 - step); note(); }
  }
}
put("region", "low", "change");
for (const value of ["3.51", "0.1", "1e-7", "-0.25", "1e300", "3", "0.30000000000000004"]) {
  put("max-x", value); note();
}
put("brush-x0", "-1e-3"); put("brush-x1", "3.51"); put("brush-y0", "22.62"); put("brush-y1", "-2"); note();
const canvas = field("plane"), box = canvas.getBoundingClientRect();
canvas.setPointerCapture = () => {};
const point = (kind, x, y) => canvas.dispatchEvent(
  new win.PointerEvent(kind, { clientX: box.left + x, clientY: box.top + y, pointerId: 1, bubbles: true }));
for (const [x, y] of [[300, 90], [500, 300], [610, 20]]) {
  point("pointerdown", 90, 350); point("pointermove", x, y); point("pointerup", x, y); note();
}
canvas.dispatchEvent(new win.KeyboardEvent("keydown", { key: "Escape" })); note();
return seen;
"""


def test_the_clause_keeps_exactly_the_neurons_that_are_counted(browser: Browser) -> None:
    neurons = table()
    seen = browser.look(plane_widget(neurons).page, STEPS)
    assert seen.console == []
    states = seen.answers[1280]
    assert states[0]["where"] == "skewness <= 3.51 and kurtosis <= 22.62"
    assert len({state["where"] for state in states}) > 40
    brushed = 0
    for state in states:
        shown = json.dumps(state)
        diet = Diet.from_yaml(state["yaml"])
        assert diet.neurons == Diet.where(state["where"]).neurons, shown
        assert len(state["yaml"].splitlines()) == 6, shown
        selected = int(state["selected"])
        if selected:
            assert int(diet.select(neurons).kept.sum()) == selected, shown
        else:
            with pytest.raises(Exception, match="keeps none"):
                diet.select(neurons)
        assert sum(int(state[name]) for name in ("low", "high", "neither", "unknown")) == len(neurons), shown
        brushed += state["where"].count("<=") == 4 and " or " not in state["where"]
    assert brushed == 4
    assert "skewness <= 0.30000000000000004" in {state["where"].split(" and ")[0] for state in states}


def at_once(page: str) -> str:
    """Paint without waiting for a frame, so that a probe sees what is drawn."""
    assert "requestAnimationFrame(" in page
    return page.replace("requestAnimationFrame(", "((paint) => paint())(")


ODD = {
    "small": (np.linspace(0.001, 0.02, 50), np.full(50, 300.0)),
    "depths": (np.resize([175.0, 275.0, 375.0], 50), np.linspace(1000.01, 1000.02, 50)),
    "extreme": (np.resize([-1e308, 0.0, 1e308], 50), np.resize([-1.7976931348623157e308, 1.7976931348623157e308], 50)),
    "tiny": (np.linspace(1e-12, 9e-12, 50), np.linspace(-3e-7, 0, 50)),
    "steps": (np.linspace(1e17, 1e17 + 64, 50), np.linspace(-123456.789, 98765.4321, 50)),
}
ENDS = """
const seen = [], field = (id) => doc.getElementById(id), put = (id, value, kind = "input") => {
  field(id).value = value; field(id).dispatchEvent(new win.Event(kind, { bubbles: true }));
};
for (const scale of ["log", "lin"]) {
  put("scale-x", scale, "change"); put("scale-y", scale, "change");
  put("slide-x", 1000); put("slide-y", 1000);
  seen.push({ ...field("plane").dataset, ...field("counts").dataset, yaml: field("yaml").value });
}
return seen;
"""


@pytest.mark.parametrize("name", ODD)
def test_odd_ranges_have_ticks_and_sliders_that_reach_their_end(name: str, browser: Browser) -> None:
    x, y = ODD[name]
    neurons = pd.DataFrame({"neuron_id": [f"n{number}" for number in range(50)], "skewness": x, "kurtosis": y})
    seen = browser.look(at_once(plane_widget(neurons, max_x=float(x[0]), max_y=float(y[0])).page), ENDS)
    assert seen.console == []
    for state in seen.answers[1280]:
        for axis, values in (("ticks_x", x), ("ticks_y", y)):
            ticks = [float(text) for text in state[axis].split()]
            # Numbers that a logarithm cannot tell apart are drawn within a millionth of themselves.
            span = max(float(values.max()) / 2 - float(values.min()) / 2, 1e-6 * float(np.abs(values).max()))
            span = span if np.ptp(values / 2) else float(values.max()) / 2
            # Fifteen digits tell no two numbers between 1e17 and 1e17 + 64 apart.
            assert len(ticks) == len(set(ticks)) >= (1 if name == "steps" else 2), state
            assert all(values.min() / 2 - span / 2 <= tick / 2 <= values.max() / 2 + span / 2 for tick in ticks)
        assert int(state["selected"]) == 50, state
        assert int(Diet.from_yaml(state["yaml"]).select(neurons).kept.sum()) == 50


def test_the_diet_of_a_store_keeps_what_was_counted(browser: Browser, opened: Store) -> None:
    page = plane_widget(opened, split="blocks-5fold", max_x=1.2, max_y=4.0).page
    note = "return [doc.getElementById('yaml').value, doc.getElementById('counts').dataset.selected];"
    (text, selected) = browser.look(page, note).answers[1280]
    manifest = Diet.from_yaml(text).resolve(opened)
    assert manifest.meta["split"]["spec"]["name"] == "blocks-5fold"
    assert len(manifest.neurons) == int(selected)


COLOURS = """
const canvas = doc.getElementById("plane");
const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data, near = (colour) => {
  let count = 0;
  for (let at = 0; at < pixels.length; at += 4)
    if (pixels[at + 3] > 150 && [0, 1, 2].every((i) => Math.abs(pixels[at + i] - colour[i]) < 5)) count += 1;
  return count;
};
return [near([0, 114, 178]), near([60, 159, 221]), doc.querySelector("#groups i").style.background];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_points_of_the_plane_follow_the_scheme_with_their_key(scheme: str, browser: Browser) -> None:
    page = at_once(plane_widget(table()).page)
    asked = 'const dark = matchMedia("(prefers-color-scheme: dark)");'
    assert asked in page
    told = f"const dark = {{ matches: {str(scheme == 'dark').lower()}, addEventListener() {{}} }};"
    light, dark, key = browser.look(page.replace(asked, told), COLOURS).answers[1280]
    assert (light > 50, dark > 50) == (scheme == "light", scheme == "dark")
    assert key == ("rgb(0, 114, 178)" if scheme == "light" else "rgb(60, 159, 221)")
