// Environments with their nodes and guests.
import { get } from "./api.js";
import { badge, bytes, cell, h, meter, notice, select, span, t, when } from "./dom.js";
import { may } from "./state.js";

const most = 300;
const fields = "name,status,node,tags,cpu,mem,maxcpu,maxmem,uptime,template,lock";

export const targetOf = (guest) => `${guest.type === "lxc" ? "lxc" : "vm"}/${guest.vmid}`;

/** The name of a guest in the inventory; null for other targets, or if that cannot be read. */
export async function nameOf(environment, target) {
  if (!/^(vm|lxc)\//.test(target)) return null;
  try {
    const { result } = await get(`/v1/inventory?environment=${encodeURIComponent(environment)}&fields=name`);
    return result.data.find((guest) => targetOf(guest) === target)?.name ?? null;
  } catch (problem) {
    if (problem.status === 401) throw problem;
    return null;
  }
}

export default async function environments(page) {
  const [chosen] = page.parts;
  const view = { list: [], nodes: new Map(), guests: null, problems: [], query: "", only: "" };
  view.draw = () => page.draw(chosen ?? "Environments", ...body(view, chosen));
  view.load = async () => {
    const all = (await get("/v1/environments")).environments;
    view.list = chosen ? all.filter((environment) => environment.name === chosen) : all;
    if (chosen && !view.list.length) throw Object.assign(new Error(), { status: 404 });
    view.draw();
    await Promise.all([loadGuests(view, chosen),
      ...view.list.filter((environment) => environment.reachable !== false).map((environment) => loadNodes(view, environment.name))]);
    view.draw();
  };
  await view.load();
  page.live((event) => event.kind.startsWith("environment.") || event.kind === "operation.ended", view.load);
}

async function loadNodes(view, name) {
  try { view.nodes.set(name, (await get(`/v1/nodes?environment=${name}`)).result.data); } catch (problem) { if (problem.status === 401) throw problem; }
}

async function loadGuests(view, chosen) {
  try {
    const guests = [];
    let after = "";
    do {
      const { result } = await get(`/v1/inventory?fields=${fields}&limit=1000${chosen ? `&environment=${chosen}` : ""}${after}`);
      guests.push(...result.data);
      view.problems = (result.environments ?? []).filter((part) => part.status !== "ok");
      after = result.next ? `&after=${encodeURIComponent(result.next)}` : "";
    } while (after);
    view.guests = guests;
  } catch (problem) {
    if (problem.status === 401) throw problem;
    view.problems = [{ name: chosen ?? "all", error: { detail: problem.message } }];
    view.guests ??= [];
  }
}

function body(view, chosen) {
  return [
    h("h1", { tabindex: "-1" }, chosen ? t(chosen) : "Environments"),
    chosen && h("p", h("a", { href: "#/environments" }, "All environments")),
    view.problems.map((part) => notice("bad", h("p", t(part.name), ": ", t(part.error?.detail ?? "it cannot be read")))),
    h("ul.cards", { "aria-label": "Environments" }, view.list.map((environment) => card(view, environment))),
    may("change") && h("p", h("a.button", { href: `#/request${chosen ? `?environment=${chosen}` : ""}` }, "Ask for a change")),
    h("h2", "Guests"),
    view.guests ? guestList(view, chosen) : h("p.loading", "Loading …"),
  ];
}

function card(view, environment) {
  const nodes = view.nodes.get(environment.name) ?? [];
  const standing = environment.reachable === null ? badge("calm", "not looked at yet") : environment.reachable ? badge("approved",
    "answers") : badge("failed", "does not answer");
  return h("li.card", { "data-key": environment.name },
    h("div.badges", standing, environment.read_only && badge("calm", "read only"), environment.simulator && badge("calm", "simulator")),
    h("h2", h("a", { href: `#/environments/${environment.name}` }, t(environment.name))),
    h("p.where", environment.pve_version && ["PVE ", t(environment.pve_version), " · "],
      environment.checked_at && ["looked at ", when(environment.checked_at)]),
    environment.error && h("p.error", t(environment.error)),
    nodes.length > 0 && h("ul.nodes", [...nodes].sort((a, b) => (a.node < b.node ? -1 : 1)).map((node) => h("li",
      h("a", { href: `#/environments/${environment.name}/node/${node.node}` }, t(node.node)), " ",
        node.status === "online" ? null : badge("failed", t(node.status)),
      h("span.gauge", h("span", "CPU"), meter("CPU", node.cpu)),
        h("span.gauge", h("span", "Memory"), meter("Memory", node.mem / node.maxmem))))));
}

function matching(view) {
  const wanted = view.query.toLowerCase().split(/\s+/).filter(Boolean);
  return view.guests.filter((guest) => (!view.only || guest.status === view.only) && wanted.every((word) =>
    `${guest.name ?? ""} ${targetOf(guest)} ${guest.node} ${guest.tags ?? ""} ${guest.environment}`.toLowerCase().includes(word)));
}

function guestList(view, chosen) {
  const found = matching(view);
  const shown = found.slice(0, most);
  return [
    h("form.filters", { role: "search", onsubmit: (event) => event.preventDefault() },
      h("label", "Search ", h("input", { type: "search", id: "search", placeholder: "name, id, node, tag", autocomplete: "off",
        spellcheck: "false", oninput: (event) => { view.query = event.target.value; view.draw(); } })),
      h("label", "State ", select({ onchange: (event) => { view.only = event.target.value; view.draw(); } },
        [["", "all"], ["running", "running"], ["stopped", "stopped"], ["paused", "paused"]], view.only))),
    h("p.muted", { role: "status" }, found.length === view.guests.length ? `${found.length} guests`
      : `${found.length} of ${view.guests.length} guests`, found.length > most && `; the first ${most} are shown`),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Guests" }, h("table.guests.stack",
      h("thead", h("tr", ["Guest", "State", ...(chosen ? [] : ["Environment"]), "Node", "CPU", "Memory",
        "Tags"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", shown.map((guest) => guestRow(guest, chosen))))),
  ];
}

function guestRow(guest, chosen) {
  const running = guest.status === "running";
  return h("tr", { "data-key": `${guest.environment}/${targetOf(guest)}` },
    h("th", { scope: "row" }, h("a", { href: `#/environments/${guest.environment}/${targetOf(guest)}` },
      t(guest.name ?? targetOf(guest))), " ", h("span.id", t(targetOf(guest)))),
    cell("State", badge(running ? "approved" : "calm", t(guest.status)),
      running && guest.uptime > 0 && h("span.muted", ` ${span(guest.uptime * 1000)}`), guest.template === 1 && h("span.muted", " template"),
      guest.lock && [" ", badge("medium", ["locked: ", t(guest.lock)])]),
    !chosen && cell("Environment", t(guest.environment)), cell("Node", t(guest.node)),
    cell("CPU", running && meter("CPU", guest.cpu)),
      cell("Memory", running && [meter("Memory", guest.mem / guest.maxmem), h("span.muted", ` ${bytes(guest.maxmem)}`)]),
    cell("Tags", String(guest.tags ?? "").split(";").filter(Boolean).map((tag) => [h("span.tag", t(tag)), " "])));
}
