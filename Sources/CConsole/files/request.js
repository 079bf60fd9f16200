// Asking for a change: choosing an action and its target, then the form of its parameters.
import { actions } from "./api.js";
import { field, h, notice, select, t, targetHash, words } from "./dom.js";
import { nameOf } from "./environments.js";
import { actionForm } from "./forms.js";
import { environmentNames } from "./plans.js";

/** The address of an action's form; a parameter `name` is given as `p.name`. */
export function requestHash(environment, target, action, params = {}) {
  const given = Object.entries(params).map(([name, value]) => [`p.${name}`, value]);
  return `#/request?${new URLSearchParams([["environment", environment], ["target", target], ["action", action], ...given])}`;
}

export default async function requestPage(page) {
  const [environment, target, name] = ["environment", "target", "action"].map((key) => page.query.get(key) ?? "");
  const catalogue = (await actions()).filter((action) => action.effect === "change");
  const action = catalogue.find((entry) => entry.name === name);
  if (!action || !target || !environment) {
    const names = await environmentNames();
    return page.draw("Ask for a change", h("h1", { tabindex: "-1" }, "Ask for a change"), chooser(catalogue, names, environment, target));
  }
  const href = targetHash(environment, target);
  const machine = await nameOf(environment, target);
  return page.draw(words(name), h("h1", { tabindex: "-1" }, words(name), " ", machine && [t(machine), " "],
    machine ? h("span.id", t(target)) : t(target)),
    h("p.where", href ? h("a", { href }, t(target)) : t(target), " in ", h("a", { href: `#/environments/${environment}` }, t(environment))),
    actionForm(action, environment, target, page.query));
}

function chooser(catalogue, names, environment, target) {
  const forms = h("p.hint", { id: "target-forms" });
  const place = h("div");
  const explain = (name) => {
    const action = catalogue.find((entry) => entry.name === name);
    forms.textContent = action ? `${action.summary}. Its targets: ${action.targets.join(", ")}` : "";
  };
  const choose = (event) => {
    event.preventDefault();
    const { elements } = event.target;
    if (!elements.target.value.trim()) {
      place.replaceChildren(notice("bad", h("p", "Name the target.")));
      elements.target.focus();
      return;
    }
    location.hash = requestHash(elements.environment.value, elements.target.value.trim(), elements.action.value);
  };
  explain(catalogue[0]?.name);
  return h("form.action", { onsubmit: choose, novalidate: true }, h("div.grid",
    field("Environment", select({ name: "environment" }, names.map((name) => [name, name]), environment)),
    field("Action", select({ name: "action", onchange: (event) => explain(event.target.value) },
      catalogue.map((action) => [action.name, words(action.name)]))),
    field("Target", h("input", { name: "target", value: target, autocomplete: "off", spellcheck: "false",
      "aria-describedby": "target-forms" }))),
  forms, place, h("div.actions", h("button.approve", "Go on")));
}
