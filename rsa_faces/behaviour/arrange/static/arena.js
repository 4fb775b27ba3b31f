// The arena: items around a circle, moved by mouse, touch or keyboard.
// Positions are in diameters of the arena from its centre, x to the right and y down.

import { t } from "./texts.js";

const EDGE = 0.5; // radius
const SNAP = 0.06; // so far outside still counts as at the edge
const STEP = 0.04;
const FINE = 0.01;
const GAP = 8; // px around items that wait outside

export class Arena {
  constructor({ stage, arena, announce, onChange, onLook, onRest, largest }) {
    Object.assign(this, { stage, arena, announce, onChange, onLook, onRest, largest });
    this.items = [];
    this.top = 1;
    this.picked = null;
    new ResizeObserver(() => this.layout()).observe(stage);
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  // Show items, some of them where they were before a refresh.
  show(entries, before = {}) {
    this.clear();
    this.items = entries.map((entry, i) => this.#make(entry, i + 1));
    for (const item of this.items) {
      const place = before[item.id];
      if (Array.isArray(place) && Math.hypot(...place) <= EDGE + 1e-6) item.place = place;
    }
    this.layout();
    this.#changed();
  }

  clear() {
    for (const item of this.items) item.element.remove();
    this.items = [];
    this.picked = null;
  }

  get remaining() {
    return this.items.filter((item) => item.place === null).length;
  }

  get places() {
    return Object.fromEntries(
      this.items.filter((item) => item.place).map((item) => [item.id, item.place]),
    );
  }

  // As the server takes them: y up, and rounding never leads outside.
  get placements() {
    return this.items.map(({ id, place: [x, y] }) => ({
      item: id,
      x: Math.round(x * 1e5) / 1e5,
      y: Math.round(-y * 1e5) / 1e5 || 0,
    }));
  }

  // --- layout ---------------------------------------------------------------------------------

  layout() {
    const width = this.stage.clientWidth;
    const height = this.stage.clientHeight;
    if (!width || !height || !this.items.length) return;
    const n = this.items.length;
    const share = Math.min(0.16, Math.max(0.05, 0.5 / Math.sqrt(n)));
    let diameter = Math.min(this.largest, 0.96 * Math.min(width, height));
    let seats = [];
    // The largest circle that leaves room for all items around it.
    for (; diameter > 60; diameter *= 0.985) {
      seats = places(width, height, diameter, diameter * share);
      if (seats.length >= n) break;
    }
    this.size = diameter * share;
    this.diameter = diameter;
    this.center = [width / 2, height / 2];
    // Of seats about equally near, those at the sides first.
    const rank = (seat) => Math.round((8 * seat.away) / diameter) * height + Math.abs(seat.y);
    seats.sort((a, b) => rank(a) - rank(b));
    seats = seats.slice(0, n).sort((a, b) => a.angle - b.angle);
    this.items.forEach((item, i) => {
      const seat = seats[i] ?? { x: 0, y: 0 };
      item.seat = [seat.x / diameter, seat.y / diameter];
    });
    Object.assign(this.arena.style, {
      width: `${diameter}px`,
      height: `${diameter}px`,
      left: `${this.center[0] - diameter / 2}px`,
      top: `${this.center[1] - diameter / 2}px`,
    });
    for (const item of this.items) {
      item.element.style.width = item.element.style.height = `${this.size}px`;
      this.#draw(item);
    }
  }

  #draw(item) {
    const [x, y] = item.moving ?? item.place ?? item.seat;
    const left = this.center[0] + x * this.diameter - this.size / 2;
    const top = this.center[1] + y * this.diameter - this.size / 2;
    item.element.style.transform = `translate(${left}px, ${top}px)`;
  }

  // --- items ----------------------------------------------------------------------------------

  #make(entry, number) {
    const element = document.createElement("button");
    element.type = "button";
    element.className = "item";
    element.setAttribute("aria-describedby", "item-help");
    element.append(entry.picture());
    const item = { id: entry.id, entry, number, element, place: null, moving: null };
    const play = () => element.querySelector("video")?.play().catch(() => {});
    const rest = () => {
      this.onRest(item);
      const video = element.querySelector("video");
      if (video) {
        video.pause();
        video.currentTime = 0;
      }
    };
    let over = false; // a mouse is; a finger that has left still means this item
    element.addEventListener("pointerenter", (event) => {
      over = event.pointerType !== "touch";
      this.onLook(item);
      play();
    });
    element.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "touch") return;
      over = false;
      // A click focuses too, but who points elsewhere looks elsewhere.
      if (!element.matches(":focus-visible")) rest();
    });
    element.addEventListener("focus", () => { this.onLook(item); play(); });
    element.addEventListener("blur", () => {
      if (this.picked === item) this.#putDown(item);
      if (!over) rest();
    });
    element.addEventListener("pointerdown", (event) => this.#grab(item, event));
    element.addEventListener("keydown", (event) => this.#key(item, event));
    element.addEventListener("dragstart", (event) => event.preventDefault());
    this.stage.append(element);
    return item;
  }

  #front(item) {
    item.element.style.zIndex = ++this.top;
  }

  #grab(item, event) {
    if (this.picked) this.#putDown(this.picked);
    if (event.button !== 0 || item.moving) return;
    const { element } = item;
    const box = this.stage.getBoundingClientRect();
    const at = (e) => [
      (e.clientX - box.left - this.center[0]) / this.diameter,
      (e.clientY - box.top - this.center[1]) / this.diameter,
    ];
    const start = item.place ?? item.seat;
    const [x, y] = at(event);
    const offset = [start[0] - x, start[1] - y];
    let far = false;
    element.setPointerCapture(event.pointerId);
    // A finger that drags would leave the focus where it was.
    if (event.pointerType === "touch") element.focus({ preventScroll: true });
    element.classList.add("held");
    this.#front(item);
    this.onLook(item);
    item.moving = start;

    const move = (e) => {
      if (e.pointerId !== event.pointerId) return;
      const [px, py] = at(e);
      far ||= Math.hypot(px - x, py - y) * this.diameter > 3;
      item.moving = this.#onStage([px + offset[0], py + offset[1]]);
      this.#draw(item);
    };
    const end = (e) => {
      if (e.pointerId !== event.pointerId) return;
      for (const [kind, listener] of listeners) element.removeEventListener(kind, listener);
      element.classList.remove("held");
      const where = item.moving;
      item.moving = null;
      // A click moves nothing; a touch taken away by the browser neither.
      if (e.type === "pointerup" && far) this.#drop(item, where);
      else this.#draw(item);
    };
    const listeners = [["pointermove", move], ["pointerup", end], ["pointercancel", end],
      ["lostpointercapture", end]];
    for (const [kind, listener] of listeners) element.addEventListener(kind, listener);
  }

  // Keep an item on the stage while it is moved.
  #onStage([x, y]) {
    const half = [this.center[0] / this.diameter, this.center[1] / this.diameter];
    const clip = (v, limit) => Math.max(-limit, Math.min(limit, v));
    return [clip(x, half[0]), clip(y, half[1])];
  }

  #drop(item, where) {
    item.place = settle(where);
    this.#draw(item);
    this.#changed();
  }

  // --- keyboard -------------------------------------------------------------------------------

  #key(item, event) {
    const held = this.picked === item;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (event.repeat) return;
      if (held) this.#putDown(item);
      else this.#pickUp(item);
    } else if (held && event.key === "Escape") {
      event.preventDefault();
      this.#release(item);
      this.#draw(item);
      this.announce(t("put_back", { number: item.number }));
    } else if (held && (steps[event.key] || event.key === "Home")) {
      event.preventDefault();
      const size = event.shiftKey ? FINE : STEP;
      const [dx, dy] = steps[event.key] ?? [0, 0];
      const [x, y] = event.key === "Home" ? [0, 0] : item.moving;
      item.moving = this.#onStage([x + dx * size, y + dy * size]);
      this.#draw(item);
      const inside = Math.hypot(...item.moving) <= EDGE;
      this.announce(
        inside ? t("moved", { place: spoken(item.moving) })
          : t("put_outside", { number: item.number }),
      );
    }
  }

  #pickUp(item) {
    if (this.picked) this.#putDown(this.picked);
    this.picked = item;
    item.moving = item.place ?? item.seat;
    item.element.classList.add("held");
    item.element.setAttribute("aria-pressed", "true");
    this.#front(item);
    this.announce(t("picked_up", { number: item.number }));
  }

  #release(item) {
    const where = item.moving;
    item.moving = null;
    this.picked = null;
    item.element.classList.remove("held");
    item.element.removeAttribute("aria-pressed");
    return where;
  }

  #putDown(item) {
    this.#drop(item, this.#release(item));
    if (item.place === null) {
      this.announce(t("put_outside", { number: item.number }));
      return;
    }
    const others = this.items.filter((other) => other !== item && other.place);
    const distance = (other) =>
      Math.hypot(other.place[0] - item.place[0], other.place[1] - item.place[1]);
    others.sort((a, b) => distance(a) - distance(b));
    const near = others.length ? ` ${t("nearest", { number: others[0].number })}` : "";
    this.announce(
      t("put_down", {
        number: item.number,
        place: spoken(item.place),
        remaining: remainingText(this.remaining),
      }) + near,
    );
  }

  #changed() {
    for (const item of this.items) {
      const label = item.place
        ? t("item_inside", { number: item.number, place: spoken(item.place) })
        : t("item_outside", { number: item.number });
      item.element.setAttribute("aria-label", `${item.entry.label ?? ""} ${label}`.trim());
    }
    const count = this.items.length;
    this.arena.setAttribute(
      "aria-label", t("arena_label", { placed: count - this.remaining, count }),
    );
    this.onChange();
  }
}

