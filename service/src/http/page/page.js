"use strict";
// The page of the service. What it shows is asked of the HTTP interface with the token of this tab; nothing that
// came from there is ever made markup.

const ROOT = document.documentElement.dataset.root;
const EVERY_MS = 2000;
const EDGES_EVERY = 3;  // looks at the job, for one at its tables
const EVENTS_SHOWN = 50;
const TABLES_SHOWN = 100;
const SVG = "http://www.w3.org/2000/svg";
const END = ["SAVEPOINT_DONE", "CANCELED", "FAILED", "FINISHED"];
const TAKES = { live: "rows as they come", catching_up: "what it lacks", held: "nothing: it failed, and is tried again" };
const LOOKS = { RUNNING: "good", FINISHED: "good", STALLED: "warn", DEGRADED: "warn", FAILED: "bad" };

const $ = (id) => document.getElementById(id);
let view = null;      // what is shown: {name, id, tick}
let before = new Map(); // figures of the last look, by job: {at, read, written, rate, out}
let timer = 0;
let looking = null;   // the look whose answers are awaited; those of an earlier one are older, and not shown
let passing = new Map(); // how many tables leave a vertex, as told last
let changes = false;  // whether the token allows to

class Refused extends Error {}

async function ask(path, method = "GET") {
  const token = sessionStorage.getItem("token");
  const answer = await fetch(ROOT + path, { method, headers: token ? { Authorization: "Bearer " + token } : {} });
  if (answer.status === 401) {
    sessionStorage.removeItem("token");
    throw new Refused(token ? "The token is not known." : "");
  }
  if (answer.status === 204) return null;
  const body = await answer.json();
  if (!answer.ok && body.error) throw new Error(body.error.hint ? `${body.error.message}: ${body.error.hint}` : body.error.message);
  return body;
}

function tell(text, failed = false) {
  const notice = $("notice");
  if (notice.textContent !== text) notice.textContent = text;
  notice.classList.toggle("failed", failed);
}

