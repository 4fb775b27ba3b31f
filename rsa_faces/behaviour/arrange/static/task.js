// The task from the first page to the last; what phase a rater is in is known by the server.

import { Arena, remainingText } from "./arena.js";
import { ask, forget, identify, keep, kept, onlyInMemory, persist, waiting } from "./outbox.js";
import { PRACTICE, drawShape } from "./shapes.js";
import { claim } from "./tabs.js";
import { paragraphs, setTexts, t } from "./texts.js";

const $ = (id) => document.getElementById(id);
// What is behind the # is sent to no server. Links of older versions had it in the path.
const old = location.pathname.startsWith("/t/") ? location.pathname.slice(3) : "";
if (old) history.replaceState(null, "", `/t#${old}`);
const token = location.pathname === "/t" ? location.hash.slice(1) : "";
const api = "/api/t";
identify(token);
// Enough of the link to tell raters on one computer apart, not enough to use it.
const me = token.slice(-8);

let arena;
let trial = null; // the trial shown, null in practice
let practice = false;
let stopped = false;
let guarded = false;
let looked = null; // the item enlarged
let noticeTimer;

// --- time: counted while the page is seen -------------------------------------------------------

const clock = {
  before: 0,
  since: null,
  start(seconds) {
    this.before = seconds;
    this.since = document.hidden ? null : performance.now();
  },
  get seconds() {
    const now = this.since === null ? 0 : (performance.now() - this.since) / 1000;
    return Math.round((this.before + now) * 10) / 10;
  },
};
document.addEventListener("visibilitychange", () => {
  clock.start(clock.seconds);
  autosave();
});

// --- what is shown -----------------------------------------------------------------------------

function notice(text, { warn = false, stay = false } = {}) {
  clearTimeout(noticeTimer);
  $("notice").textContent = text;
  $("notice").classList.toggle("warn", warn);
  if (text && !stay) noticeTimer = setTimeout(() => notice(""), 6000);
}

function message(heading, text, buttons = []) {
  $("work").hidden = true;
  $("message").hidden = false;
  $("message-heading").textContent = heading;
  paragraphs($("message-text"), text);
  $("message-buttons").replaceChildren(
    ...buttons.map(([label, action]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "main";
      button.textContent = label;
      button.addEventListener("click", async () => {
        button.disabled = true;
        guardBack();
        await action();
        button.disabled = false;
      });
      return button;
    }),
  );
  $("message-heading").focus();
}

function showProgress(phase, progress) {
  $("progress").hidden = phase !== "trial" && phase !== "finished";
  const parts = [];
  if ("minutes" in progress) {
    parts.push(t("progress_minutes", {
      minutes: Math.floor(progress.seconds / 60), total: progress.minutes,
    }));
  }
  if ("trials" in progress) {
    parts.push(t("progress_trials", { trials: progress.n_trials, total: progress.trials }));
  }
  if ("pairs" in progress && parts.length === 0) {
    parts.push(t("progress_pairs", { percent: Math.floor(progress.pairs * 100) }));
  }
  $("progress-text").textContent = parts.join(" · ");
  $("progress-bar").value = progress.fraction;
  $("progress-bar").setAttribute("aria-label", t("progress"));
}

function picture(id, clip) {
  if (clip) {
    const video = document.createElement("video");
    Object.assign(video, { muted: true, loop: true, playsInline: true, preload: "auto" });
    video.src = `/stimuli/${id}#t=0.001`;
    return video;
  }
  const image = document.createElement("img");
  image.alt = "";
  image.draggable = false;
  image.src = `/stimuli/${id}`;
  return image;
}

function look(item) {
  looked = item;
  const large = item.entry.picture();
  $("preview-picture").replaceChildren(large);
  $("preview-caption").textContent = t("preview");
  if (large.play) large.play().catch(() => {});
}

// The enlarged clip stops with the one it enlarges; it stays to be seen.
function rest(item) {
  if (looked === item) $("preview-picture").querySelector("video")?.pause();
}

function lookAway() {
  looked = null;
  $("preview-picture").replaceChildren();
  $("preview-caption").textContent = t("preview_hint");
}