export function remainingText(count) {
  if (count === 0) return t("done_hint");
  return count === 1 ? t("remaining_one") : t("remaining", { count });
}

// Inside stays; just outside goes to the edge; further out goes back to its seat.
function settle([x, y]) {
  const far = Math.hypot(x, y);
  if (far > EDGE + SNAP) return null;
  return far <= EDGE ? [x, y] : [(x / far) * EDGE, (y / far) * EDGE];
}

// Percent of the radius, for the ear.
function spoken([x, y]) {
  const percent = (v) => Math.round(Math.abs(v) * 200);
  const parts = [];
  if (percent(x)) parts.push(t(x > 0 ? "place_right" : "place_left", { percent: percent(x) }));
  if (percent(y)) parts.push(t(y > 0 ? "place_down" : "place_up", { percent: percent(y) }));
  if (!parts.length) return t("place_center");
  return parts.length === 1 ? parts[0] : t("place", { horizontal: parts[0], vertical: parts[1] });
}

// Seats around a circle, row by row, from its edge outwards.
function places(width, height, diameter, size) {
  const pitch = size + GAP;
  const clear = diameter / 2 + GAP / 2;
  const rows = Math.floor((height - GAP) / pitch);
  const seats = [];
  for (let row = 0; row < rows; row++) {
    const y = (row - (rows - 1) / 2) * pitch;
    // As near as the corner of a square may come to the circle.
    const down = Math.max(Math.abs(y) - size / 2, 0);
    const first = down < clear ? Math.sqrt(clear * clear - down * down) + size / 2 : 0;
    for (let x = Math.max(first, pitch / 2); x + size / 2 + GAP / 2 <= width / 2; x += pitch) {
      for (const side of [-1, 1]) {
        seats.push({
          x: side * x, y, away: Math.hypot(x, y), angle: Math.atan2(side * x, -y),
        });
      }
    }
  }
  return seats;
}