const counted = (n) => n.toLocaleString("en");
const perSecond = (n) => (n >= 100 ? counted(Math.round(n)) : n.toFixed(1));
const lasting = (ms) => (ms < 1000 ? `${ms} ms` : ms < 120000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60000)} min`);
const when = (ms) => (ms ? new Date(ms).toISOString().replace("T", " ").slice(0, 19) + "Z" : "");

/// Rows per second since the look before.
function rates(job) {
  const now = performance.now();
  const { rows_read: read, rows_written: written } = job.figures;
  const last = before.get(job.id);
  if (last && last.started === job.started_ms && now - last.at < 500) return last;
  const seconds = last && last.started === job.started_ms ? (now - last.at) / 1000 : 0;
  const rate = (from, to) => (seconds > 0 ? Math.max(0, to - from) / seconds : 0);
  const next = {
    at: now, started: job.started_ms, read, written,
    rate: last ? rate(last.read, read) : 0, out: last ? rate(last.written, written) : 0,
  };
  before.set(job.id, next);
  return next;
}

function show(name, tick, id) {
  const main = $("main");
  main.replaceChildren($("view-" + name).content.cloneNode(true));
  view = { name, tick, id };
  document.title = name === "job" ? `Job ${id} · Culvert` : "Culvert";
  main.querySelector("h2").focus({ preventScroll: true });
}

/// Draws a box anew. The focus stays on what is there again, or goes to the view's title: it is never lost.
function redraw(box, draw) {
  const had = box.contains(document.activeElement);
  const at = document.activeElement?.dataset.at;
  box.replaceChildren();
  draw();
  if (!had) return;
  const again = [...box.querySelectorAll("[data-at]")].find((it) => it.dataset.at === at);
  (again ?? $("main").querySelector("h2")).focus({ preventScroll: true });
}

function stateOf(element, job) {
  element.textContent = job.status;
  element.className = "state " + (LOOKS[job.status] || "");
}

function cell(row, text, kind) {
  const made = row.insertCell();
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function tickJobs(isLate) {
  const { jobs } = await ask("/api/v1/jobs");
  if (isLate()) return;
  const wanted = $("filter").value.trim().toLowerCase();
  const shown = jobs.filter((job) => !wanted || job.name.toLowerCase().includes(wanted) || job.status.toLowerCase().includes(wanted));
  redraw($("jobs"), () => shown.forEach(listed));
  $("no-jobs").hidden = jobs.length > 0;
}

function listed(job) {
  const row = $("jobs").insertRow();
  const name = document.createElement("th");
  name.scope = "row";
  const link = document.createElement("a");
  link.href = "#/jobs/" + job.id;
  link.textContent = job.name;
  link.dataset.at = job.id;
  name.append(link);
  row.append(name);
  const state = document.createElement("span");
  stateOf(state, job);
  row.insertCell().append(state);
  const over = END.includes(job.status);
  // One look tells no rate.
  const known = before.has(job.id);
  const { rate } = rates(job);
  cell(row, over ? "" : known ? perSecond(rate) : "…", "number");
  cell(row, counted(job.figures.rows_committed), "number");
  cell(row, over ? "" : lasting(job.figures.lag_ms), "number");
  cell(row, when(job.started_ms), "moment");
  cell(row, job.reason || "", "reason");
}

const ACTIONS = [
  { word: "Pause", path: "pause", runs: true, text: "The job finishes its checkpoint and stops. Restore lets it go on from there." },
  { word: "Savepoint", path: "savepoint", runs: true, text: "The job finishes its checkpoint and stops. It can be restored from there." },
  { word: "Cancel", path: "cancel", runs: true, danger: true, text: "The job stops, behind a checkpoint if that takes no longer than ten seconds. Its restart point is kept." },
  { word: "Restore", path: "restore", runs: false, text: "The job starts again from its restart point." },
  { word: "Forget", path: null, runs: false, danger: true, text: "The job's log and its restart point are removed. This cannot be undone." },
];

function sure(title, text, word) {
  const dialog = $("sure");
  $("sure-title").textContent = title;
  $("sure-text").textContent = text;
  $("sure-yes").textContent = word;
  dialog.showModal();
  // Of this question alone: the event of a dialog that was closed can come when the next question is already open.
  return new Promise((decided) => (dialog.querySelector("form").onsubmit = (event) => decided(event.submitter.value === "yes")));
}

async function act(job, action) {
  if (!(await sure(`${action.word} job ${job.name}?`, action.text, action.word))) return;
  try {
    tell(`${action.word}: ${job.name} …`);
    if (action.path) await ask(`/api/v1/jobs/${job.id}/${action.path}`, "POST");
    else await ask(`/api/v1/jobs/${job.id}`, "DELETE");
    tell(`${action.word}: ${job.name}, done.`);
    // There is no such job any more to look at.
    if (!action.path) return void (location.hash = "#/");
  } catch (error) {
    failed(error);
  }
  tick();
}

function actions(job) {
  const over = END.includes(job.status);
  const box = $("actions");
  const key = `${job.id} ${over} ${changes}`;
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  redraw(box, () => {
    if (!changes) return;
    for (const action of ACTIONS.filter((action) => action.runs !== over)) {
      const button = made("button", action.word, box);
      button.type = "button";
      button.dataset.at = action.word;
      if (action.danger) button.className = "danger";
      button.addEventListener("click", () => act(job, action));
    }
  });
}

function drawn(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/// Sources on the left, sinks on the right, each vertex behind everything it reads from.
function graph(job, { rate, out }) {
  const svg = $("graph");
  const column = new Map();
  for (const vertex of job.graph) column.set(vertex.id, 1 + Math.max(-1, ...vertex.inputs.map((id) => column.get(id) ?? -1)));
  const last = Math.max(0, ...column.values());
  for (const vertex of job.graph) if (vertex.role === "sink") column.set(vertex.id, last);
  const [width, height, across, down] = [190, 62, 90, 22];
  const used = [];
  const place = new Map();
  for (const vertex of job.graph) {
    const at = column.get(vertex.id);
    used[at] = (used[at] ?? -1) + 1;
    place.set(vertex.id, { x: 4 + at * (width + across), y: 4 + used[at] * (height + down) });
  }
  const rows = Math.max(0, ...used.filter((n) => n !== undefined));
  svg.replaceChildren();
  svg.setAttribute("width", 8 + last * (width + across) + width);
  svg.setAttribute("height", 8 + rows * (height + down) + height);
  const named = (id) => job.graph.find((other) => other.id === id)?.plugin;
  const told = job.graph.map((vertex) => `${vertex.role} ${vertex.plugin}` + (vertex.inputs.length ? ` reads from ${vertex.inputs.map(named).join(", ")}` : ""));
  svg.append(drawn("title", {}, told.join("; ")));
  for (const vertex of job.graph) {
    const to = place.get(vertex.id);
    for (const id of vertex.inputs) {
      const from = place.get(id);
      const [x, y, u, v] = [from.x + width, from.y + height / 2, to.x, to.y + height / 2];
      // Down in the gap behind the first vertex, then straight on: nothing stands in that row in between.
      svg.append(drawn("path", { d: `M${x} ${y}C${x + across / 2} ${y} ${x + across / 2} ${v} ${x + across} ${v}H${u}` }));
    }
  }
  const read = new Set(job.graph.flatMap((vertex) => vertex.inputs));
  for (const vertex of job.graph) {
    const { x, y } = place.get(vertex.id);
    const count = passing.get(`${job.id} ${vertex.id}`);
    if (count !== undefined && read.has(vertex.id))
      svg.append(drawn("text", { x: x + width + across / 2, y: y + height / 2 - 6, "text-anchor": "middle", class: "role" }, tablesOf(count)));
    svg.append(drawn("rect", { x, y, width, height, rx: 6 }));
    svg.append(drawn("text", { x: x + 12, y: y + 18, class: "role" }, vertex.role));
    svg.append(drawn("text", { x: x + 12, y: y + 37 }, vertex.plugin));
    // The figures are the job's: with several sources or sinks they are nobody's own.
    const alone = job.graph.filter((other) => other.role === vertex.role).length === 1;
    const figure = { source: `${perSecond(rate)} rows/s read`, sink: `${perSecond(out)} rows/s written` }[vertex.role];
    const shown = (alone && figure) || "";
    svg.append(drawn("text", { x: x + 12, y: y + 54, class: "rate" }, END.includes(job.status) ? "" : shown));
  }
}

function figures(job) {
  const f = job.figures;
  const pairs = [
    ["Number", job.id], ["Mode", job.mode], ["Delivery", job.delivery], ["Rows read", counted(f.rows_read)],
    ["Rows read per second", END.includes(job.status) ? "" : perSecond(rates(job).rate)],
    ["Rows written", counted(f.rows_written)], ["Rows written per second", END.includes(job.status) ? "" : perSecond(rates(job).out)], ["Rows committed", counted(f.rows_committed)], ["Bytes taken in", counted(f.bytes_read)],
    ["Lag at the last transaction", lasting(f.lag_ms)], ["Checkpoints", counted(f.checkpoints)], ["Attempts after failures", counted(f.restarts)],
    ["Position of the last checkpoint", f.position || "none yet"], ["Started", when(job.started_ms)], ["Ended", when(job.ended_ms)],
    ["Restored", job.restored ? "yes, from an earlier restart point" : "no"], ["Asked for by", job.asked_by], ["From the file", job.file || ""],
  ];
  const list = $("figures");
  list.replaceChildren();
  for (const [name, value] of pairs) {
    if (value === "") continue;
    const [term, told] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, told.textContent] = [name, value];
    const pair = document.createElement("div");
    pair.append(term, told);
    list.append(pair);
  }
}

/// What is complete, and how far every sink is.
function sinks({ last_checkpoint: last, sinks: all }) {
  $("checkpoint").textContent = last
    ? `Checkpoint ${counted(last.id)} was complete ${lasting(last.ago_ms)} ago. It took ${lasting(last.took_ms)} and holds ${counted(last.bytes)} bytes of the source's state.`
    : all.length ? "None is complete since the job was started." : "The job does not run.";
  $("sinks-box").hidden = all.length === 0;
  const body = $("sinks");
  body.replaceChildren();
  for (const sink of all) {
    const row = body.insertRow();
    const name = document.createElement("th");
    name.scope = "row";
    name.textContent = sink.sink;
    row.append(name);
    cell(row, sink.committed === null ? "not known yet" : counted(sink.committed), "number");
    cell(row, counted(sink.behind), "number");
    cell(row, TAKES[sink.state] ?? sink.state);
  }
}

