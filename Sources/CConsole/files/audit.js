// The audit log: records, search, the chain and its checkpoint.
import { get, getText } from "./api.js";
import { block, exact, h, notice, select, t } from "./dom.js";

// Numbers of records in one step, steps of one search, and how many records are enough.
const step = 1000;
const steps = 25;
const enough = 200;

export default async function audit(page) {
  const filter = new URLSearchParams([...page.query].filter(([name]) => ["kind", "principal", "plan_id"].includes(name)));
  const view = { filter, head: null, records: [], from: 0, to: 0, checkpoint: undefined, query: "" };
  view.draw = () => page.draw("Audit", ...body(view));
  view.older = async () => {
    for (let i = 0, found = 0; i < steps && view.from > 0 && found < enough; i += 1) {
      const begin = Math.max(0, view.from - step);
      const records = await range(view, begin, view.from);
      view.records.unshift(...records);
      view.from = begin < view.oldest ? 0 : begin;
      found += records.length;
    }
    view.draw();
  };
  let reading = false;
  view.newer = async () => {
    if (reading) return;
    reading = true;
    try {
      view.head = await get("/v1/audit/head");
      view.records.push(...await range(view, view.to));
    } finally { reading = false; }
    view.draw();
  };
  view.head = await get("/v1/audit/head");
  view.from = view.to = (await get("/v1/audit?limit=1")).newest;
  await view.older();
  view.checkpoint = await getText("/v1/audit/checkpoint").catch(() => undefined);
  view.draw();
  page.live(() => true, view.newer);
  // Not all who read the log may listen to events.
  const timer = setInterval(() => { if (document.visibilityState === "visible") view.newer().catch(() => {}); }, 10_000);
  page.signal.addEventListener("abort", () => clearInterval(timer));
}

// Where each record is among those of all agents.
const numbers = new WeakMap();
const number = (record) => numbers.get(record);

/** Records after one number, up to another, that the filter accepts. */
async function range(view, after, end = Infinity) {
  const records = [];
  let to = 0;
  for (let next = after; next !== null && next < end; ) {
    const query = new URLSearchParams(view.filter);
    query.set("after", next);
    query.set("limit", Math.min(1000, end - next));
    const answer = await get(`/v1/audit?${query}`);
    answer.records.forEach((record, i) => numbers.set(record, answer.numbers[i]));
    records.push(...answer.records);
    to = Math.max(answer.newest, answer.numbers.at(-1) ?? 0);
    view.oldest = answer.oldest;
    if (answer.numbers.at(-1) >= end) break;
    next = answer.next;
  }
  if (end === Infinity) view.to = to;
  return records.filter((record) => number(record) <= end);
}

const known = ["read", "plan", "refuse", "approve", "reject", "queue", "apply_intent", "apply", "cancel", "resolve", "freeze", "unfreeze",
  "expire", "withdraw", "void", "config", "session", "notify", "auth_failures", "log"];

const records = (count) => `${count} record${count === 1 ? "" : "s"}`;

function body(view) {
  const wanted = view.query.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (record) => { const text = JSON.stringify(record).toLowerCase(); return wanted.every((word) => text.includes(word)); };
  const found = (wanted.length ? view.records.filter(matches) : [...view.records]).reverse();
  // What a plan is about is in the record of the plan.
  const about = new Map(view.records.filter((record) => record.request && record.plan_id).map((record) => [record.plan_id, record.request]));
  return [
    h("h1", { tabindex: "-1" }, "Audit"),
    h("section.chain", h("h2", "Chain"), h("p", records(view.head.seq), view.head.agent && [" of agent ", t(view.head.agent)], "; the newest has the hash ", h("code.hash", view.head.hash)),
      linked(view.records), checkpoint(view.checkpoint)),
    h("h2", "Records"), search(view),
    h("p.muted", { role: "status" }, records(found.length), found.length > 1 && `, numbers ${number(found.at(-1))} to ${number(found[0])}`,
      wanted.length > 0 && ` with ${view.query}`, view.from > 0 && `; number ${view.from} and those before it are not looked through yet`),
    h("ul.rows.records", found.slice(0, 500).map((record) => row(record, about))), found.length > 500 && h("p.muted", "The newest 500 are shown: narrow the search."),
    view.from > 0 && h("p", h("button", { type: "button", onclick: () => view.older() }, "Older records")),
  ];
}

