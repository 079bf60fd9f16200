// A form for an action, from the schema of its parameters. It makes a plan, and goes to its page.
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

// A description may be the form of a value, which is shown as it has to be typed.
const hints = { array: "one on each line", object: "as JSON" };
const hint = (schema) => [schema.description, hints[schema.type],
  schema.minimum !== undefined && schema.maximum !== undefined && `${schema.minimum} to ${schema.maximum}`].filter(Boolean).join(" · ");

/** What was typed, as the schema's type; or as it is: the agent says what is wrong. */
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
  place.dataset.empty = String(!Object.keys(params).length);
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

/** The agent's words about a field, without the lists of all other fields. */
const inWords = (detail) => detail.replace(/^\/params\/[^:]*: /, "").replace(/^is missing; expected /, "needed, ")
  .replace(/^unknown key; known here: .*/s, "there is no such setting here");

/** Puts each error beside its field, and names the fields. */
function showErrors(form, problem, place) {
  let first = null;
  const errors = problem.body?.errors ?? [];
  const found = [];
  if (place.dataset.empty === "true" && errors.some(({ detail }) => /^is missing; expected one of .*,/.test(detail))) {
    place.replaceChildren(notice("bad", h("p", "Nothing is filled in: give at least one setting.")));
    form.querySelector("[data-field]")?.closest("details")?.setAttribute("open", "");
    return form.querySelector("[data-field] :is(input, textarea, select)")?.focus();
  }
  for (const { pointer, detail } of errors) {
    const name = pointer.startsWith("/params/") ? pointer.split("/")[2].replace(/~1/g, "/").replace(/~0/g, "~") : "";
    const holder = form.querySelector(`[data-field="${CSS.escape(name)}"]`) ?? (name && form.querySelector("[data-field='*']"));
    found.push(`${name || pointer.slice(1) || "request"}: ${inWords(detail)}`);
    if (!holder) continue;
    const element = holder.querySelector("input, textarea, select");
    holder.closest("details")?.setAttribute("open", "");
    const id = `${element.id}-error`;
    element.setAttribute("aria-invalid", "true");
    element.setAttribute("aria-describedby", `${element.id}-hint ${id}`);
    holder.append(h("p.error", { id }, holder.dataset.field === "*" && `${name}: `, inWords(detail)));
    first ??= element;
  }
  const most = 4;
  place.replaceChildren(notice("bad", !found.length ? h("p", problem.message) : found.length === 1 ? h("p", found[0])
    : h("ul", found.slice(0, most).map((line) => h("li", line)), found.length > most && h("li", `and ${found.length - most} more`))));
  return (first ?? place).focus();
}

