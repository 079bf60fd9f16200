// The agent's HTTP API: requests, problems and the stream of events.
import { setClock } from "./dom.js";

/** A refusal of the agent, or a failure to reach it. */
class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    this.code = body.code ?? "unreachable";
    this.body = body;
  }
}

/** What pages tell each other: see `listen`, and the listeners in app.js. */
export const bus = new EventTarget();
const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));

// What the page asks for without anybody's doing (timers, events) says so, and keeps no session alive.
let touched = performance.now();
for (const name of ["pointerdown", "keydown", "wheel"]) addEventListener(name, () => { touched = performance.now(); }, { capture: true, passive: true });
const isBackground = (method, path) => method === "GET" && (performance.now() - touched > 3000 || path.startsWith("/v1/events"));

let sessions = 0;
/** Another session has begun: late answers to the one before end nothing. */
export const beginSession = () => { sessions += 1; };

async function request(method, path, body, { signal, headers } = {}) {
  const mine = sessions;
  let response;
  try {
    response = await fetch(path, {
      method, signal, cache: "no-cache", redirect: "error", credentials: "same-origin",
      headers: { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(isBackground(method, path) && { "X-Background": "1" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The agent cannot be reached. What you see may be old." });
  }
  setClock(Date.parse(response.headers.get("Date")));
  if (response.ok) return response;
  let problem = {};
  try { problem = await response.json(); } catch { /* not one of the agent's answers */ }
  if (response.status === 401 && mine === sessions && !(method === "POST" && path.startsWith("/v1/session"))) emit("signed-out");
  throw new Problem(response.status, problem);
}

/** Sends a request and gives the JSON of the answer. */
export async function api(method, path, body, options) {
  const response = await request(method, path, body, options);
  return response.status === 204 ? null : response.json();
}

export const get = (path, options) => api("GET", path, undefined, options);

/** A text; null where the agent has no such thing. */
export async function getText(path, options) {
  try {
    return await (await request("GET", path, undefined, { ...options, headers: { Accept: "text/plain, application/json" } })).text();
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
}

/** All pages of a list, up to `most` rows. */
export async function pages(path, member, most, options) {
  const rows = [];
  let before = "";
  do {
    const page = await get(`${path}${path.includes("?") ? "&" : "?"}limit=500${before}`, options);
    rows.push(...page[member]);
    before = page.next ? `&before=${page.next}` : "";
  } while (before && rows.length < most);
  return rows;
}

/** A read of the catalogue. */
export async function read(environment, action, target, params, options) {
  return (await api("POST", "/v1/actions/apply", { environment, action, target, params }, options)).result;
}

let catalogue;
/** The actions, asked for once. */
export async function actions() {
  catalogue ??= get("/v1/actions").then((answer) => answer.actions, (problem) => { catalogue = null; throw problem; });
  return catalogue;
}

// MARK: Events

const pause = (ms, signal) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
});

/**
 * Listens until `signal` ends it. The bus gets `event` for each event, `resync` when events may have been missed, and `link` with
 * "live", "lost" or "none" (the caller may not listen).
 *
 * Browsers open six connections to a host. So one of the windows of a browser listens, and tells the others.
 */
export async function listen(signal) {
  if (!navigator.locks || !globalThis.BroadcastChannel) return stream(signal, emit, { last: "" });
  const channel = new BroadcastChannel("events");
  const seen = { last: "", link: "lost" };
  const note = (name, detail, last) => {
    if (last) seen.last = last;
    if (name === "link") seen.link = detail;
    emit(name, detail);
  };
  let leads = false;
  channel.onmessage = ({ data: { name, detail, last } }) => {
    if (name !== "hello") note(name, detail, last);
    else if (leads) channel.postMessage({ name: "link", detail: seen.link, last: seen.last });
  };
  signal.addEventListener("abort", () => channel.close(), { once: true });
  channel.postMessage({ name: "hello" });
  const tell = (name, detail, last) => {
    note(name, detail, last);
    if (!signal.aborted) channel.postMessage({ name, detail, last });
  };
  try {
    await navigator.locks.request("events", { signal }, () => {
      leads = true;
      return stream(signal, tell, seen);
    });
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
  return undefined;
}

async function stream(signal, tell, seen) {
  for (let failures = 0; !signal.aborted; ) {
    const link = new AbortController();
    const stop = () => link.abort();
    signal.addEventListener("abort", stop, { once: true });
    let silence;
    const heard = () => { clearTimeout(silence); silence = setTimeout(stop, 40_000); };
    try {
      heard();
      const response = await request("GET", `/v1/events${seen.last && `?after=${seen.last}`}`, undefined,
        { signal: link.signal, headers: { Accept: "text/event-stream" } });
      failures = 0;
      tell("link", "live");
      if (!seen.last) tell("resync");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        heard();
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) dispatch(part, tell, seen);
      }
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.status === 401) return;
      if (problem.status === 403) return void tell("link", "none");
      if ([400, 409].includes(problem.status)) seen.last = "";
    } finally {
      clearTimeout(silence);
      signal.removeEventListener("abort", stop);
    }
    failures += 1;
    if (failures > 1) tell("link", "lost");
    await pause(Math.min(30_000, 500 * 2 ** failures) * (0.75 + Math.random() / 2), signal);
  }
}

function dispatch(part, tell, seen) {
  const data = [];
  for (const line of part.split("\n")) {
    if (line.startsWith("id:")) seen.last = line.slice(3).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  let event = null;
  try { event = data.length ? JSON.parse(data.join("\n")) : null; } catch { /* not one of the agent's events */ }
  if (event) tell("event", event, seen.last);
}
