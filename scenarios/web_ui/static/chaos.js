// The Chaos page: polls the state every second, shows it, and sends changes.
import { LINKS, PARTS, Picture, describe, split, text, traffic } from "./picture.js";

const POLL_MS = 1000;
const SIGN = { PASS: "✓", FAIL: "✕", INVALID: "?" };
const MEANS = {
  PASS: "every claim held",
  FAIL: "a claim did not hold",
  INVALID: "it proves nothing: the table has the reasons",
};
const $ = (id) => document.getElementById(id);
const token = document.querySelector("meta[name=linkstorm-token]").content;

let state = null;
let chosen = "link:replica";
let shownExperiments = "";
let shownFaults = "";
let shownServers = "";
let promoted = "";

// --- requests ---

async function ask(path, said) {
  const how = said === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Linkstorm-Token": token },
    body: JSON.stringify(said),
  };
  let answer;
  try {
    answer = await fetch(path, how);
  } catch {
    throw new Error("Locust does not answer any more. Is the lab still up?");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error || `The lab answered ${answer.status}.`);
  return told;
}

async function act(button, path, said = {}) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    const told = await ask(path, said);
    trouble("");
    return told;
  } catch (error) {
    trouble(error.message);
    return {};
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
    await look();
  }
}

async function look() {
  try {
    state = await ask("/chaos/state");
    $("offline").hidden = true;
  } catch (error) {
    text($("offline"), sentence(error.message));
    $("offline").hidden = false;
  }
  if (state) show();
}

function trouble(words) {
  text($("trouble").firstElementChild, sentence(words));
  $("trouble").hidden = !words;
}

const sentence = (words) => {
  const first = words.charAt(0).toUpperCase() + words.slice(1);
  return !first || /[.!?]$/.test(first) ? first : `${first}.`;
};

// --- showing ---

function show() {
  showSummary();
  showTarget();
  showFaults();
  showServers();
  showExperiments();
  showRun();
  showPages();
  picture.show(state, chosen);
}

function showSummary() {
  const parts = Object.values(state.parts);
  const up = parts.filter((each) => each === "up").length;
  text($("summary-stack"), `${up} of ${parts.length} up`);
  text($("summary-faults"), state.faults.length ? String(state.faults.length) : "none");
  text($("summary-traffic"), traffic(state.traffic));
}

function running() {
  return state.run && state.run.state === "running" ? state.run : null;
}

function showTarget() {
  fillTargets();
  const [kind, name] = split(chosen);
  const now = describe(kind, (kind === "part" ? state.parts : state.links)[name]);
  const fault = faultOn(kind, name);
  const busy = running();
  $("target").value = chosen;
  text($("about"), kind === "part" ? (PARTS[name] || { about: "" }).about : LINKS[name] || "");
  text($("condition"), `Now: ${now.words}`);
  $("condition").className = `condition ${now.look}`;
  $("breaks-link").hidden = kind !== "link" || fault;
  $("breaks-part").hidden = kind !== "part" || fault;
  $("heals").hidden = !fault;
  text($("heals-hint"), fault ? `Undoes: ${fault.name}.` : "");
  $("heal-target").dataset.fault = fault ? fault.id : "";
  $("held").hidden = !busy;
  text($("held"), busy ? `${busy.experiment} is running and has the stack for itself. You can break things again after it.` : "");
  for (const button of $("breaker").querySelectorAll("button")) {
    if (!button.hasAttribute("aria-busy")) button.disabled = Boolean(busy);
  }
}

function fillTargets() {
  const select = $("target");
  if (select.options.length) return;
  for (const [label, kind, names] of [
    ["Links", "link", Object.keys(state.links)], ["Parts", "part", Object.keys(state.parts)],
  ]) {
    const group = document.createElement("optgroup");
    group.label = label;
    for (const name of names) group.append(new Option(`${name} ${kind === "link" ? "link" : ""}`.trim(), `${kind}:${name}`));
    select.append(group);
  }
}

function faultOn(kind, name) {
  const onLinks = ["slow", "cut"];
  return state.faults.find((fault) => fault.id !== null && fault.target === name
    && onLinks.includes(fault.kind) === (kind === "link"));
}