function made(name, text, parent) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  parent.append(element);
  return element;
}

const tablesOf = (n) => `${counted(n)} ${n === 1 ? "table" : "tables"}`;

/// The tables that pass each edge of the graph: made anew when they change, so that what is open stays so.
function edges(job, vertices) {
  const box = $("edges");
  const text = JSON.stringify(vertices);
  if (box.dataset.told === text) return;
  box.dataset.told = text;
  passing = new Map(vertices.filter((one) => one.tables).map((one) => [`${job.id} ${one.vertex}`, one.tables.length + one.left_out]));
  const open = new Set([...box.querySelectorAll("details[open]")].map((edge) => edge.dataset.edge));
  const named = new Map(job.graph.map((vertex) => [vertex.id, vertex.plugin]));
  const behind = new Map(vertices.map((one) => [one.vertex, one]));
  redraw(box, () => {
    for (const vertex of job.graph) for (const input of vertex.inputs) {
      const { tables, left_out: more, error } = behind.get(input) ?? {};
      if (!tables && !error) continue;
      const edge = made("details", "", box);
      edge.dataset.edge = `${input} ${vertex.id}`;
      edge.open = open.has(edge.dataset.edge);
      const count = tables ? tablesOf(tables.length + more) : "tables that cannot be told";
      made("summary", `${named.get(input)} → ${named.get(vertex.id)}: ${count}`, edge).dataset.at = edge.dataset.edge;
      if (error) made("p", error, edge);
      for (const table of tables ?? []) schema(table, edge);
      if (more) made("p", `and ${tablesOf(more)} more`, edge);
    }
  });
}

