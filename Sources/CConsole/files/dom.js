// Elements, and text from elsewhere that is shown as text.

// Characters that are invisible, look like others or turn what follows around, all blanks but U+0020 among them: shown by their number.
const hidden = /(?![\t\n ])[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Z}\u034f\u2800\u3164]/gu;
const breaks = /[\t\n]/g;
const spell = (c) => `⟨${c === "\n" ? "newline" : c === "\t" ? "tab" : "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;

const flat = (value) => (Array.isArray(value) ? value.map(flat).join(", ")
  : value !== null && typeof value === "object" ? Object.entries(value).map(([name, part]) => `${name}=${flat(part)}`).join(", ")
    : value === "" ? '""' : String(value));

/** What stands for a value of JSON in a text. */
const text = (value) => (value !== null && typeof value === "object" ? flat(value) : String(value));

/** A value as one line without hidden characters: for attributes, titles and options. */
export const plain = (value) => text(value).replace(hidden, spell).replace(breaks, spell);

function pieces(value, multiline) {
  const nodes = [];
  let end = 0;
  const whole = text(value);
  const found = [...whole.matchAll(hidden), ...(multiline ? [] : whole.matchAll(breaks))].sort((a, b) => a.index - b.index);
  for (const match of found) {
    if (match.index > end) nodes.push(document.createTextNode(whole.slice(end, match.index)));
    const escape = document.createElement("span");
    escape.className = "escape";
    escape.textContent = spell(match[0]);
    nodes.push(escape);
    end = match.index + match[0].length;
  }
  if (end < whole.length) nodes.push(document.createTextNode(whole.slice(end)));
  return nodes;
}

const handlers = ["onclick", "onsubmit", "oninput", "onchange"];
// No other attribute is ever set: a value from elsewhere that gets here can make no handler, style or address.
const allowed = new RegExp(`^(aria-[a-z]+|data-[a-z]+|auto(capitalize|complete)|checked|class|d|datetime|disabled|for|height|id|inputmode|max|maxlength
min|minlength|name|novalidate|open|pattern|placeholder|points|preserveAspectRatio|required|role|rows|rx|scope|selected|spellcheck|start|step
tabindex|title|type|viewBox|width)$`.replaceAll("\n", "|"));

function build(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (handlers.includes(name)) { if (typeof value === "function") element[name] = value; }
    else if (name === "value") element.value = value;
    else if (allowed.test(name) || (name === "href" && String(value).startsWith("#"))) element.setAttribute(name, value === true ? "" : plain(value));
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
export const t = (value) => h("bdi", {}, text(value));

/** A longer text from elsewhere that may have several lines. */
export const block = (value) => h("bdi.block", { multiline: true }, text(value));

/** A reason in a line of a list: its lines follow one another. */
export const reason = (value) => h("q", h("bdi", { multiline: true }, text(value)));

/** A value of JSON in one line. */
export const show = (value) => (value === null || value === undefined ? h("span.none", "none") : t(flat(value) || "none"));

/** A cell of a table; on a narrow screen it begins with the name of its column. */
export const cell = (name, ...content) => h("td", { "data-label": name }, content);

/** Names and values, one below the other. */
export const pairList = (object) => h("dl.params", Object.entries(object).map(([name, value]) => [h("dt", t(name)), h("dd", show(value))]));

/** Makes the children of `parent` like `nodes`; elements that are there keep focus, typed text and open details. */
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

// What has happened is never shown as to come: clocks differ.
function relative(at, ahead) {
  const rest = at - now();
  if (ahead && rest >= 1000) return `in ${span(rest)}`;
  return rest > -10_000 ? (ahead ? "now" : "just now") : `${span(rest)} ago`;
}
const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
// Some languages put blanks of their own into a time.
const clockTime = (at) => format.format(at).replace(/\p{Zs}/gu, " ");

function moment(date, ahead) {
  const at = Date.parse(date);
  if (Number.isNaN(at)) return t(date ?? "");
  return h(ahead ? "time.ahead" : "time", { datetime: date, title: clockTime(at) }, relative(at, ahead));
}

/** A moment that has been, as "3 min ago"; the exact time is its title. */
export const when = (date) => moment(date, false);

/** A moment to come, as "in 3 min". */
export const until = (date) => moment(date, true);

/** A moment with date and time. */
export function exact(date) {
  const at = Date.parse(date);
  return Number.isNaN(at) ? t(date ?? "") : h("time.exact", { datetime: date }, clockTime(at));
}

setInterval(() => {
  for (const time of document.querySelectorAll("time:not(.exact)")) {
    const words = relative(Date.parse(time.dateTime), time.className === "ahead");
    if (time.textContent !== words) time.textContent = words;
  }
}, 10_000);

// MARK: Parts that several pages use

/** Says something to people who do not see the page; and shows it for a moment. */
export function say(message) {
  const region = document.getElementById("live");
  region.textContent = plain(message);
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

/** The text of a required control; an empty one is marked. */
export function typed(control) {
  const value = control.value.trim();
  if (!value) { control.setAttribute("aria-invalid", "true"); control.focus(); }
  return value;
}

export const select = (props, options, chosen) =>
  h("select", props, options.map(([value, label]) => h("option", { value, selected: value === chosen }, plain(label ?? value))));

/** Words for machine names: `stop_vm` is "Stop VM". */
export function words(name) {
  const spaced = String(name).replace(/_/g, " ").replace(/\b(vm|ha|sdn|vnet|id)\b/g,
    (word) => (word === "vnet" ? "VNet" : word.toUpperCase()));
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

const looks = {
  high: "bad", medium: "warn", low: "calm",
  awaiting_approval: "warn", approved: "good", applied: "good", succeeded: "good", succeeded_with_warnings: "warn",
  denied: "bad", rejected: "bad", failed: "bad", unknown: "bad", running: "busy", queued: "calm", applying: "busy",
};
export const badge = (word, text) => h(`span.badge.${looks[word] ?? "calm"}`, text || words(word));
/** The state of a plan; what needed no approval has none. */
export const standing = ({ state, requires }) => badge(state, state === "approved" && requires.approvals === 0 && "Ready");
/** How many approvals there are. */
export const counted = ({ approvals, requires }) => (requires.approvals === 0 ? "needs no approval"
  : `${approvals.length} of ${requires.approvals} approval${requires.approvals === 1 ? "" : "s"}`);
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
