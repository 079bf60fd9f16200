// What is carried out now, and what was.
import { badge, h, t, when, words } from "./dom.js";
import { environmentNames, filters, pagedList } from "./plans.js";

const states = ["queued", "running", "succeeded", "succeeded_with_warnings", "failed", "cancelled", "unknown"];

export const isOpen = (operation) => ["queued", "running"].includes(operation.state);

/** How far it is. */
export function progress(operation) {
  if (operation.queue_position) return h("p.muted", `Waits for its turn: ${operation.queue_position} before it.`);
  if (!isOpen(operation)) return null;
  const { percent, text } = operation.progress ?? {};
  return h("div.progress", h("progress", { max: 100, value: percent, "aria-label": "Progress" }),
    h("span", percent !== undefined && `${percent} % `, text && t(text)));
}

export const operationRows = (operations) => h("ul.rows", operations.map((operation) => h("li", { "data-key": operation.operation_id },
  h("a", { href: `#/operations/${operation.operation_id}` }, words(operation.action), " ", t(operation.target)), " ",
    badge(operation.state),
  progress(operation),
  h("p.muted", t(operation.environment), " · ", t(operation.requester), " · ",
    operation.ended_at ? ["ended ", when(operation.ended_at)] : ["began ", when(operation.started_at ?? operation.created_at)],
    operation.state !== "succeeded" && operation.message && [" · ", t(operation.message)]))));

export default async function operations(page) {
  const names = await environmentNames();
  await pagedList(page, {
    path: "/v1/operations", member: "operations", wants: (event) => event.kind.startsWith("operation."),
    draw: (rows, more) => {
      const open = rows.filter(isOpen);
      const ended = rows.filter((operation) => !isOpen(operation));
      page.draw("Operations", h("h1", { tabindex: "-1" }, "Operations"),
        filters(page, "#/operations", { state: { label: "State", values: states }, environment: { label: "Environment", values: names } }),
        open.length > 0 && [h("h2", "Under way"), operationRows(open)],
        ended.length > 0 && [h("h2", "Ended"), operationRows(ended)],
        !rows.length && h("p.empty", "There are no such operations."), more);
    },
  });
}