function schema(table, parent) {
  const box = made("div", "", parent);
  box.className = "wide";
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", `Columns of ${table.name}`);
  box.dataset.at = `${parent.dataset.edge} ${table.name}`;
  const shown = made("table", "", box);
  made("caption", `${table.name}, ${table.key.length ? "key " + table.key.join(", ") : "no key"}, rows ${table.kinds.join(" ")}`, shown);
  const head = shown.createTHead().insertRow();
  for (const title of ["Column", "Type", "As declared", "NULL"]) made("th", title, head).scope = "col";
  const body = shown.createTBody();
  for (const column of table.columns) {
    const row = body.insertRow();
    made("th", column.name, row).scope = "row";
    cell(row, column.type);
    cell(row, column.declared ?? "");
    cell(row, column.nullable ? "may be" : "never");
  }
}

/// What happened, the newest first.
function events(list) {
  const body = $("events");
  const newest = String(list[0]?.sequence ?? "");
  $("events-box").hidden = list.length === 0;
  if (body.dataset.newest === newest) return;
  body.dataset.newest = newest;
  body.replaceChildren();
  for (const event of list) {
    const row = body.insertRow();
    cell(row, when(event.at_ms), "moment");
    const severity = made("span", event.severity, row.insertCell());
    severity.className = "state " + event.severity;
    cell(row, event.type);
    cell(row, event.text, "text");
  }
}