function showFaults() {
  const stray = strays();
  $("heal-all").hidden = !(state.faults.length || stray.length);
  if (!$("heal-all").hasAttribute("aria-busy")) $("heal-all").disabled = Boolean(running());
  const key = JSON.stringify([state.faults, stray]);
  if (key !== shownFaults) {
    shownFaults = key;
    const items = state.faults.map(faultItem);
    for (const words of stray) items.push(item(words, "not from this page"));
    if (!items.length) items.push(item("Nothing is broken.", ""));
    $("faults").replaceChildren(...items);
  }
  for (const since of $("faults").querySelectorAll("[data-since]")) {
    text(since, ago(since.dataset.since));
  }
}

function faultItem(fault) {
  const line = item(fault.name, "");
  line.querySelector("small").dataset.since = fault.since;
  if (fault.id !== null) {
    const heal = document.createElement("button");
    heal.type = "button";
    heal.className = "outlined";
    heal.textContent = "Heal";
    heal.setAttribute("aria-label", `Heal ${fault.name}`);
    heal.addEventListener("click", () => act(heal, `/chaos/faults/${fault.id}/heal`));
    line.append(heal);
  }
  return line;
}

function item(words, small) {
  const line = document.createElement("li");
  const name = document.createElement("span");
  name.textContent = words;
  const more = document.createElement("small");
  more.textContent = small;
  line.append(name, more);
  return line;
}

// Broken parts and links without a fault of this page.
function strays() {
  const toxiproxy = state.parts.toxiproxy === "up";
  const all = [
    ...Object.entries(state.parts).map(([name, now]) => ["part", name, now]),
    ...Object.entries(toxiproxy ? state.links : {}).map(([name, now]) => ["link", name, now]),
  ];
  return running() ? [] : all
    .filter(([kind, name, now]) => describe(kind, now).look !== "up" && !faultOn(kind, name))
    .map(([kind, name, now]) => `${name}${kind === "link" ? " link" : ""}: ${describe(kind, now).words}`);
}

function showServers() {
  const key = JSON.stringify([state.roles, state.parts]);
  if (key !== shownServers) {
    shownServers = key;
    $("servers").replaceChildren(...Object.keys(state.parts).filter(isServer).map(serverItem));
  }
  const moving = state.promoting || $("promote").hasAttribute("aria-busy");
  const words = moving ? "The replica is being promoted." : promoted;
  text($("promotion"), words);
  $("promotion").hidden = !words;
  if (!$("promote").hasAttribute("aria-busy")) $("promote").disabled = Boolean(running() || moving);
}

const isServer = (name) => name.startsWith("postgres-");

function serverItem(name) {
  const has = Object.keys(state.roles).find((role) => state.roles[role] === name);
  return item(name, `${has || "no role"}, ${describe("part", state.parts[name]).words}`);
}

async function promote() {
  promoted = "";
  const { steps = [] } = await act($("promote"), "/chaos/promote");
  promoted = steps.map(sentence).join(" ");
  show();
}

function ago(since) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(since)) / 1000));
  const long = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  return `for ${long}, since ${new Date(since).toLocaleTimeString()}`;
}

function showExperiments() {
  const key = JSON.stringify(state.experiments);
  if (key !== shownExperiments) {
    shownExperiments = key;
    $("experiments").replaceChildren(...state.experiments.map(experimentItem));
  }
  const busy = running();
  const loud = ["running", "spawning", "stopping"].includes(state.traffic.state);
  const why = busy ? "" : loud
    ? "Locust's own traffic is running and would distort the measurement. Stop it under Traffic first."
    : state.faults.length ? "A run starts on a healthy stack: heal what is broken first." : "";
  text($("blocked"), why);
  $("blocked").hidden = !why;
  for (const button of $("experiments").querySelectorAll("button")) {
    if (!button.hasAttribute("aria-busy")) button.disabled = Boolean(busy || why);
  }
}

