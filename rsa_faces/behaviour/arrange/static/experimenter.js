// The experimenter's page: raters, evidence, live RDM, links and exports.

const $ = (id) => document.getElementById(id);
const API = "/api/experimenter";
const EVERY = 5000;
const IDLE = 30 * 60 * 1000; // the server ends the session too

// Viridis at nine points.
const COLORS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
const NONE = [212, 217, 221];

let timer;
let seen = ""; // what the matrices were drawn from
const matrices = {};
const problems = new Map(); // why a rater is left out, by rater

let touched = Date.now();
for (const kind of ["pointerdown", "keydown"]) {
  addEventListener(kind, () => { touched = Date.now(); }, { capture: true });
}

async function call(path, body) {
  const options = { cache: "no-store", credentials: "same-origin" };
  // What the timer asks for does not keep a session alive.
  if (Date.now() - touched > EVERY) options.headers = { "x-automatic": "1" };
  if (body !== undefined) {
    options.method = "POST";
    options.headers = { ...options.headers, "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  return fetch(API + path, options);
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// --- logging in --------------------------------------------------------------------------------

async function showLogin(answer) {
  clearTimeout(timer);
  // Nothing of what was shown stays behind the page.
  if (!$("all").hidden) {
    location.reload();
    return;
  }
  const { detail } = await answer.json();
  $("code-line").hidden = !detail.includes("code");
  $("code").required = detail.includes("code");
  $("login-page").hidden = false;
  $("token").focus();
}

$("show-token").addEventListener("change", () => {
  $("token").type = $("show-token").checked ? "text" : "password";
});

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("login-error").textContent = "";
  try {
    const answer = await call("/login", { token: $("token").value, code: $("code").value });
    if (!answer.ok) {
      $("login-error").textContent = answer.status === 429
        ? `Too many attempts: wait ${answer.headers.get("retry-after")} seconds.`
        : "This token (or its code) is not right.";
      return;
    }
  } catch {
    $("login-error").textContent = "No connection to the server.";
    return;
  }
  for (const field of ["token", "code"]) $(field).value = "";
  await refresh();
});

$("logout").addEventListener("click", async () => {
  await call("/logout", {});
  location.reload();
});

// The back button must not show what was there before logging out.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

// --- overview ----------------------------------------------------------------------------------

async function refresh() {
  clearTimeout(timer);
  try {
    if (!$("all").hidden && Date.now() - touched > IDLE) {
      await call("/logout", {});
      location.reload();
      return;
    }
    const answer = await call("/overview");
    if (answer.status === 401) {
      await showLogin(answer);
      return;
    }
    if (answer.ok) {
      await show(await answer.json());
      document.body.classList.remove("offline");
    }
  } catch {
    $("facts").textContent = "No connection to the server; trying again.";
  }
  timer = setTimeout(refresh, EVERY);
}

async function show(overview) {
  $("login-page").hidden = true;
  $("all").hidden = false;
  document.title = `${overview.title}: experimenter`;
  $("title").textContent = overview.title;
  const { raters } = overview;
  const finished = raters.filter((r) => r.finished_at !== null).length;
  $("facts").textContent =
    `${overview.n_stimuli} stimuli · ${counted(raters.length, "rater")}, ${finished} finished · ` +
    `${counted(overview.n_trials, "trial")} · ${stopText(overview.stop)}`;
  if (!$("exports").children.length) {
    $("exports").append(...overview.exports.map((name) =>
      make("a", { href: `${API}/export/${name}`, download: name, textContent: name })));
  }
  showRaters(raters);
  await showSessions();
  const voided = raters.reduce((sum, r) => sum + r.n_voided, 0);
  const key = `${$("whom").value}/${overview.n_trials}/${voided}`;
  if (key !== seen) {
    seen = key;
    await Promise.all([draw("rdm"), draw("evidence"), showAgreement(), showTrials()]);
  }
}

function counted(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

function stopText(stop) {
  const parts = [];
  if (stop.minutes !== null) parts.push(counted(stop.minutes, "minute"));
  if (stop.trials !== null) parts.push(counted(stop.trials, "trial"));
  if (stop.evidence !== null) {
    parts.push(`evidence ${stop.evidence} for ${Math.round(stop.share * 100)} % of pairs`);
  }
  return `done after ${parts.join(" or ")}`;
}

function stateText(rater) {
  if (rater.finished_at !== null) return "finished";
  if (rater.progress.n_trials) return "at work";
  return rater.consented_at === null ? "not begun" : "has agreed";
}

function timeText(seconds) {
  if (seconds === null) return "";
  return new Date(seconds * 1000).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
}

function showRaters(raters) {
  const rows = new Map([...$("raters").children].map((row) => [row.dataset.rater, row]));
  const there = new Set(raters.map((r) => r.rater));
  for (const [name, row] of rows) {
    if (there.has(name)) continue;
    row.remove();
    $("whom").querySelector(`option[value="${CSS.escape(name)}"]`)?.remove();
  }
  for (const rater of raters) {
    problems.set(rater.rater, rater.problem);
    let row = rows.get(rater.rater);
    if (!row) {
      const cells = ["", "", "", "number", "number", "", "agreement", ""].map((name) =>
        make("td", { className: name }));
      cells[2].append(make("progress", { max: 1 }));
      const copy = make("button", { type: "button", textContent: "Copy link" });
      copy.addEventListener("click", () => copyLink(location.origin + rater.path, copy));
      // The database has hashes only; without the file of the key links cannot be shown.
      cells[7].append(rater.path ? copy : "only the rater has it");
      row = make("tr", {}, ...cells);
      row.dataset.rater = rater.rater;
      $("raters").append(row);
      $("whom").append(make("option", { value: rater.rater, textContent: rater.rater }));
    }
    const { cells } = row;
    cells[0].textContent = rater.rater;
    cells[1].textContent = stateText(rater);
    const bar = cells[2].firstChild;
    bar.value = rater.progress.fraction;
    bar.setAttribute("aria-label", `progress of ${rater.rater}`);
    bar.title = `${Math.round(rater.progress.fraction * 100)} %`;
    cells[3].textContent = rater.progress.n_trials;
    cells[4].textContent = (rater.progress.seconds / 60).toFixed(1);
    cells[5].textContent = timeText(rater.last_at);
  }
}

async function showAgreement() {
  const answer = await call("/agreement");
  if (!answer.ok) return;
  const found = new Map((await answer.json()).map((one) => [one.rater, one]));
  for (const { cells, dataset } of $("raters").children) {
    const one = found.get(dataset.rater);
    const reason = one?.reason || problems.get(dataset.rater) || "";
    const known = one && one.r !== null && !reason.startsWith("r = ");
    cells[6].textContent = [known ? `r = ${one.r.toFixed(2)}` : "", reason].filter(Boolean).join(": ");
    cells[6].classList.toggle("apart", Boolean(reason));
  }
}

// --- the trials of one rater -------------------------------------------------------------------

async function showTrials() {
  const whom = $("whom").value;
  $("one").hidden = !whom;
  if (!whom) return;
  const answer = await call(`/raters/${encodeURIComponent(whom)}/trials`);
  const field = document.activeElement;
  // Not under the hands of somebody who writes a reason.
  const writing = $("trials").contains(field) && field.value && whom === $("trials").dataset.whom;
  if (!answer.ok || writing) return;
  $("trials").dataset.whom = whom;
  $("one-heading").textContent = `Trials of ${whom}`;
  $("one-export").href = `${API}/raters/${encodeURIComponent(whom)}/export`;
  $("trials").replaceChildren(...(await answer.json()).map((trial) => trialRow(whom, trial)));
}

$("one-forget").addEventListener("click", async () => {
  const whom = $("whom").value;
  if (!confirm(`Delete everything that is known of ${whom}? This cannot be undone.`)) return;
  const path = `/raters/${encodeURIComponent(whom)}`;
  if (!(await remove(path, "one-told"))) return;
  $("whom").value = "";
  $("created").textContent = `The data of ${whom} is deleted.`;
  seen = "";
  await refresh();
});

// What cannot be undone is asked for by somebody who has just logged in.
async function remove(path, told) {
  const done = await fetch(API + path, { method: "DELETE", credentials: "same-origin" });
  $(told).textContent = done.status === 403
    ? "For this, log out and log in again: your log-in is older than five minutes."
    : done.ok ? "" : "Not deleted.";
  return done.ok;
}

async function showSessions() {
  const answer = await call("/sessions");
  if (!answer.ok) return;
  $("sessions").replaceChildren(...(await answer.json()).map((one) => {
    const end = make("button", { type: "button", textContent: "End" });
    end.addEventListener("click", async () => {
      if (await remove(`/sessions/${one.name}`, "sessions-told")) await refresh();
    });
    const texts = [one.address, timeText(one.begun_at), timeText(one.last_at)];
    const cells = texts.map((text) => make("td", { textContent: text }));
    return make("tr", {}, ...cells, make("td", {}, one.own ? "this one" : end));
  }));
}

function trialRow(whom, trial) {
  const cell = (text, name = "") => make("td", { className: name, textContent: text });
  const isVoid = trial.voided_at !== null;
  const form = make("form", { autocomplete: "off" });
  const reason = make("input", {
    maxLength: 500, required: true, autocomplete: "off",
    ariaLabel: `why trial ${trial.number} is void`,
  });
  const button = make("button", { textContent: isVoid ? "Make valid again" : "Void" });
  form.append(isVoid ? `${trial.void_reason} ` : reason, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const path = `/raters/${encodeURIComponent(whom)}/trials/${trial.number}/void`;
    const done = await call(path, { reason: isVoid ? null : reason.value });
    if (done.ok) reason.value = "";
    $("one-told").textContent = done.ok
      ? `Trial ${trial.number} is ${isVoid ? "valid again" : "void"}.` : "Not changed.";
    await refresh();
  });
  const row = make("tr", {}, cell(trial.number), cell(trial.n_items, "number"),
    cell(trial.seconds.toFixed(1), "number"), cell(timeText(trial.done_at)), make("td", {}, form));
  row.classList.toggle("void", isVoid);
  return row;
}

async function copyLink(link, button) {
  try {
    await navigator.clipboard.writeText(link);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy link"; }, 2000);
  } catch {
    // Without HTTPS browsers do not copy: show it to be copied by hand.
    button.replaceWith(make("input", {
      value: link, readOnly: true, ariaLabel: "link", autocomplete: "off",
    }));
  }
}

$("create").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await call("/raters", { count: Number($("count").value) });
  if (answer.ok) {
    const made = await answer.json();
    $("created").textContent = made.length
      ? `${made.length} created: ${made[0].rater} to ${made.at(-1).rater}.`
      : "None created: raters.most in the configuration is reached.";
  } else {
    $("created").textContent = "Not created.";
  }
  await refresh();
});

