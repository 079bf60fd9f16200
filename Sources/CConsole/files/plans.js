// All plans, newest first.
import { get } from "./api.js";
import { badge, h, reason, risk, select, standing, t, when } from "./dom.js";
import { title } from "./inbox.js";

const states = ["awaiting_approval", "approved", "applying", "applied", "failed", "unknown", "denied", "rejected", "cancelled",
  "expired", "stale"];

/** Rows for a list of plans. */
export const planRows = (plans) => h("ul.rows", plans.map((plan) => h("li", { "data-key": plan.plan_id },
  h("a", { href: `#/plans/${plan.plan_id}` }, title(plan)), " ", standing(plan), " ", risk(plan.decision.risk_level),
    plan.request.dry_run && [" ", badge("calm", "dry run")],
  h("p.muted", t(plan.request.environment), plan.summary.node && [" · ", t(plan.summary.node)], " · ", t(plan.requester), " ",
    when(plan.created_at), plan.request.reason && [" · ", reason(plan.request.reason)]))));

/** Selects that change the query of the address. */
export function filters(page, base, lists) {
  const go = (name) => (event) => {
    const query = new URLSearchParams(page.query);
    if (event.target.value) query.set(name, event.target.value);
    else query.delete(name);
    location.hash = `${base}${query.size ? `?${query}` : ""}`;
  };
  return h("form.filters", { onsubmit: (event) => event.preventDefault() }, Object.entries(lists).map(([name, { label, values }]) =>
    h("label", label, " ", select({ name, onchange: go(name) },
      [["", "all"], ...values.map((value) => [value, value.replace(/_/g, " ")])], page.query.get(name) ?? ""))));
}

/** A list with pages: reads the newest again when `wants` accepts an event. */
export async function pagedList(page, { path, member, wants, draw }) {
  const query = new URLSearchParams([...page.query].filter(([name]) => name === "state" || name === "environment"));
  query.set("limit", "100");
  let rows = [];
  let next = null;
  const load = async () => {
    const answer = await get(`${path}?${query}`);
    const fresh = new Set(answer[member].map((row) => row.plan_id + (row.operation_id ?? "")));
    rows = [...answer[member], ...rows.slice(100).filter((row) => !fresh.has(row.plan_id + (row.operation_id ?? "")))];
    if (rows.length <= 100) next = answer.next;
    redraw();
  };
  const older = async () => {
    const answer = await get(`${path}?${query}&before=${next}`);
    rows.push(...answer[member]);
    next = answer.next;
    redraw();
  };
  const redraw = () => draw(rows, next && h("p", h("button", { type: "button", onclick: older }, "Older")));
  await load();
  page.live(wants, load);
}

export const environmentNames = async () => (await get("/v1/environments")).environments.map((environment) => environment.name);

export default async function plans(page) {
  const names = await environmentNames();
  await pagedList(page, {
    path: "/v1/plans", member: "plans", wants: (event) => event.kind.startsWith("plan.") || event.kind.startsWith("operation."),
    draw: (rows, more) => page.draw("Plans", h("h1", { tabindex: "-1" }, "Plans"),
      filters(page, "#/plans", { state: { label: "State", values: states }, environment: { label: "Environment", values: names } }),
      rows.length ? planRows(rows) : h("p.empty", "There are no such plans."), more),
  });
}
