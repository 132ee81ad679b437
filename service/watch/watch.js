// The live head, and the report's parts exchanged where they changed. Texts are set as text, never as HTML.

const POLL_MS = 2000;
const at = (id) => document.getElementById(id);
let shown = 0;  // version of the report on the page; 0: the one that the page came with
let failures = "";

function element(name, text, ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}

function bar(value, max, label) {
  const made = document.createElement("progress");
  made.max = max || 1;
  made.value = value;
  made.setAttribute("aria-label", label);
  return made;
}

function showHead(state) {
  const changed = (id, text) => { if (at(id).textContent !== text) at(id).textContent = text; };
  changed("live-state", state.problem || state.summary);
  at("live-stop").hidden = state.state !== "running";
  at("live-progress").hidden = state.state !== "running";
  if (state.problem) return;
  at("live-progress").max = state.total || 1;
  at("live-progress").value = state.done;
  changed("live-counts", [state.counts, state.best && `best so far: ${state.best}`].filter(Boolean).join("; "));
  const alive = state.state === "running" ? state.running : [];
  at("live-running").replaceChildren(...alive.map((trial) => element(
    "li", "", element("span", trial.trial), element("span", [`epoch ${trial.epoch} of ${trial.epochs}`, trial.quality].filter(Boolean).join(", ")),
    bar(trial.epoch, trial.epochs, trial.trial),
  )));
  if (failures === JSON.stringify(state.failed)) return;
  failures = JSON.stringify(state.failed);
  const open = new Set([...document.querySelectorAll("#live-failed details[open]")].map((each) => each.dataset.trial));
  at("live-failed").replaceChildren(...state.failed.map((trial) => {
    const made = element("details", "", element("summary", `${trial.trial} failed: ${trial.error}`), element("pre", trial.traceback || "no traceback recorded"));
    made.dataset.trial = trial.trial;
    made.open = open.has(trial.trial);
    return made;
  }));
}

const parts = (root) => [...root.querySelectorAll("header, main > *")];
let sources = new Map();  // part -> its HTML as the server sent it, before scripts drew in it

function key(part, index) { return part.id || `${part.tagName}${index}`; }

async function showReport(version) {
  const answer = await fetch("report");
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const old = new Map(parts(document).map((part, i) => [key(part, i), part]));
  const coming = parts(fresh).map((part, i) => [key(part, i), part]);
  const html = new Map(coming.map(([name, part]) => [name, part.outerHTML]));
  const main = document.querySelector("main");
  let previous = null;
  for (const [name, part] of coming) {
    let here = old.get(name);
    if (!here || sources.get(name) !== html.get(name)) {
      const made = document.importNode(part, true);
      if (here) here.replaceWith(made);
      else if (previous && previous.parentNode === main) previous.after(made);
      else main.prepend(made);
      if (typeof setUp === "function") {
        redraws.push(...[...made.querySelectorAll("figure")].map(setUp));
        made.querySelectorAll("table").forEach(sortable);
      }
      here = made;
    }
    previous = here;
  }
  for (const [name, part] of old) if (!html.has(name)) part.remove();
  sources = html;
  shown = version;
}

async function poll() {
  let wait = POLL_MS;
  try {
    const answer = await fetch("progress");
    if (!answer.ok) throw new Error(answer.status);
    const state = await answer.json();
    showHead(state);
    if (state.report > shown) await showReport(state.report);
    if (state.state && state.state !== "running") wait = 5 * POLL_MS;
  } catch {
    at("live-state").textContent = "This page's server has ended; what stands here is its last word.";
    at("live-stop").hidden = true;
  }
  setTimeout(poll, wait);
}

at("live-stop").addEventListener("click", async () => {
  if (!confirm("Stop the study? Nothing is lost; --resume continues it.")) return;
  at("live-stop").disabled = true;
  const answer = await fetch("stop", { method: "POST", headers: { "X-Watch": SECRET } });
  if (!answer.ok) alert(await answer.text());
  at("live-stop").disabled = false;
});
poll();