$("whom").addEventListener("change", refresh);

// --- matrices ----------------------------------------------------------------------------------

function color(share) {
  const place = Math.max(0, Math.min(1, share)) * (COLORS.length - 1);
  const low = Math.min(Math.floor(place), COLORS.length - 2);
  return COLORS[low].map((v, i) => v + (COLORS[low + 1][i] - v) * (place - low));
}

async function draw(kind) {
  const whom = $("whom").value;
  const answer = await call(`/matrix/${kind}?rater=${encodeURIComponent(whom)}`);
  if (!answer.ok) return;
  const matrix = await answer.json();
  const n = matrix.names.length;
  matrix.square = new Float64Array(n * n).fill(NaN);
  const measured = [];
  let k = 0;
  for (let i = 0; i < n; i++) {
    matrix.square[i * n + i] = kind === "rdm" ? 0 : NaN;
    for (let j = i + 1; j < n; j++, k++) {
      const value = matrix.values?.[k] ?? NaN;
      const none = kind === "evidence" && value === 0;
      matrix.square[i * n + j] = matrix.square[j * n + i] = none ? NaN : value;
      if (Number.isNaN(value) || none) continue;
      measured.push(value);
    }
  }
  const known = measured.length;
  measured.sort((a, b) => a - b);
  // A few large values should not leave all others dark.
  const high = measured[Math.floor(0.98 * (known - 1))];
  const beyond = known > 0 && measured[known - 1] > high;
  matrices[kind] = matrix;
  const canvas = $(kind);
  canvas.width = canvas.height = n;
  const context = canvas.getContext("2d");
  const image = context.createImageData(n, n);
  matrix.square.forEach((value, i) => {
    const rgb = Number.isNaN(value) ? NONE : color(value / (high || 1));
    image.data.set([...rgb, 255], 4 * i);
  });
  context.putImageData(image, 0, 0);
  const pairs = (n * (n - 1)) / 2;
  const who = whom || counted(matrix.n_raters, "rater");
  const text = kind === "rdm" ? `RDM, dissimilarity (${who}, unit root mean square each)`
    : `Evidence per pair (${who}${whom ? "" : ", mean"}; ${Math.floor((100 * known) / pairs)} % of pairs seen)`;
  $(`${kind}-caption`).textContent = matrix.values ? text : `${text.split(" (")[0]}: no trials yet`;
  canvas.setAttribute("aria-label", `${text}, ${n} by ${n}`);
  scale($(`${kind}-scale`), high, beyond);
}

