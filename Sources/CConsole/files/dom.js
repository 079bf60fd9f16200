// Elements, and text from elsewhere that is shown as text.

// Characters that are invisible or change the direction of what follows: shown by their number.
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u00a0\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;
const breaks = /[\t\n]/g;
const spell = (c) => `⟨${c === "\n" ? "newline" : c === "\t" ? "tab" : "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;

/** A value as one line without hidden characters: for attributes, titles and options. */
export const plain = (value) => String(value).replace(hidden, spell).replace(breaks, spell);

function pieces(value, multiline) {
  const nodes = [];
  let end = 0;
  const text = String(value);
  const found = [...text.matchAll(hidden), ...(multiline ? [] : text.matchAll(breaks))].sort((a, b) => a.index - b.index);
  for (const match of found) {
    if (match.index > end) nodes.push(document.createTextNode(text.slice(end, match.index)));
    const escape = document.createElement("span");
    escape.className = "escape";
    escape.textContent = spell(match[0]);
    nodes.push(escape);
    end = match.index + match[0].length;
  }
  if (end < text.length) nodes.push(document.createTextNode(text.slice(end)));
  return nodes;
}

function build(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else if (name === "value") element.value = value;
    else if (name === "multiline") continue;
    else element.setAttribute(name, value === true ? "" : plain(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(...(child instanceof Node ? [child] : pieces(child, props.multiline)));
  }
  return element;
}

const isProps = (value) => value?.constructor === Object;

function make(create, name, rest) {
  const [tag, ...classes] = name.split(".");
  const element = create(tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  return isProps(rest[0]) ? build(element, rest[0], rest.slice(1)) : build(element, {}, rest);
}

/** `h("p.muted", {title}, "text", node, …)`: an element. Strings become text, never markup. */
export const h = (name, ...rest) => make((tag) => document.createElement(tag), name, rest);

/** The same for SVG. */
export const svg = (name, ...rest) => make((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag), name, rest);

/** A name or another short text from elsewhere, isolated from what stands around it. */
export const t = (value) => h("bdi", value);

/** A longer text from elsewhere that may have several lines. */
export const block = (value) => h("bdi.block", { multiline: true }, value);

/** A reason in a line of a list: its lines follow one another. */
export const reason = (value) => h("q", h("bdi", { multiline: true }, value));

const flat = (value) => (Array.isArray(value) ? value.map(flat).join(", ")
  : value !== null && typeof value === "object" ? Object.entries(value).map(([name, part]) => `${name}=${flat(part)}`).join(", ")
    : value === "" ? '""' : String(value));

/** A value of JSON in one line. */
export const show = (value) => (value === null || value === undefined ? h("span.none", "none") : t(flat(value) || "none"));

/** Names and values, one below the other. */
export const pairList = (object) => h("dl.params", Object.entries(object).map(([name, value]) => [h("dt", t(name)), h("dd", show(value))]));

const handlers = ["onclick", "onsubmit", "oninput", "onchange"];

/** Makes the children of `parent` like `nodes`, and keeps elements that are there: focus, typed text and open details stay. */
export function morph(parent, nodes) {
  const wanted = [nodes].flat(Infinity).filter((node) => node instanceof Node);
  const keyed = new Map([...parent.children].filter((c) => c.dataset.key).map((c) => [c.dataset.key, c]));
  let at = parent.firstChild;
  for (const node of wanted) {
    const key = node.dataset?.key;
    let old = key ? keyed.get(key) : at;
    if (!key && old?.dataset?.key) old = null;
    if (old && old.nodeName === node.nodeName && old.nodeType === node.nodeType) {
      if (old !== at) parent.insertBefore(old, at);
      else at = at.nextSibling;
      sync(old, node);
    } else parent.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function sync(old, node) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== node.data) old.data = node.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!node.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS") && name !== "tabindex") old.removeAttribute(name);
  }
  for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const name of handlers) old[name] = node[name];
  if (old.nodeName !== "TEXTAREA") morph(old, [...node.childNodes]);
}

// MARK: Time. The agent's clock counts, not the browser's.

let offset = 0;
export const setClock = (date) => { if (date) offset = date - Date.now(); };
export const now = () => Date.now() + offset;

export function span(ms) {
  const s = Math.round(Math.abs(ms) / 1000);
  if (s < 60) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 129600 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
}

const relative = (at) => (at > now() ? `in ${span(at - now())}` : `${span(now() - at)} ago`);
const clockTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** A moment, as "3 min ago"; the exact time is its title. */
export function when(date) {
  const at = Date.parse(date);
  if (Number.isNaN(at)) return t(date ?? "");
  return h("time", { datetime: date, title: clockTime.format(at) }, relative(at));
}

/** A moment with date and time. */
export function exact(date) {
  const at = Date.parse(date);
  return Number.isNaN(at) ? t(date ?? "") : h("time.exact", { datetime: date }, clockTime.format(at));
}

setInterval(() => {
  for (const time of document.querySelectorAll("time:not(.exact)")) {
    const text = relative(Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
}, 10_000);

// MARK: Parts that several pages use

/** Says something to people who do not see the page; and shows it for a moment. */
export function say(text) {
  const region = document.getElementById("live");
  region.textContent = plain(text);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { region.textContent = ""; }, 8000);
}

export const notice = (kind, ...children) => h(`div.notice.${kind}`, { role: kind === "bad" ? "alert" : "status" }, children);

/** A labelled field; `control` gets the id, the hint and the error. */
export function field(label, control, { hint, error } = {}) {
  const id = control.id || (control.id = `f${(field.count = (field.count ?? 0) + 1)}`);
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  if (described) control.setAttribute("aria-describedby", described);
  if (error) control.setAttribute("aria-invalid", "true");
  return h("div.field", h("label", { for: id }, label), hint && h("p.hint", { id: `${id}-hint` }, hint), control,
    error && h("p.error", { id: `${id}-error` }, error));
}

export const select = (props, options, chosen) =>
  h("select", props, options.map(([value, label]) => h("option", { value, selected: value === chosen }, plain(label ?? value))));

/** Words for machine names: `stop_vm` is "Stop VM". */
export function words(name) {
  const text = String(name).replace(/_/g, " ").replace(/\b(vm|ha|sdn|vnet|id)\b/g,
    (word) => (word === "vnet" ? "VNet" : word.toUpperCase()));
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const looks = {
  high: "bad", medium: "warn", low: "calm",
  awaiting_approval: "warn", approved: "good", applied: "good", succeeded: "good", succeeded_with_warnings: "warn",
  denied: "bad", rejected: "bad", failed: "bad", unknown: "bad", running: "busy", queued: "calm", applying: "busy",
};
export const badge = (word, text) => h(`span.badge.${looks[word] ?? "calm"}`, text ?? words(word));
export const risk = (level) => badge(level, `${level} risk`);

/** The address of a guest's or a node's page; null if there is none for this target. */
export function targetHash(environment, target) {
  return /^(vm|lxc|node)\/[A-Za-z0-9-]+$/.test(target) ? `#/environments/${environment}/${target}` : null;
}

/** Sizes for people. */
export function bytes(n) {
  if (!(n >= 0)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  const i = n < 1 ? 0 : Math.min(5, Math.floor(Math.log2(n) / 10));
  return `${(n / 1024 ** i).toFixed(n / 1024 ** i < 10 && i > 0 ? 1 : 0)} ${units[i]}`;
}

/** A share between 0 and 1 as a small bar. */
export function meter(label, share) {
  const part = Math.max(0, Math.min(1, Number(share) || 0));
  const percent = Math.round(part * 100);
  return svg("svg", { class: `meter ${part > 0.9 ? "bad" : part > 0.7 ? "warn" : ""}`, viewBox: "0 0 100 8",
    preserveAspectRatio: "none", role: "img", "aria-label": `${label} ${percent} %` },
    svg("rect", { class: "track", width: 100, height: 8, rx: 2 }), svg("rect", { class: "part", width: percent, height: 8, rx: 2 }));
}