function showArena(heading, hint, entries, before) {
  $("message").hidden = true;
  $("work").hidden = false;
  $("work").classList.remove("sending");
  $("trial-heading").textContent = heading;
  $("trial-hint").textContent = hint;
  lookAway();
  arena.show(entries, before);
  $("trial-heading").focus({ preventScroll: true });
}

function changed() {
  $("remaining").textContent = remainingText(arena.remaining);
  $("done").disabled = arena.remaining > 0 || arena.items.length === 0;
  autosave();
}

function autosave() {
  if (trial && !stopped && !$("work").classList.contains("sending")) {
    keep("layout", trial.id, { places: arena.places, seconds: clock.seconds });
  }
}

// --- phases ------------------------------------------------------------------------------------

async function sync() {
  for (;;) {
    if (stopped) return;
    await flush();
    const { status, data } = await persist(api, undefined, () => {
      if ($("work").hidden) message(t("offline_heading"), t("offline"));
      else notice(t("waiting"), { warn: true, stay: true });
    });
    if (stopped) return;
    if ($("notice").classList.contains("warn")) notice("");
    if (status === 404) {
      message(t("unknown_link_heading"), t("unknown_link"));
      return;
    }
    if (data && data.phase) {
      render(data);
      return;
    }
    // An answer that is not ours, such as a hotel's log-in page: ask again.
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }
}

// Coarse, and only with the consent.
function device() {
  const isTouch = matchMedia("(pointer: coarse)").matches;
  return { width: innerWidth, height: innerHeight, pointer: ["mouse", "touch"][Number(isTouch)] };
}

async function tell(what) {
  const offline = `${t("offline_heading")}. ${t("offline")}`;
  const body = what === "consent" ? device() : {};
  await persist(`${api}/${what}`, body, () => notice(offline, { warn: true, stay: true }));
  notice("");
  await sync();
}

function render(state) {
  trial = null;
  practice = false;
  showProgress(state.phase, state.progress);
  if (state.phase === "consent") {
    message(t("consent_heading"), t("consent"), [[t("consent_button"), () => tell("consent")]]);
  } else if (state.phase === "instructions" || state.phase === "practice") {
    const next = state.phase === "practice" ? showPractice : () => tell("ready");
    message(
      t("instructions_heading"), t("instructions"), [[t("instructions_button"), next]],
    );
  } else if (state.phase === "trial") {
    showTrial(state.trial);
  } else {
    arena.clear();
    message(t("finished_heading"), t("finished"));
  }
}

function showPractice() {
  practice = true;
  const entries = PRACTICE.map((shape) => ({
    id: shape.id,
    label: `${t(`color_${shape.color}`)} ${t(`shape_${shape.shape}`)}`,
    picture: () => drawShape(shape),
  }));
  showArena(t("practice_heading"), t("practice_hint"), entries, {});
}

function showTrial(shown) {
  const before = kept("layout", shown.id);
  clock.start(Number.isFinite(before?.seconds) ? before.seconds : 0);
  trial = shown;
  const entries = shown.items.map((id) => ({ id, picture: () => picture(id, shown.clips) }));
  const places = before?.places ?? {};
  showArena(t("trial_heading", { number: shown.number }), t("trial_hint"), entries, places);
  for (const { element } of arena.items) {
    element.firstChild.addEventListener("error", () => {
      element.classList.add("broken");
      notice(t("not_shown"), { warn: true, stay: true });
    });
  }
  if (Object.keys(places).length) notice(t("restored"));
}

// --- saving ------------------------------------------------------------------------------------

async function done() {
  if ($("done").disabled) return;
  $("done").disabled = true;
  if (practice) {
    notice(t("practice_done"));
    await tell("ready");
    return;
  }
  // First on this computer, then to the server: whatever happens in between, it is not lost.
  keep("out", `${me}:${trial.id}`, {
    placements: arena.placements, seconds: clock.seconds,
  });
  $("work").classList.add("sending");
  notice(t("saving"), { stay: true });
  await sync();
}