function scale(place, high, beyond) {
  place.replaceChildren();
  if (!Number.isFinite(high)) return;
  const bar = make("canvas", { width: 100, height: 1, ariaHidden: "true" });
  const context = bar.getContext("2d");
  for (let i = 0; i < 100; i++) {
    context.fillStyle = `rgb(${color(i / 99).map(Math.round).join(" ")})`;
    context.fillRect(i, 0, 1, 1);
  }
  place.append("0", bar, high.toFixed(2) + (beyond ? " and more" : ""),
    make("span", { className: "none", textContent: "not shown together" }));
}

function showPair(i, j) {
  const { rdm, evidence } = matrices;
  if (!rdm || !evidence || i === j) return;
  const n = rdm.names.length;
  const number = (matrix) => {
    const value = matrix.square[i * n + j];
    return Number.isNaN(value) ? "none" : value.toFixed(2);
  };
  const one = (k) => {
    const shown = rdm.clips
      ? make("video", { src: `/stimuli/${rdm.items[k]}#t=0.001`, muted: true, preload: "metadata" })
      : make("img", { src: `/stimuli/${rdm.items[k]}`, alt: "" });
    return make("div", {}, shown, rdm.names[k]);
  };
  $("pair").replaceChildren(
    make("div", { className: "two" }, one(i), one(j)),
    make("p", { textContent: `Dissimilarity ${number(rdm)}, evidence ${number(evidence)}` }),
  );
}

for (const kind of ["rdm", "evidence"]) {
  const cell = { i: 0, j: 1 };
  $(kind).addEventListener("pointermove", (event) => {
    const n = matrices[kind]?.names.length;
    if (!n) return;
    const box = $(kind).getBoundingClientRect();
    const at = (v, size) => Math.max(0, Math.min(n - 1, Math.floor((v / size) * n)));
    const i = at(event.clientY - box.top, box.height);
    const j = at(event.clientX - box.left, box.width);
    if (i === cell.i && j === cell.j) return;
    Object.assign(cell, { i, j });
    showPair(i, j);
  });
  $(kind).addEventListener("keydown", (event) => {
    const n = matrices[kind]?.names.length;
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!n || !step[event.key]) return;
    event.preventDefault();
    const [di, dj] = step[event.key];
    cell.i = (cell.i + di + n) % n;
    cell.j = (cell.j + dj + n) % n;
    if (cell.i === cell.j) {
      cell.i = (cell.i + di + n) % n;
      cell.j = (cell.j + dj + n) % n;
    }
    showPair(cell.i, cell.j);
  });
}

refresh();
