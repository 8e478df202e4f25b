// The page to label on. What counts is on the server; here is what is shown, and answers on their way there.
//
// An answer is shown as given at once and kept in the browser's storage until the server has acknowledged it, so neither
// a slow line nor a closed tab loses one. Each carries an origin of its own, so it may safely be sent twice: by two tabs,
// say, as whatever an earlier tab has left behind is sent by the next one.

const $ = (id) => document.getElementById(id);
const stored = (key, fallback) => { try { return JSON.parse(localStorage.getItem(key)) ?? fallback; } catch { return fallback; } };
const store = (key, value) => localStorage.setItem(key, JSON.stringify(value));
const place = location.pathname;
const FEW = 4;                     // test images below which a share of them says nothing
const OUTBOX = `jaxal outbox ${place} `;
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");

let who = stored("jaxal person", "");
let outbox = Object.keys(localStorage).filter((key) => key.startsWith(OUTBOX))   // [{path, body, at}] in order
  .map((key) => stored(key, null)).filter(Boolean).sort((a, b) => a.at - b.at);
let questions = [];                // the first is the one on show
let summary = null;
const broken = new Map();          // images that cannot be shown, and why
let sending = false, failures = 0, polling = null;

// ---- talking to the server

async function post(path, body) {
  const response = await fetch(`api/${path}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ who, ...body }),
  });
  const answer = await response.json().catch(() => ({ error: `the server answers ${response.status}` }));
  if (!response.ok) throw Object.assign(new Error(answer.error), { refused: response.status < 500 });
  return answer;
}

function send(path, body) {
  const item = { path, body: { who, origin: random(), ...body }, at: Date.now() };
  outbox.push(item);
  store(OUTBOX + item.body.origin, item);
  flush();
}

function sent() {
  localStorage.removeItem(OUTBOX + outbox.shift().body.origin);
}

async function flush() {
  if (sending) return;
  sending = true;
  while (outbox.length) {
    showSaving();
    const { path, body } = outbox[0];
    try {
      const answer = await post(path, body);
      failures = 0;
      sent();
      take(answer);
    } catch (error) {
      if (error.refused) {           // it will never be taken: say so, and go on with the others
        sent();
        problem(error.message);
      } else {
        failures += 1;
        showSaving();
        await new Promise((done) => setTimeout(done, Math.min(500 * 2 ** failures, 8000)));
      }
    }
  }
  sending = false;
  showSaving();
  if (!questions.length) poll();
}

async function poll() {
  clearTimeout(polling);
  if (!who || outbox.length) return;
  try { take(await post("next", {})); } catch (error) { problem(error.message); }
  if (!questions.length) polling = setTimeout(poll, summary?.left === false ? 4000 : 700);
}

function take(answer) {
  const gone = new Set(outbox.filter((item) => item.path !== "undo").map((item) => item.body.file));
  const shown = questions[0]?.file;
  questions = answer.questions.filter((question) => !gone.has(question.file));
  if (answer.undone === undefined && shown) {     // what is on show stays on show
    const at = questions.findIndex((question) => question.file === shown);
    if (at > 0) questions.unshift(...questions.splice(at, 1));
  }
  summary = answer.summary;
  problem(summary.problem);
  show();
}

// ---- what a person does

function give(label, button) {
  const question = questions[0];
  if (!question) return;
  flash(button);
  const guess = question.guess ? `; the classifier had guessed <b></b>, ${Math.round(100 * question.probability)}%` : "";
  $("last").innerHTML = `<b></b>${guess}. Asked because: <i></i>.`;
  const parts = $("last").querySelectorAll("b");
  parts[0].textContent = label;
  if (parts[1]) parts[1].textContent = question.guess;
  $("last").querySelector("i").textContent = question.why;
  questions.shift();
  show();
  send("answer", { file: question.file, label });
}

function skip() {
  const question = questions.shift();
  if (!question) return;
  flash($("skip"));
  $("last").textContent = "Skipped; it comes back at the end.";
  show();
  send("skip", { file: question.file });
}

function undo() {
  flash($("undo"));
  $("last").textContent = "Your last answer is withdrawn.";
  send("undo", {});
}

function flash(button) {
  if (!button) return;
  button.classList.add("hit");
  setTimeout(() => button.classList.remove("hit"), 180);
}

function zoom() {
  $("stage").classList.toggle("actual");
  $("zoom").textContent = $("stage").classList.contains("actual") ? "Fit" : "1:1";
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.repeat) return;          // a key held down is one answer
  const key = event.key.toLowerCase();
  const button = /^[1-9]$/.test(key) ? $("classes").children[key - 1]
    : { u: $("others").children[0], x: $("others").children[1], s: $("skip"), backspace: $("undo"), z: $("zoom"), "+": $("new") }[key];
  if (!button || button.disabled) return;
  event.preventDefault();
  button.click();
});

for (const button of $("others").querySelectorAll("[data-label]")) button.onclick = () => give(button.dataset.label, button);
$("skip").onclick = skip;
$("undo").onclick = undo;
$("zoom").onclick = zoom;
$("new").onclick = () => open($("add"));
$("person").onclick = () => open($("who"));
$("image").ondblclick = zoom;
$("image").onerror = async () => {
  const image = questions[0]?.image;
  if (image === undefined) return;
  const answer = await fetch(`image/${image}`).then((response) => response.json()).catch(() => ({}));
  broken.set(image, answer.error ?? "The server does not answer.");
  show();
};

function open(dialog) {
  const input = dialog.querySelector("input");
  input.value = dialog.id === "who" ? who : "";
  dialog.showModal();
  input.select();
}

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.querySelector("[data-close]")?.addEventListener("click", () => dialog.close());
  dialog.querySelector("form").addEventListener("submit", () => {
    const name = dialog.querySelector("input").value.trim();
    if (!name) return;
    if (dialog.id === "who") { who = name; store("jaxal person", who); questions = []; start(); }
    else send("class", { name });
  });
}
$("who").addEventListener("cancel", (event) => { if (!who) event.preventDefault(); });
addEventListener("online", flush);

// ---- what is shown

function show() {
  const question = questions[0];
  const finished = !question && summary && !summary.left;
  const fault = question && broken.get(question.image);
  $("broken").hidden = !fault;
  $("broken-why").textContent = fault ?? "";
  $("image").hidden = !question || Boolean(fault);
  $("waiting").hidden = Boolean(question) || finished;
  $("finished").hidden = !finished;
  $("zoom").hidden = $("image").hidden;
  $("file").textContent = question ? question.file : "";
  if (question) {
    const source = `image/${question.image}`;
    if ($("image").getAttribute("src") !== source) { $("image").src = source; $("stage").scrollTo(0, 0); }
    $("image").alt = question.file;
  }
  for (const ahead of questions.slice(1)) new Image().src = `image/${ahead.image}`;
  const said = question ? Object.entries(question.said) : [];
  $("banner").hidden = !said.length;
  $("banner").textContent = said.length > 1
    ? `Annotators disagree: ${said.map(([name, label]) => `${name} says ${label}`).join(", ")}. Please look again.`
    : said.map(([name, label]) => `${name} says ${label}.`).join("");
  for (const button of document.querySelectorAll("#classes button, #others [data-label], #skip")) button.disabled = !question;
  if (summary) showSummary();
}

function showSummary() {
  const { classes, counts, images, own } = summary;
  const done = images - (counts.open ?? 0) - (counts.disputed ?? 0);
  $("own").textContent = own;
  $("done").textContent = done;
  $("total").textContent = images;
  $("undo").disabled = !own && !outbox.length;
  $("progress").setAttribute("aria-valuemax", images);
  $("progress").setAttribute("aria-valuenow", done);
  $("progress").firstElementChild.style.width = `${100 * done / Math.max(images, 1)}%`;
  showClasses(classes);
  if (summary.verdict) {
    const [low, high] = summary.interval.map((x) => Math.round(100 * x));
    const tests = `${summary.tests} ${summary.tests === 1 ? "image" : "images"} drawn by lot`;
    $("accuracy").innerHTML = !summary.tests ? ""
      : summary.tests < FEW ? `${Math.round(summary.tests * summary.accuracy)} of ${tests} predicted right so far.`
        : `<b>${Math.round(100 * summary.accuracy)}%</b> right on ${tests} (95% interval ${low}–${high}%)`;
    $("verdict").textContent = summary.verdict;
    drawCurve();
  } else {
    $("verdict").textContent = "A first judgement comes once some answers are in.";
    $("curve").style.display = "none";
  }
  const others = summary.people.filter((name) => name !== who);
  $("people").textContent = [
    others.length ? `Also labelling: ${others.join(", ")}.` : "",
    summary.disputes ? `${summary.disputes} ${summary.disputes === 1 ? "image is" : "images are"} disputed.` : "",
  ].join(" ").trim();
}

function showClasses(classes) {
  const box = $("classes");
  if (box.children.length !== classes.length || classes.some((c, i) => box.children[i].dataset.name !== c.name)) {
    box.replaceChildren(...classes.map((c, i) => {
      const button = document.createElement("button");
      button.className = "answer";
      button.dataset.name = c.name;
      const key = Object.assign(document.createElement("kbd"), { textContent: i < 9 ? i + 1 : "·" });
      const name = Object.assign(document.createElement("span"), { textContent: c.name });
      const count = Object.assign(document.createElement("span"), { className: "count" });
      button.append(key, name, count);
      button.onclick = () => give(c.name, button);
      return button;
    }));
    box.classList.toggle("many", classes.length > 3);
    box.classList.toggle("crowd", classes.length > 5);
  }
  classes.forEach((c, i) => {
    box.children[i].querySelector(".count").textContent = c.count;
    box.children[i].disabled = !questions.length;
  });
}

function drawCurve() {
  const points = summary.curve, svg = $("curve"), ahead = summary.forecast;
  const shown = points.length > 1 && summary.tests >= FEW;
  svg.style.display = shown ? "" : "none";
  if (!shown) return;
  const last = points.at(-1), most = ahead ? ahead.labels : last.labels;
  const floor = Math.max(0, Math.floor(10 * Math.min(...points.map((p) => p.accuracy), summary.interval[0])) / 10);
  const x = (n) => 34 + 256 * (n - points[0].labels) / Math.max(most - points[0].labels, 1);
  const y = (a) => 10 + 96 * (1 - a) / Math.max(1 - floor, 0.1);
  const make = (name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const line = (all) => all.map((p, i) => `${i ? "L" : "M"}${x(p.labels).toFixed(1)} ${y(p.accuracy).toFixed(1)}`).join("");
  const nodes = [];
  for (const a of [1, (1 + floor) / 2, floor]) {
    nodes.push(make("line", { class: "grid", x1: 34, x2: 290, y1: y(a), y2: y(a) }));
    nodes.push(make("text", { x: 29, y: y(a) + 4, "text-anchor": "end" }, `${Math.round(100 * a)}%`));
  }
  nodes.push(make("path", { class: "line", d: line(points) }));
  if (ahead) nodes.push(make("path", { class: "ahead", d: line([last, ahead]) }));
  nodes.push(make("line", { class: "band", x1: x(last.labels), x2: x(last.labels), y1: y(summary.interval[0]), y2: y(summary.interval[1]) }));
  nodes.push(make("circle", { cx: x(last.labels), cy: y(last.accuracy), r: 4 }));
  const under = [points[0].labels, last.labels, ...(ahead ? [ahead.labels] : [])];
  under.forEach((n, i) => nodes.push(make("text", {
    x: x(n), y: 124, "text-anchor": i === 0 ? "start" : i === under.length - 1 ? "end" : "middle",
  }, i === under.length - 1 ? `${n} labels` : n)));
  svg.replaceChildren(...nodes);
  svg.setAttribute("aria-label", `Accuracy from ${Math.round(100 * points[0].accuracy)}% at ${points[0].labels} labels to ${Math.round(100 * last.accuracy)}% at ${last.labels}`);
}

function showSaving() {
  const late = failures > 1;
  $("saving").className = late ? "late" : "";
  $("saving").textContent = late ? `${outbox.length} not saved yet, trying again` : outbox.length > 2 ? "Saving…" : "";
}

function problem(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text || "";
}

function start() {
  $("person").textContent = who;
  $("person").hidden = !who;
  show();
  outbox.length ? flush() : poll();
}

start();
if (!who) open($("who"));
