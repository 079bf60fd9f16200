// The rules in force, and what they would say.
import { actions, api, get } from "./api.js";
import { badge, cell, field, h, notice, risk, select, show, t, words } from "./dom.js";
import { changeLine, rowsOf } from "./changes.js";
import { noUndo } from "./inbox.js";
import { environmentNames } from "./plans.js";

export default async function policyPage(page) {
  const view = { policy: undefined, answer: null, message: null, names: [], catalogue: [] };
  view.draw = () => page.draw("Policy", ...body(view));
  [view.names, view.catalogue] = await Promise.all([environmentNames(),
    actions().then((all) => all.filter((action) => action.effect === "change"))]);
  view.load = async () => {
    view.policy = await get("/v1/policy");
    view.draw();
  };
  await view.load();
  page.live((event) => event.kind === "policy.replaced", view.load);
}

function body(view) {
  return [
    h("h1", { tabindex: "-1" }, "Policy"),
    h("p.lead", "Rules tighten what an action's own risk asks for, and never loosen it. The strictest rule that matches counts."),
    h("section", h("h2", "What would happen if"), form(view),
      h("div", { id: "answer", tabindex: "-1", "aria-live": "polite" }, view.message?.(), view.answer && answer(view))),
    h("section", h("h2", "Rules in force"), rules(view.policy)),
    h("section", h("h2", "What actions ask for by themselves"),
      h("details", h("summary", `${view.catalogue.length} actions`),
      h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Actions" }, h("table.stack",
      h("thead", h("tr", ["Action", "Risk", "Approval", "Because it"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", view.catalogue.map((action) => h("tr", h("th", { scope: "row" }, h("code", action.name)),
        cell("Risk", risk(action.risk_level)), cell("Approval", action.requires_approval ? "needed" : "not needed"),
          cell("Because it", action.reason)))))))),
  ];
}

function rules(policy) {
  if (policy === undefined) return null;
  const list = policy.rules ?? [];
  return [policy.version && h("p.muted", "Version ", h("code", t(policy.version))),
    list.length === 0 ? h("p.empty", "There are no rules: the risk of each action decides alone.") : h("ul.rows",
      list.map((rule) => h("li", { "data-key": rule.id },
      h("strong", t(rule.id)), " ", rule.effect === "deny" ? badge("denied", "denies") : badge("awaiting_approval",
        ["needs ", String(rule.approvals ?? 1), rule.approvals > 1 ? " approvals" : " approval",
        rule.assurance && [", ", t(rule.assurance)]]),
      h("dl.params", Object.entries(rule).filter(([name]) => !["id", "effect", "approvals",
        "assurance"].includes(name)).map(([name, value]) => [h("dt", words(name)),
        h("dd", Array.isArray(value) ? value.map((each, i) => [i > 0 && ", ", show(each)]) : show(value))])))))];
}

function form(view) {
  const ask = async (event) => {
    event.preventDefault();
    const { environment, action, target, params } = event.target.elements;
    view.message = view.answer = null;
    try {
      const body = { environment: environment.value, action: action.value, target: target.value.trim(), dry_run: true };
      if (params.value.trim()) body.params = JSON.parse(params.value);
      view.answer = await api("POST", "/v1/actions/plan", body);
    } catch (problem) {
      view.message = () => notice("bad", h("p", problem instanceof SyntaxError ? "The parameters are not JSON." : problem.message));
    }
    view.draw();
    document.getElementById("answer").focus();
  };
  return h("form.what-if", { "data-key": "what-if", onsubmit: ask }, h("div.grid",
    field("Environment", select({ name: "environment" }, view.names.map((name) => [name, name]))),
    field("Action", select({ name: "action" }, view.catalogue.map((action) => [action.name, words(action.name)]), "stop_vm")),
    field("Target", h("input", { name: "target", required: true, value: "", placeholder: "vm/101", autocomplete: "off",
      spellcheck: "false" }))),
  field("Parameters", h("textarea", { name: "params", rows: 2, spellcheck: "false" }), { hint: "As JSON; empty for none." }),
  h("div.actions", h("button.approve", "Ask")), h("p.muted", "A dry run: it changes nothing, and is kept in the audit log."));
}

function answer({ answer: plan, catalogue }) {
  const { decision, preview, request } = plan;
  const own = catalogue.find((action) => action.name === request.action);
  const matched = decision.rules.filter((rule) => rule !== "base:dry_run");
  return h("div.card", h("div.badges", decision.allowed ? badge("approved", "possible") : badge("denied", "denied"),
    risk(decision.risk_level), preview.irreversible && noUndo(decision.risk_level, preview.changes)),
    h("h3", words(request.action), " ", t(preview.observed?.name ?? request.target)),
    !decision.allowed ? h("p", t(decision.reason), ".") : h("p",
      own?.requires_approval ? "The action itself needs an approval" : "The action itself needs no approval",
      "; rules that matched may ask for more."),
    h("p.change", changeLine(rowsOf(preview.changes), { noop: preview.noop, calls: preview.calls.length,
      name: preview.observed?.name ?? request.target })),
    h("p", "Rules: ", matched.map((rule) => [h("code", t(rule)), " "])),
    h("p", h("a", { href: `#/plans/${plan.plan_id}` }, "All of it")));
}