/// The busiest tables.
function tables(list) {
  const body = $("tables");
  body.replaceChildren();
  for (const table of list.slice(0, TABLES_SHOWN)) {
    const row = body.insertRow();
    const name = document.createElement("th");
    name.scope = "row";
    name.textContent = table.table;
    row.append(name);
    cell(row, table.end.startsWith(table.role) ? table.end : `${table.role} ${table.end}`);
    for (const kind of ["+I", "+U", "-D"]) cell(row, counted(table.rows[kind]), "number");
    cell(row, counted(table.bytes), "number");
  }
}

async function tickJob(isLate) {
  const id = view.id;
  const at = "/api/v1/jobs/" + id;
  const [job, log, metrics, happened] = await Promise.all([
    ask(at), ask(at + "/logs?lines=200"), ask(at + "/metrics"), ask(`/api/v1/events?job=${id}&limit=${EVENTS_SHOWN}`),
  ]);
  if (isLate()) return;
  $("job-title").textContent = job.name;
  stateOf($("job-state"), job);
  $("job-reason").textContent = job.reason || "";
  actions(job);
  const { chunks_done: done, chunks_total: total } = job.figures;
  $("snapshot").hidden = total === 0;
  $("chunks").max = Math.max(total, 1);
  $("chunks").value = done;
  $("chunks-text").textContent = `${counted(done)} of ${counted(total)} chunks`;
  graph(job, rates(job));
  figures(job);
  sinks(job);
  tables(metrics.tables);
  events(happened);
  const pre = $("log");
  const atEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 8;
  const text = log?.text || "nothing yet";
  if (pre.textContent !== text) {
    pre.textContent = text;
    if (atEnd) pre.scrollTop = pre.scrollHeight;
  }
  view.looks = (view.looks ?? 0) + 1;
  if (view.looks % EDGES_EVERY === 1) {
    const { vertices } = await ask(at + "/edges");
    if (isLate()) return;
    edges(job, vertices);
  }
  if ($("file").textContent) return;
  const { text: definition } = await ask(at + "/definition");
  if (!isLate()) $("file").textContent = definition;
}

function failed(error) {
  if (error instanceof Refused) {
    before = new Map();
    signIn();
  }
  tell(error instanceof TypeError ? "The service does not answer." : error.message, true);
}

async function tick() {
  clearTimeout(timer);
  if (view?.tick && !document.hidden) {
    const own = (looking = {});
    const isLate = () => own !== looking;
    try {
      await view.tick(isLate);
      if (isLate()) return;
      if ($("notice").classList.contains("failed")) tell("");
    } catch (error) {
      if (isLate()) return;
      failed(error);
    }
  }
  if (view?.tick) timer = setTimeout(tick, EVERY_MS);
}

function signIn() {
  clearTimeout(timer);
  looking = null;
  $("sign-out").hidden = true;
  $("service").textContent = "";
  show("sign-in", null);
  $("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", $("token").value.trim());
    go();
  });
  $("token").focus();
}

async function go() {
  clearTimeout(timer);
  looking = null;
  try {
    const service = await ask("/api/v1/service");
    changes = service.role === "admin";
    $("service").textContent = `${service.version} at ${location.host}`;
    $("sign-out").hidden = !sessionStorage.getItem("token");
    tell("");
  } catch (error) {
    failed(error);
    if (!(error instanceof Refused)) timer = setTimeout(go, EVERY_MS);
    return;
  }
  const found = location.hash.match(/^#\/jobs\/([0-9]+)$/);
  if (found) show("job", tickJob, found[1]);
  else {
    show("jobs", tickJobs);
    $("filter").addEventListener("input", tick);
  }
  tick();
}

addEventListener("hashchange", go);
document.addEventListener("visibilitychange", () => document.hidden || tick());
// What had the focus before the question may be gone by now.
$("sure").addEventListener("close", () => document.activeElement === document.body && $("main").querySelector("h2").focus({ preventScroll: true }));
$("sign-out").addEventListener("click", () => {
  sessionStorage.removeItem("token");
  signIn();
});
// Without tokens the service takes everybody; with them the first question is refused.
go();