// Send what waits; return when nothing does.
async function flush() {
  for (const id of waiting("out").filter((one) => one.startsWith(`${me}:`))) {
    const name = id.slice(me.length + 1);
    const body = kept("out", id);
    if (body === null) {
      forget("out", id);
      continue;
    }
    const { status, ok, data } = await persist(`${api}/trials/${name}`, body, () => {
      notice(t("waiting"), { warn: true, stay: true });
    });
    if (ok && !(data && data.saved)) {
      await new Promise((resolve) => setTimeout(resolve, 3000));
      await flush();
      return;
    }
    if (ok) notice(t("saved"));
    else if (status === 409) notice(t("elsewhere_saved"), { stay: true });
    else {
      keep("refused", id, body);
      notice(t("refused"), { warn: true, stay: true });
    }
    forget("out", id);
    forget("layout", name);
  }
}

// --- other windows, the back button, leaving ----------------------------------------------------

function guardBack() {
  if (guarded) return;
  guarded = true;
  history.pushState({ guard: true }, "");
}
addEventListener("popstate", () => {
  if (!guarded) return;
  history.pushState({ guard: true }, "");
  notice(t("back_notice"));
});
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
addEventListener("hashchange", () => {
  if (location.pathname === "/t" && location.hash.slice(1) !== token) location.reload();
});
addEventListener("pagehide", autosave);
addEventListener("beforeunload", (event) => {
  if (onlyInMemory()) event.preventDefault();
});

function stop(heading, text, handle) {
  stopped = true;
  arena.clear();
  trial = null;
  message(heading, text, [[t("two_tabs_button"), async () => {
    handle().take();
    stopped = false;
    await sync();
  }]]);
}

async function startPage(open, needsCode) {
  // Whoever sits here next must not get the link of the one before.
  forget("rater", "path");
  const buttons = [];
  if (open) {
    const enrol = async () => {
      try {
        const code = codeField?.value ?? decodeURIComponent(location.hash.slice(1));
        const { status, ok, data } = await ask("/api/enrol", needsCode ? { code } : {});
        if (status === 403 && needsCode) {
          showCodeField();
          notice(t("start_code_wrong"), { warn: true });
          return;
        }
        if (!ok) {
          message(t("start_heading"), t("start_full"));
          return;
        }
        location.assign(data.path);
      } catch {
        notice(t("offline_heading"), { warn: true });
      }
    };
    buttons.push([t("start_button"), enrol]);
  }
  let codeField;
  const showCodeField = () => {
    if (codeField) return;
    const label = document.createElement("label");
    codeField = document.createElement("input");
    Object.assign(codeField, { maxLength: 100, autocomplete: "off" });
    label.append(`${t("start_code")} `, codeField);
    $("message-buttons").prepend(label);
    codeField.focus();
  };
  message(t("start_heading"), open ? t("instructions") : t("start_closed"), buttons);
  if (open && needsCode && !location.hash) showCodeField();
}

async function main() {
  const { data } = await persist("/api/texts", undefined, () => {
    $("title").textContent = "…";
  });
  setTexts(data.texts);
  document.title = data.title;
  $("title").textContent = data.title;
  for (const [id, key] of [["done", "done"], ["show-help", "show_instructions"],
    ["help-heading", "instructions_heading"], ["help-close", "close"], ["item-help", "item_help"]]) {
    $(id).textContent = t(key);
  }
  paragraphs($("help-text"), t("instructions"));
  $("show-help").addEventListener("click", () => $("help").showModal());
  if (!token) {
    await startPage(data.enrolment, data.needs_code);
    return;
  }
  arena = new Arena({
    stage: $("stage"),
    arena: $("arena"),
    largest: data.arena,
    announce: (text) => { $("announce").textContent = text; },
    onChange: changed,
    onLook: look,
    onRest: rest,
  });
  $("done").addEventListener("click", done);
  $("stage").addEventListener("pointerdown", guardBack, { capture: true });
  setInterval(autosave, 5000);
  const handle = await claim(me, {
    onTaken: () => stop(t("taken_over_heading"), t("taken_over"), () => handle),
  });
  if (handle.free) await sync();
  else stop(t("two_tabs_heading"), t("two_tabs"), () => handle);
}

main();
