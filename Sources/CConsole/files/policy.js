// The rules in force, and what they would say.
import { actions, api, get } from "./api.js";
import { badge, cell, exact, field, h, notice, risk, select, show, t, words } from "./dom.js";
import { environmentNames } from "./plans.js";
import { covers, may } from "./state.js";

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
    h("p.lead", "Rules tighten what an action's own risk asks for. Only a rule that allows drops an approval, and no other rule then may ask for one."),
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

/** The rule in words, without its id. */
const sentence = (rule) => (rule.sentence.startsWith(`${rule.id}: `) ? rule.sentence.slice(rule.id.length + 2) : rule.sentence);

const effects = { deny: ["denied", "denies"], raise_risk: ["high", "raises the risk"], allow: ["approved", "allows"] };

function effect({ effect, approvals, assurance }) {
  if (effect !== "require_approval") return badge(...(effects[effect] ?? ["medium", words(effect).toLowerCase()]));
  return badge("awaiting_approval", ["needs ", String(approvals), approvals > 1 ? " approvals" : " approval", assurance && [", ", t(assurance)]]);
}

function rules(policy) {
  if (policy === undefined) return null;
  const list = policy.rules ?? [];
  return [policy.version && h("p.muted", "Version ", h("code", t(policy.version))),
    list.length === 0 ? h("p.empty", "There are no rules: the risk of each action decides alone.") : h("ul.rows",
      list.map((rule) => h("li", { "data-key": rule.id }, h("strong", t(rule.id)), " ", effect(rule),
      rule.description && h("p", t(rule.description)), h("p.muted", t(sentence(rule))),
      rule.reason && h("p.muted", "Reason: ", t(rule.reason)))))];
}

function form(view) {
  const ask = async (event) => {
    event.preventDefault();
    const { environment, action, target, params } = event.target.elements;
    view.message = view.answer = null;
    try {
      const body = { environment: environment.value, action: action.value, target: target.value.trim() };
      if (!may("change") || !covers(body.environment)) body.dry_run = true;
      if (params.value.trim()) body.params = JSON.parse(params.value);
      view.answer = { ...await api("POST", "/v1/policy/explain", body), request: body };
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
  h("div.actions", h("button.approve", "Ask")), h("p.muted", "It plans nothing and changes nothing. The audit log has it as a read."));
}

function answer({ answer: { decision, requires, request, rules, subjects } }) {
  const [matched, others] = [true, false].map((is) => rules.filter((rule) => rule.matched === is));
  const line = (rule) => h("li", h("strong", t(rule.id)), " ", t(sentence(rule)),
    rule.subjects.length > 0 && h("p.muted", "Matches ", rule.subjects.map((name, i) => [i > 0 && ", ", t(name)])),
    h("p.muted", t(rule.why)));
  const said = !decision.allowed ? "Denied" : request.dry_run ? "A dry run" : requires.approvals === 0 ? "No approval needed"
    : requires.approvals === 1 ? "1 approval needed" : `${requires.approvals} approvals needed`;
  const names = subjects.find(({ role }) => role === "target")?.guest_names;
  return h("div.card", h("div.badges", decision.allowed ? badge("approved", "possible") : badge("denied", "denied"), risk(decision.risk_level)),
    h("h3", words(request.action), " ", t(names?.[0] ?? request.target)),
    h("p", said, ": ", t(decision.reason), "."),
    decision.window && h("p", "Its change windows are closed", decision.window.opens_at ? [". They open ", exact(decision.window.opens_at)] : " for 400 days", "."),
    request.dry_run && h("p.muted", "You may not ask for changes there, so this is about a dry run. Rules that match would bind the change itself."),
    h("p", "Decided by ", decision.rules.map((rule) => [h("code", t(rule)), " "])),
    matched.length > 0 ? [h("h4", "Rules that match"), h("ul.rows", matched.map(line))] : h("p", "No rule matches."),
    others.length > 0 && h("details", { "data-key": "others" }, h("summary", others.length === 1 ? "1 rule does not match" : `${others.length} rules do not match`),
      h("ul.rows", others.map(line))),
    h("details", { "data-key": "looked-at" }, h("summary", "What the rules looked at"), h("ul.rows", subjects.map((subject) => h("li",
      h("strong", t(subject.name)), " ", subject.role, h("p.muted", ["guest_names", "node", "tags", "also"].filter((name) => subject[name]).map((name, i) =>
        [i > 0 && " · ", words(name), " ", show(subject[name])])))))));
}