function search(view) {
  const { filter } = view;
  const kinds = [...new Set([...known, ...view.records.map((record) => record.kind)])].sort();
  const find = (event) => {
    event.preventDefault();
    const query = new URLSearchParams();
    for (const name of ["kind", "principal", "plan_id"]) {
      const value = event.target.elements[name].value.trim();
      if (value) query.set(name, value);
    }
    location.hash = query.size ? `#/audit?${query}` : "#/audit";
  };
  const typed = (event) => { view.query = event.target.value; view.draw(); };
  return h("form.filters", { role: "search", onsubmit: find },
    h("label", "Search ", h("input", { type: "search", placeholder: "any word of a record", autocomplete: "off",
      spellcheck: "false", oninput: typed })),
    h("label", "Kind ", select({ name: "kind", onchange: (event) => event.target.form.requestSubmit() },
      [["", "all"], ...kinds.map((kind) => [kind, kind.replace(/_/g, " ")])], filter.get("kind") ?? "")),
    h("label", "Principal ", h("input", { name: "principal", value: filter.get("principal") ?? "", autocomplete: "off",
      spellcheck: "false" })),
    h("label", "Plan ", h("input", { name: "plan_id", value: filter.get("plan_id") ?? "", placeholder: "pln_…", autocomplete: "off",
      spellcheck: "false" })),
    h("button", "Find"));
}

/** Whether each record that is here names the one before it. */
function linked(records) {
  const last = {};
  const broken = records.find((record) => {
    const before = last[record.agent];
    last[record.agent] = record;
    return before?.seq === record.seq - 1 && before.hash !== record.prev;
  });
  return broken ? notice("bad", h("p", `Record ${number(broken)} does not follow the one before it.`))
    : h("p.muted", "Each record shown names the hash of the one before it. ", h("code", "proxmox-agent audit verify"),
      " checks the hashes themselves.");
}

function checkpoint(note) {
  if (note === undefined) return null;
  if (!note) return h("p.muted", "There is no checkpoint yet.");
  const [text, signatures = ""] = note.split("\n\n");
  const [origin, size, root] = text.split("\n");
  const names = signatures.split("\n").filter((line) => line.startsWith("— ")).map((line) => line.split(" ")[1]);
  return h("div", h("p", "Checkpoint of ", t(origin), " over ", h("strong", t(size)), " records, signed by ",
    names.map((name, i) => [i > 0 && ", ", t(name)]), "."),
    h("details", h("summary", "The checkpoint"), h("pre", block(note)), h("p.muted", "Root ", h("code.hash", t(root)))));
}

function row(record, about) {
  const { result } = record;
  const request = record.request ?? about.get(record.plan_id);
  const what = [request?.action, request?.target].filter(Boolean).join(" ");
  const outcome = [result?.status, result?.state, result?.code, result?.event].filter((word) => typeof word === "string").join(" ");
  return h("li", { "data-key": `r${number(record)}` },
    h("details", h("summary", h("span.seq", number(record)), " ", h("strong", t(record.kind)), " ", t(record.actor ?? ""), record.agent && [" at ", t(record.agent)],
    what && [" · ", t(what)], record.environment && [" in ", t(record.environment)], outcome && [" · ", t(outcome)], " ",
      h("span.muted", exact(record.ts))),
  record.plan_id && h("p", h("a", { href: `#/plans/${record.plan_id}` }, "Plan")),
    record.operation_id && h("p", h("a", { href: `#/operations/${record.operation_id}` }, "Operation")),
  h("pre", block(JSON.stringify(record, null, 2)))));
}
