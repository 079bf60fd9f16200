// A guest or a node: load, actions, snapshots, plans, operations.
import { actions, get, read } from "./api.js";
import { badge, bytes, exact, h, meter, notice, pairList, risk, select, span, svg, t, words } from "./dom.js";
import { targetOf } from "./environments.js";
import { operationRows } from "./operations.js";
import { planRows } from "./plans.js";
import { requestHash } from "./request.js";
import { covers, may } from "./state.js";

export default async function machine(page) {
  const [environment, target] = page.parts;
  const view = { environment, target, frame: "hour", facts: null, catalogue: [], plans: [], operations: [], problems: new Map() };
  view.draw = () => page.draw(view.facts?.name ?? target, ...body(view));
  view.isNode = target.startsWith("node/");
  const own = async (name, work) => {
    try { view[name] = await work(); view.problems.delete(name); } catch (problem) {
      if (problem.status === 401 || problem.name === "AbortError") throw problem;
      view.problems.set(name, problem.message);
    }
    view.draw();
  };
  const lists = () => Promise.all(["plans", "operations"].map((list) =>
    own(list, async () => (await get(`/v1/${list}?environment=${environment}&target=${target}&limit=20`))[list])));
  view.loadLoad = () => own("load", async () => (await read(environment, "read_metrics", target, { timeframe: view.frame })).data);
  const facts = () => Promise.all([
    own("facts", () => (view.isNode ? nodeFacts(view) : guestFacts(view))),
    !view.isNode && own("snapshots", async () => (await read(environment, "read_snapshots", target)).data),
    !view.isNode && own("config", async () => (await read(environment, "read_config", target)).data),
  ]);
  const kind = `${target.split("/")[0]}/`;
  await Promise.all([facts(), lists(), view.loadLoad(), own("catalogue", async () => (await actions()).filter((entry) =>
    entry.effect === "change" && !entry.name.startsWith("create_") && entry.targets.some((form) => form.startsWith(kind))))]);
  page.live((event) => event.environment === environment && /^(plan|operation)\.(?!progress)/.test(event.kind), lists);
  // What is there is read from Proxmox VE, and each read is recorded.
  page.live((event) => event.environment === environment && event.kind === "operation.ended", facts);
}

async function nodeFacts({ environment, target }) {
  const { result } = await get(`/v1/nodes?environment=${environment}`);
  const node = result.data.find((row) => `node/${row.node}` === target);
  if (!node) throw new Error("There is no such node.");
  return { ...node, name: node.node };
}

async function guestFacts({ environment, target }) {
  const { result } = await get(`/v1/inventory?environment=${environment}&fields=name,status,node,cpu,mem,disk,maxcpu,maxmem,maxdisk,uptime,template,lock`);
  const guest = result.data.find((row) => targetOf(row) === target);
  if (!guest) throw new Error("There is no such guest.");
  return guest;
}

function body(view) {
  const { environment, target, facts } = view;
  return [
    h("header.page",
      facts && h("div.badges", badge(["running", "online"].includes(facts.status) ? "approved" : "calm", t(facts.status)),
        facts.template === 1 && badge("calm", "template"), facts.lock && badge("medium", ["locked: ", t(facts.lock)])),
      h("h1", { tabindex: "-1" }, t(facts?.name ?? target)),
      h("p.where", t(target), " in ", h("a", { href: `#/environments/${environment}` }, t(environment)),
        facts?.node && !view.isNode && [" on ", h("a", { href: `#/environments/${environment}/node/${facts.node}` },
          t(facts.node))], facts?.uptime > 0 && ` · up ${span(facts.uptime * 1000)}`)),
    [...new Set(view.problems.values())].map((text) => notice("bad", h("p", t(text)))),
    h("div.columns",
      facts && h("section", h("h2", "Load"), gauges(facts), picture(view)),
      view.catalogue.length > 0 && may("change") && covers(environment) && actionList(view),
      view.snapshots && snapshots(view),
      view.config && h("section", h("h2", "Configuration"), h("details", h("summary", "Settings"), pairList(view.config.config ?? {}))),
      h("section", h("h2", "Plans"), view.plans.length ? planRows(view.plans) : h("p.muted", "None.")),
      h("section", h("h2", "Operations"), view.operations.length ? operationRows(view.operations) : h("p.muted", "None."))),
  ];
}

