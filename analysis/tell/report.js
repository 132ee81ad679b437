"use strict";
// The page's behaviour: draws the pictures in the page's colours, switches models, speed measures and scale, sorts tables.

const FONT = "system-ui, sans-serif";
const OPTIONS = {
  responsive: true, displaylogo: false,
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
};

function colours() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  return { ink: get("--ink"), soft: get("--soft"), grid: get("--grid"), panel: get("--panel"), line: get("--line") };
}

function themed(layout) {
  const { ink, soft, grid, panel, line } = colours();
  const axis = { gridcolor: grid, linecolor: line, zeroline: false, automargin: true };
  const out = {
    ...layout,
    showlegend: false, hovermode: "closest", autosize: true, margin: { l: 56, r: 16, t: 36, b: 48 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: FONT, size: 13 },
    hoverlabel: { bgcolor: panel, bordercolor: line, font: { color: ink, family: FONT }, align: "left" },
  };
  for (const name of ["xaxis", "yaxis", "yaxis2"]) {
    if (name !== "yaxis2" || layout.yaxis2) out[name] = { ...axis, ...(layout[name] || {}) };
  }
  return out;
}

// The points that no other visible one beats, best x first. They are joined by steps: whoever needs an x between two
// points can only take the faster, or cheaper, one.
function front(traces, gain) {
  const points = [];
  for (const trace of traces) {
    if (trace.meta !== "choice" || trace.visible === false) continue;
    trace.x.forEach((x, i) => { if (x !== null && trace.y[i] !== null) points.push([x, trace.y[i]]); });
  }
  points.sort((a, b) => (gain ? b[0] - a[0] : a[0] - b[0]) || b[1] - a[1]);
  const best = [];
  for (const point of points) if (!best.length || point[1] > best[best.length - 1][1]) best.push(point);
  return { x: best.map((p) => p[0]), y: best.map((p) => p[1]) };
}

function labelled(text, control, swatch) {
  const label = document.createElement("label");
  if (control.type !== "select-one") label.append(control);
  if (swatch) {
    const patch = document.createElement("i");
    patch.style.background = swatch;
    label.append(patch);
  }
  label.append(text);
  if (control.type === "select-one") label.append(control);
  return label;
}

function checkbox(checked, changed) {
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = checked;
  box.addEventListener("change", changed);
  return box;
}

// Of disturbed timings; none where there are none.
function whiskers(array) {
  return { type: "data", array, visible: array.some((half) => half !== null), thickness: 0.8, width: 3 };
}

// Labels on a scale in ratios, the finest first: their digits, and how many powers of ten are from one to the next.
const LABELS = [
  [[1, 1.1, 1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9], 1],
  [[1, 1.5, 2, 3, 4, 5, 7], 1], [[1, 2, 3, 5], 1], [[1, 2, 5], 1], [[1, 3], 1], [[1], 1], [[1], 2], [[1], 3],
];
const CHARACTER = 8, SPACE = 16;  // pixels

// Labels written in full ("20,000", where Plotly writes a small "2"), as many as do not touch; low, high: powers of ten.
function ticks([low, high], pixels) {
  const powers = Array.from({ length: Math.floor(high) - Math.floor(low) + 1 }, (_, i) => Math.floor(low) + i);
  const choices = LABELS.map(([digits, step]) => {
    const tickvals = powers.filter((power) => power % step === 0)
      .flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`)))
      .filter((value) => low <= Math.log10(value) && Math.log10(value) <= high);
    const ticktext = tickvals.map((value) => value.toLocaleString("en", { maximumSignificantDigits: 2 }));
    return { tickmode: "array", tickvals, ticktext };
  });
  const fit = ({ tickvals, ticktext }) => tickvals.slice(1).every((value, i) => {
    const needed = CHARACTER * (ticktext[i].length + ticktext[i + 1].length) / 2 + SPACE;
    return Math.log10(value / tickvals[i]) * pixels > needed * (high - low);
  });
  return choices.find(fit) ?? choices.at(-1);
}

// After each drawing, zoom and change of width; a second call finds nothing to change.
function relabel(plot) {
  const { type, range, tickvals } = plot.layout.xaxis;
  if (type !== "log") return;
  const wanted = ticks(range, plot.querySelector(".nsewdrag").getBoundingClientRect().width);
  if (String(wanted.tickvals) !== String(tickvals)) {
    Plotly.relayout(plot, Object.fromEntries(Object.entries(wanted).map(([key, value]) => [`xaxis.${key}`, value])));
  }
}

function setUp(figure) {
  const { data, layout, measures } = JSON.parse(figure.querySelector("script").textContent);
  const plot = figure.querySelector(".plot");
  const controls = figure.querySelector(".controls");
  const hidden = new Set();
  const swatches = new Map();
  for (const trace of data) {
    const own = trace.marker?.color || trace.line?.color;
    if (trace.legendgroup && own && !swatches.has(trace.legendgroup)) swatches.set(trace.legendgroup, own);
  }
  let measure = 0;
  let log = true;

  function draw() {
    const page = { ...layout };
    const traces = data.map((trace, i) => ({
      ...trace,
      visible: !hidden.has(trace.legendgroup),
      ...(measures ? { x: measures[measure].x[i], error_x: whiskers(measures[measure].whiskers[i]) } : {}),
    }));
    if (measures) {
      const { label, gain } = measures[measure];
      traces.push({
        name: "front", mode: "lines", hoverinfo: "skip", ...front(traces, gain),
        line: { shape: "hv", color: colours().ink, width: 1.5, dash: "dot" },
      });
      page.xaxis = { title: { text: `${label}${log ? " (log scale)" : ""}` }, type: log ? "log" : "linear" };
    }
    return Plotly.react(plot, traces, themed(page), OPTIONS);
  }

  if (measures) {
    const choice = document.createElement("select");
    measures.forEach(({ label }, i) => choice.append(new Option(label, i)));
    choice.addEventListener("change", () => { measure = Number(choice.value); draw(); });
    controls.append(labelled("speed measure", choice));
    const scale = checkbox(true, () => { log = scale.checked; draw(); });
    controls.append(labelled("log axis", scale));
  }
  if (swatches.size > 1) {
    for (const [name, colour] of swatches) {
      const box = checkbox(true, () => { box.checked ? hidden.delete(name) : hidden.add(name); draw(); });
      controls.append(labelled(name, box, colour));
    }
  } else {
    for (const [name, colour] of swatches) controls.append(labelled(name, "", colour));
  }
  draw().then(() => { plot.on("plotly_afterplot", () => relabel(plot)); relabel(plot); });
  return draw;
}

function sortable(table) {
  const heads = [...table.querySelectorAll("th")];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => {
        const cell = row.cells[column];
        return cell.dataset.sort === undefined ? cell.textContent : cell.dataset.sort === "" ? NaN : Number(cell.dataset.sort);
      };
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);  // unknown values stay last
        const order = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
        return up ? order : -order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}

const redraws = [...document.querySelectorAll("figure:has(.plot)")].map(setUp);
const redraw = () => redraws.forEach((draw) => draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
matchMedia("print").addEventListener("change", redraw);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
document.querySelectorAll("table").forEach(sortable);
