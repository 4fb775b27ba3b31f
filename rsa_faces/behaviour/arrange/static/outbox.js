// What is done is kept on this computer until the server has said that it is saved.

const PREFIX = "rsa-faces";
const memory = new Map(); // where the browser refuses to keep anything

export function keep(kind, id, value) {
  const text = JSON.stringify(value);
  try {
    localStorage.setItem(`${PREFIX}:${kind}:${id}`, text);
    memory.delete(`${kind}:${id}`);
  } catch {
    memory.set(`${kind}:${id}`, text);
  }
}

export function kept(kind, id) {
  let text = memory.get(`${kind}:${id}`) ?? null;
  try {
    text ??= localStorage.getItem(`${PREFIX}:${kind}:${id}`);
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

export function forget(kind, id) {
  memory.delete(`${kind}:${id}`);
  try {
    localStorage.removeItem(`${PREFIX}:${kind}:${id}`);
  } catch {
    // nothing was kept there
  }
}

// The ids of what is kept of one kind.
export function waiting(kind) {
  const start = `${PREFIX}:${kind}:`;
  const ids = [...memory.keys()]
    .filter((key) => key.startsWith(`${kind}:`))
    .map((key) => key.slice(kind.length + 1));
  try {
    for (let i = 0; i < localStorage.length; i++) {
      const key = localStorage.key(i);
      if (key.startsWith(start)) ids.push(key.slice(start.length));
    }
  } catch {
    // nothing was kept there
  }
  return ids;
}

export const onlyInMemory = () => memory.size > 0;

let identity = {};

// Whose link it is goes with every question, in a header.
export function identify(token) {
  identity = token ? { authorization: `Bearer ${token}` } : {};
}

// Ask the server; what fails for want of a connection throws, every answer comes back.
export async function ask(path, body) {
  const options = { cache: "no-store", credentials: "same-origin", headers: identity };
  if (body !== undefined) {
    options.method = "POST";
    options.headers = { ...identity, "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 20000);
  try {
    const answer = await fetch(path, { ...options, signal: stop.signal });
    if (answer.status >= 500 || answer.status === 408 || answer.status === 429) {
      throw new Error(`status ${answer.status}`);
    }
    const json = answer.headers.get("content-type")?.startsWith("application/json");
    return { status: answer.status, ok: answer.ok, data: json ? await answer.json() : null };
  } finally {
    clearTimeout(timer);
  }
}

// Wait longer after each failure, but not when the connection comes back.
function pause(seconds) {
  return new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      removeEventListener("online", go);
      resolve();
    };
    const timer = setTimeout(go, seconds * 1000);
    addEventListener("online", go);
  });
}

export async function persist(path, body, onFailure) {
  for (let seconds = 1; ; seconds = Math.min(seconds * 2, 15)) {
    try {
      return await ask(path, body);
    } catch {
      onFailure();
      await pause(seconds);
    }
  }
}