function gauges(facts) {
  const row = (name, share, text) => h("p.gauge", h("span", name), meter(name, share), h("span.muted", text));
  return h("div", row("CPU", facts.cpu, `${(100 * (facts.cpu ?? 0)).toFixed(1)} % of ${facts.maxcpu ?? "?"}`),
    row("Memory", facts.mem / facts.maxmem, `${bytes(facts.mem)} of ${bytes(facts.maxmem)}`),
    facts.disk > 0 && row("Disk", facts.disk / facts.maxdisk, `${bytes(facts.disk)} of ${bytes(facts.maxdisk)}`));
}

const frames = ["hour", "day", "week", "month", "year"];

/** What the machine used lately, as lines. */
function picture(view) {
  const rows = (view.load ?? []).filter((row) => Number.isFinite(row.cpu));
  const memory = (row) => (row.maxmem ?? row.memtotal) > 0 ? (row.mem ?? row.memused) / (row.maxmem ?? row.memtotal) : NaN;
  const begin = view.load?.[0]?.time ?? 0;
  const end = view.load?.at(-1)?.time ?? 1;
  const line = (share) => rows.map((row) => [row.time, share(row)]).filter(([, value]) => Number.isFinite(value))
    .map(([time, value]) => `${(300 * (time - begin) / Math.max(1, end - begin)).toFixed(1)},${(60 - 60 * Math.min(1, Math.max(0, value))).toFixed(1)}`).join(" ");
  const mean = (share) => { const values = rows.map(share).filter(Number.isFinite); return values.length
    ? `${(100 * values.reduce((a, b) => a + b, 0) / values.length).toFixed(0)} %` : "not known"; };
  const cpu = (row) => row.cpu;
  return h("div.picture",
    h("label", "Last ", select({ onchange: (event) => { view.frame = event.target.value; view.loadLoad(); } },
      frames.map((frame) => [frame, frame]), view.frame)),
    rows.length < 2 ? h("p.muted", view.load ? "Proxmox VE has no figures for this time yet." : "Loading …")
      : [svg("svg", { viewBox: "0 0 300 60", preserveAspectRatio: "none", role: "img",
        "aria-label": `Last ${view.frame}: CPU ${mean(cpu)}, memory ${mean(memory)} on average` },
        svg("path", { class: "grid", d: "M0 15H300M0 30H300M0 45H300" }), svg("polyline", { class: "cpu", points: line(cpu) }),
          svg("polyline", { class: "memory", points: line(memory) })),
      h("p.legend", h("span.cpu", "CPU"), " ", mean(cpu), " · ", h("span.memory", "Memory"), " ", mean(memory), " on average")]);
}

function actionList(view) {
  const order = { low: 0, medium: 1, high: 2 };
  return h("section", h("h2", "Actions"), h("p.muted", "Each makes a plan first; nothing happens before it is applied."),
    h("ul.actions-list", [...view.catalogue].sort((a, b) => order[a.risk_level] - order[b.risk_level]).map((entry) =>
      h("li", h("a", { href: requestHash(view.environment, view.target, entry.name), title: entry.summary }, words(entry.name)),
        entry.risk_level === "high" && [" ", risk("high")]))));
}

function snapshots(view) {
  const list = view.snapshots.filter((snapshot) => snapshot.name !== "current");
  const kind = view.target.startsWith("vm/") ? "snapshot_vm" : "snapshot_container";
  const to = (action, params) => requestHash(view.environment, view.target, action, params);
  return h("section", h("h2", "Snapshots"), list.length === 0 ? h("p.muted", "None.") : h("ul.rows", list.map((snapshot) => h("li",
    h("strong", t(snapshot.name)), snapshot.description && [" · ", t(snapshot.description)],
    h("p.muted", snapshot.snaptime && exact(new Date(snapshot.snaptime * 1000).toISOString())),
    may("change") && h("p", h("a", { href: to("rollback_snapshot", { snapname: snapshot.name }) }, "Roll back"), " · ",
      h("a", { href: to("delete_snapshot", { snapname: snapshot.name }) }, "Delete"))))),
  may("change") && h("p", h("a.button", { href: to(kind) }, "Take a snapshot")));
}