function experimentItem(experiment) {
  const line = document.createElement("li");
  const form = document.createElement("form");
  const words = document.createElement("div");
  const name = document.createElement("h3");
  name.textContent = experiment.name;
  const question = document.createElement("p");
  question.textContent = experiment.question;
  words.append(name, question);

  const fixes = experiment.arms.filter((arm) => !arm.naive);
  const arms = choice("Fixes", [["", `all ${fixes.length}`], ...fixes.map((arm) => [arm.name, arm.name])]);
  const length = choice("Length", [
    ["quick", `quick, ${atMost(experiment.about_s.quick)}`],
    ["full", `full, ${atMost(experiment.about_s.full)}`],
  ]);
  const start = document.createElement("button");
  start.type = "submit";
  start.className = "good";
  start.textContent = "Start";
  start.setAttribute("aria-label", `Start ${experiment.name}`);
  form.append(words, arms, length, start);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosenArm = arms.querySelector("select").value;
    act(start, "/chaos/runs", {
      experiment: experiment.name,
      full: length.querySelector("select").value === "full",
      arms: chosenArm ? [chosenArm] : [],
    });
  });
  line.append(form);
  return line;
}

function choice(label, options) {
  const field = document.createElement("label");
  field.className = "field";
  field.append(label);
  const select = document.createElement("select");
  for (const [value, words] of options) select.append(new Option(words, value));
  field.append(select);
  return field;
}

const atMost = (seconds) => (seconds < 100
  ? `max ${Math.ceil(seconds / 10) * 10} s` : `max ${Math.ceil(seconds / 60)} min`);

function showRun() {
  const run = state.run;
  $("run").hidden = !run;
  if (!run) return;
  const on = run.state === "running";
  text($("run-name"), `${on ? "Running" : "Last run"}: ${run.experiment}`);
  $("run").setAttribute("aria-busy", String(on));
  text($("run-what"), on ? run.what : sentence(run.verdict ? MEANS[run.verdict] : run.what));
  $("run-progress").hidden = !on;
  $("run-progress").max = run.steps || 1;
  if (run.steps) $("run-progress").value = run.done;
  else $("run-progress").removeAttribute("value");
  $("stop-run").hidden = !on || run.by !== "control";
  $("verdict").hidden = !run.verdict;
  text($("verdict"), run.verdict ? `${SIGN[run.verdict] || ""} ${run.verdict}` : "");
  $("verdict").className = `verdict ${run.verdict || ""}`;
  $("run-note").hidden = !on;
  text($("run-note"), run.by !== "control" ? "It was started elsewhere: stop it there."
    : state.runtime === "embedded" ? "It runs on a second stack; the picture above shows yours." : "");
  $("run-table").hidden = !run.table;
  text($("run-table"), run.table);
  $("run-report").hidden = !run.report;
  $("run-report").href = `/chaos/runs/${encodeURIComponent(run.id)}/report`;
}

function showPages() {
  for (const name of ["grafana", "prometheus"]) {
    const line = $(`watch-${name}`);
    line.hidden = !state[name];
    if (state[name]) line.querySelector("a").href = state[name];
  }
  $("watch-none").hidden = Boolean(state.grafana || state.prometheus);
}

// --- actions ---

function choose(key) {
  chosen = key;
  if (!state) return;
  show();
  const panel = $("breaker").getBoundingClientRect();
  if (panel.top > innerHeight - 120) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    $("breaker").scrollIntoView({ behavior: still ? "auto" : "smooth", block: "nearest" });
  }
}

const picture = new Picture($("picture"), choose);

$("target").addEventListener("change", () => choose($("target").value));
$("breaker").addEventListener("submit", (event) => {
  event.preventDefault();
  const { kind } = (event.submitter || { dataset: {} }).dataset;
  if (!kind) return;
  const [, target] = split(chosen);
  const said = { kind, target };
  if (kind === "slow") said.latency_ms = Number($("latency").value);
  act(event.submitter, "/chaos/faults", said);
});
$("heal-target").addEventListener("click", () => act($("heal-target"), `/chaos/faults/${$("heal-target").dataset.fault}/heal`));
$("heal-all").addEventListener("click", () => act($("heal-all"), "/chaos/heal"));
$("promote").addEventListener("click", promote);
$("stop-run").addEventListener("click", () => act($("stop-run"), "/chaos/runs/current/stop"));
$("trouble").lastElementChild.addEventListener("click", () => trouble(""));
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = localStorage.theme = root.dataset.theme === "dark" ? "light" : "dark";
});

async function watch() {
  if (!document.hidden) await look();
  setTimeout(watch, POLL_MS);
}
document.addEventListener("visibilitychange", () => document.hidden || look());
watch();
