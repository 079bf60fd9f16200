// The audit log: records, search, the chain and its checkpoint.
import { get, getText } from "./api.js";
import { block, exact, h, notice, select, t } from "./dom.js";

const step = 500;

export default async function audit(page) {
  const view = { head: null, records: [], from: 0, checkpoint: undefined, query: "", kind: "", message: null };
  view.draw = () => page.draw("Audit", ...body(view));
  let reading = false;
  view.newest = async () => {
    if (reading) return;
    reading = true;
    try { await newest(); } finally { reading = false; }
  };
  const newest = async () => {
    view.head = await get("/v1/audit/head");
    const after = view.records.at(-1)?.seq ?? Math.max(0, view.head.seq - step);
    if (!view.records.length) view.from = after;
    view.records.push(...await range(after, Infinity));
    view.draw();
  };
  view.older = async () => {
    const begin = Math.max(0, view.from - step);
    view.records.unshift(...await range(begin, view.from));
    view.from = begin;
    view.draw();
  };
  await view.newest();
  try { view.checkpoint = await getText("/v1/audit/checkpoint"); } catch { view.checkpoint = null; }
  view.draw();
  page.live(() => true, view.newest);
  // Who may read the log may not always listen to events.
  const timer = setInterval(() => { if (document.visibilityState === "visible") view.newest().catch(() => {}); }, 10_000);
  page.signal.addEventListener("abort", () => clearInterval(timer));
}

/** Records after one number, up to and with another. */
async function range(after, end) {
  const records = [];
  for (let next = after; next !== null && next < end; ) {
    const answer = await get(`/v1/audit?after=${next}&limit=${Math.min(1000, end - next)}`);
    records.push(...answer.records);
    next = answer.next ?? null;
  }
  return records.filter((record) => record.seq <= end);
}

function body(view) {
  const wanted = view.query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = view.records.filter((record) => (!view.kind || record.kind === view.kind)
    && (!wanted.length || wanted.every((word) => JSON.stringify(record).toLowerCase().includes(word)))).reverse();
  const kinds = [...new Set(view.records.map((record) => record.kind))].sort();
  return [
    h("h1", { tabindex: "-1" }, "Audit"),
    h("section.chain", h("h2", "Chain"), h("p", `${view.head.seq} records; the newest has the hash `,
      h("code.hash", view.head.hash)), linked(view.records), checkpoint(view.checkpoint)),
    h("h2", "Records"),
    h("form.filters", { role: "search", onsubmit: (event) => event.preventDefault() },
      h("label", "Search ", h("input", { type: "search", placeholder: "plan, person, machine, code", autocomplete: "off",
        spellcheck: "false", oninput: (event) => { view.query = event.target.value; view.draw(); } })),
      h("label", "Kind ", select({ onchange: (event) => { view.kind = event.target.value; view.draw(); } },
        [["", "all"], ...kinds.map((kind) => [kind, kind.replace(/_/g, " ")])], view.kind))),
    h("p.muted", { role: "status" }, `${found.length} of the ${view.records.length} records after number ${view.from}`),
    h("ul.rows.records", found.slice(0, 500).map(row)),
    view.from > 0 && h("p", h("button", { type: "button", onclick: () => view.older() }, "Older records")),
  ];
}

/** Whether each record that is here names the one before it. */
function linked(records) {
  const broken = records.find((record, i) => i > 0 && records[i - 1].seq === record.seq - 1 && records[i - 1].hash !== record.prev);
  return broken ? notice("bad", h("p", `Record ${broken.seq} does not follow the one before it.`))
    : h("p.muted", "Each record shown names the hash of the one before it. ", h("code", "proxmox-agent audit verify"),
      " checks the hashes themselves.");
}

function checkpoint(note) {
  if (note === undefined) return null;
  if (!note) return h("p.muted", "This agent makes no checkpoints.");
  const [text, signatures = ""] = note.split("\n\n");
  const [origin, size, root] = text.split("\n");
  const names = signatures.split("\n").filter((line) => line.startsWith("— ")).map((line) => line.split(" ")[1]);
  return h("div", h("p", "Checkpoint of ", t(origin), " over ", h("strong", t(size)), " records, signed by ",
    names.map((name, i) => [i > 0 && ", ", t(name)]), "."),
    h("details", h("summary", "The checkpoint"), h("pre", block(note)), h("p.muted", "Root ", h("code.hash", t(root)))));
}

function row(record) {
  const { request, result } = record;
  const what = [request?.action, request?.target].filter(Boolean).join(" ");
  const outcome = [result?.status, result?.state, result?.code, result?.event].filter((word) => typeof word === "string").join(" ");
  return h("li", { "data-key": `r${record.seq}` },
    h("details", h("summary", h("span.seq", record.seq), " ", h("strong", t(record.kind)), " ", t(record.actor ?? ""),
    what && [" · ", t(what)], record.environment && [" in ", t(record.environment)], outcome && [" · ", t(outcome)], " ",
      h("span.muted", exact(record.ts))),
  record.plan_id && h("p", h("a", { href: `#/plans/${record.plan_id}` }, "Plan")),
    record.operation_id && h("p", h("a", { href: `#/operations/${record.operation_id}` }, "Operation")),
  h("pre", block(JSON.stringify(record, null, 2)))));
}
