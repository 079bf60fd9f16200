// A form for an action, made from the schema of its parameters. It makes a plan, and goes to the plan's page.
import { api } from "./api.js";
import { field, h, notice, plain, risk, select } from "./dom.js";

/** The control for one parameter. */
function control(name, schema, given) {
  const props = { name: `p:${name}`, value: given ?? "", autocomplete: "off", spellcheck: "false" };
  if (schema.enum) return select(props, [["", "–"], ...schema.enum.map((value) => [String(value), String(value)])], given ?? "");
  switch (schema.type) {
  case "boolean": return select(props, [["", "–"], ["true", "yes"], ["false", "no"]], given ?? "");
  case "integer": case "number": return h("input",
    { ...props, type: "number", min: schema.minimum, max: schema.maximum, step: schema.type === "integer" ? 1 : "any",
    inputmode: "decimal" });
  case "array": case "object": return h("textarea", { ...props, rows: 2 });
  default: return /password/.test(name) ? h("input", { ...props, type: "password", autocomplete: "new-password" })
    : (schema.maxLength ?? 0) > 1024 ? h("textarea", { ...props, rows: 2 }) : h("input", { ...props, maxlength: schema.maxLength });
  }
}

const hints = { array: "One on each line.", object: "As JSON." };
const hint = (schema) => [schema.description && schema.description.charAt(0).toUpperCase() + schema.description.slice(1),
  hints[schema.type],
  schema.minimum !== undefined && schema.maximum !== undefined && `${schema.minimum} to ${schema.maximum}`].filter(Boolean).join(" · ");

/** What was typed, as the schema's type. What it does not understand is sent as it is: the agent says what is wrong. */
function parse(text, schema) {
  const number = (part) => (/^-?\d+(\.\d+)?$/.test(part) ? Number(part) : part);
  switch (schema.type) {
  case "boolean": return text === "true";
  case "integer": case "number": return number(text);
  case "array": return text.split("\n").map((part) => part.trim()).filter(Boolean).map((part) => (["integer",
    "number"].includes(schema.items?.type) ? number(part) : part));
  case "object": try { return JSON.parse(text); } catch { return text; }
  default: return text;
  }
}

export function actionForm(action, environment, target, query) {
  const { properties = {}, patternProperties = {}, required = [] } = action.params;
  const one = (name) => h("div", { "data-field": name },
    field([plain(name), required.includes(name) && h("span.required", " required")],
    control(name, properties[name], query.get(`p.${name}`)), { hint: hint(properties[name]) }));
  const names = Object.keys(properties);
  const further = names.filter((name) => !required.includes(name));
  const some = Object.values(patternProperties);
  const place = h("div", { id: "form-problem", tabindex: "-1" });
  const details = (...content) => (required.length || further.length > 6 ? h("details", { open: further.length <= 6 },
    h("summary", `${further.length} further settings`), content) : content);
  return h("form.action", { novalidate: true, onsubmit: (event) => submit(event, { action, environment, target, place }) },
    h("p", `${action.summary}. `, risk(action.risk_level), " ", action.reason.charAt(0).toUpperCase() + action.reason.slice(1), "."),
    required.map(one),
    further.length > 0 && details(h("div.grid", further.map(one))),
    some.length > 0 && h("div", { "data-field": "*" }, field("Devices", h("textarea", { name: "numbered", rows: 2, spellcheck: "false" }),
      { hint: `One on each line, as NAME=VALUE: ${Object.keys(patternProperties).map((pattern) => pattern.replace(/^\^|\$$/g, "").replace(/\([^)]*\)$/, "N")).join(", ")}` })),
    field("Reason", h("textarea", { name: "reason", rows: 2, maxlength: 4096 }), { hint: "The person who approves reads it." }),
    field("Ticket", h("input", { name: "ticket", maxlength: 256, autocomplete: "off" })),
    place, h("div.actions", h("button.approve", "Make a plan")), h("p.muted", "Nothing happens yet: the plan shows what would."));
}

async function submit(event, { action, environment, target, place }) {
  event.preventDefault();
  const form = event.target;
  const { properties = {} } = action.params;
  const params = {};
  for (const element of form.elements) {
    if (!element.name?.startsWith("p:") || element.value.trim() === "") continue;
    const name = element.name.slice(2);
    params[name] = parse(element.value.trim(), properties[name]);
  }
  for (const line of (form.elements.numbered?.value ?? "").split("\n").filter((each) => each.trim())) {
    const [name, ...value] = line.trim().split("=");
    params[name] = value.join("=");
  }
  const reason = form.elements.reason.value.trim();
  const ticket = form.elements.ticket.value.trim();
  for (const old of form.querySelectorAll(".error")) old.remove();
  for (const element of form.querySelectorAll("[aria-invalid]")) element.removeAttribute("aria-invalid");
  place.replaceChildren();
  const button = event.submitter ?? form.querySelector("button");
  button.disabled = true;
  try {
    const plan = await api("POST", "/v1/actions/plan",
      { environment, action: action.name, target, params, ...(reason && { reason }), ...(ticket && { approval_ticket: ticket }) });
    location.hash = `#/plans/${plan.plan_id}`;
  } catch (problem) {
    button.disabled = false;
    if (problem.status === 401) return;
    showErrors(form, problem, place);
  }
}

/** Puts each error beside its field. */
function showErrors(form, problem, place) {
  let first = null;
  for (const { pointer, detail } of problem.body?.errors ?? []) {
    const name = pointer.split("/")[2]?.replace(/~1/g, "/").replace(/~0/g, "~");
    const holder = form.querySelector(`[data-field="${CSS.escape(name ?? "")}"]`);
    if (!holder) continue;
    const element = holder.querySelector("input, textarea, select");
    holder.closest("details")?.setAttribute("open", "");
    const id = `${element.id}-error`;
    element.setAttribute("aria-invalid", "true");
    element.setAttribute("aria-describedby", `${element.id}-hint ${id}`);
    holder.append(h("p.error", { id }, detail.replace(/^\/params\/[^:]*: /, "")));
    first ??= element;
  }
  place.replaceChildren(notice("bad", h("p", problem.message)));
  (first ?? place).focus();
}

