// One plan: what it would do, and the decision about it.
import { bus, get } from "./api.js";
import { badge, block, exact, h, notice, now, pairList, plain, reason, risk, say, show, standing, t, targetHash, until, when, words } from "./dom.js";
import { changeList, isFinal, rowsOf } from "./changes.js";
import { decisionPanel } from "./decide.js";
import { noUndo } from "./inbox.js";
import { awaitsMe, may, owns, passed } from "./state.js";

const ends = {
  approved: "It is approved.", rejected: "It was rejected.", cancelled: "It was cancelled.", expired: "It has expired.",
    stale: "What it was made on has changed since.",
  denied: "Policy does not allow it.", applying: "It is being carried out.", applied: "It was carried out.", failed: "It failed.",
    unknown: "Its outcome is not known.",
};

export default async function planPage(page) {
  const [id] = page.parts;
  const view = { plan: null, message: null };
  const draw = () => page.draw(`${words(view.plan.request.action)} ${plain(nameOf(view.plan))}`, ...body(view));
  view.load = async () => {
    const plan = await get(`/v1/plans/${id}`);
    const before = view.plan;
    if (before && (before.state !== plan.state || before.approvals.length !== plan.approvals.length
      || before.plan_hash !== plan.plan_hash)) {
      view.message = changedMessage(before, plan, view.mine);
    }
    view.mine = false;
    view.plan = plan;
    draw();
  };
  view.draw = draw;
  /** Takes the agent's answer to a decision of this page. */
  view.decided = (plan, text) => {
    view.plan = plan;
    view.message = () => notice("good", h("p", text));
    draw();
    say(text);
    document.getElementById("message")?.focus();
  };
  await view.load();
  page.live((event) => event.plan_id === id, view.load);
  bus.addEventListener("freezes", draw, { signal: page.signal });
  // The link to the decision is of no use where that is in sight.
  const sight = new IntersectionObserver(([entry]) => document.body.classList.toggle("at-decision", entry.isIntersecting));
  sight.observe(document.getElementById("decision"));
  page.signal.addEventListener("abort", () => { sight.disconnect(); document.body.classList.remove("at-decision"); });
  // A plan that nobody decides about ends by itself.
  const timer = setInterval(() => {
    if (["awaiting_approval", "approved"].includes(view.plan.state)
      && Date.parse(view.plan.expires_at) < now()) view.load().catch(() => {});
  }, 5000);
  page.signal.addEventListener("abort", () => clearInterval(timer));
}

function changedMessage(before, plan, mine) {
  if (mine) return null;
  const latest = plan.rejection ?? plan.approvals.at(-1);
  const who = before.state === "awaiting_approval" && latest && ["awaiting_approval", "approved", "rejected"].includes(plan.state)
    ? () => [t(latest.approver), plan.rejection ? " rejected this plan. " : " approved this plan. "] : null;
  const what = plan.state === "awaiting_approval" ? "It waits for another approval." : ends[plan.state];
  // An approval is what the one who asked has waited for.
  const good = owns(plan.requester) && who && !plan.rejection;
  return () => notice(good ? "good" : "warn", h("p", !good && h("strong", "This plan has changed while you looked at it. "), who?.(),
    good && plan.state === "approved" ? "You can apply it now." : what));
}

const nameOf = (plan) => plan.preview.observed?.name ?? plan.request.target;

function body(view) {
  const { plan } = view;
  const { request, decision, preview } = plan;
  const observed = preview.observed ?? {};
  const href = targetHash(request.environment, request.target);
  const live = ["awaiting_approval", "approved"].includes(plan.state);
  return [
    h("header.page",
      h("div.badges", standing(plan), risk(decision.risk_level), preview.irreversible && noUndo(decision.risk_level, preview.changes),
        request.dry_run && badge("calm", "dry run")),
      h("h1", { tabindex: "-1" }, words(request.action), " ", t(nameOf(plan))),
      h("p.where", href ? h("a", { href }, t(request.target)) : t(request.target), " in ", t(request.environment),
        observed.node && [" on ", t(observed.node)],
        observed.status && [" · ", t(observed.status)], observed.lock && [" · locked (", t(observed.lock), ")"],
          live && [" · expires ", until(plan.expires_at)])),
    h("div", { id: "message", tabindex: "-1", "aria-live": "assertive" }, view.message?.()),
    h("div.plan",
      h("div.facts", what(plan), asked(plan), reaches(plan), checks(preview), calls(preview), found(observed), history(plan),
        awaitsMe(plan) && h("p.jump", h("a", { href: "#decision", onclick: jump }, "Decide"))),
      h("aside", { id: "decision", "aria-label": "Decision" }, decisionPanel(view))),
  ];
}

function jump(event) {
  event.preventDefault();
  const panel = document.getElementById("decision");
  panel.scrollIntoView({ block: "start" });
  (panel.querySelector("textarea, input, button") ?? panel).focus({ preventScroll: true });
}

const section = (title, ...content) => h("section", h("h2", title), content);

function what(plan) {
  const { preview } = plan;
  const rows = rowsOf(preview.changes);
  const leaves = preview.undo_leaves.length > 0 && h("ul", preview.undo_leaves.map((gap) => h("li", t(gap.key), ": ", t(gap.detail))));
  return section("What changes",
    preview.noop && h("p", "Nothing: all is as it would be afterwards."),
    rows.length > 0 && changeList(rows, nameOf(plan)),
    !rows.length && !preview.noop && h("p", "No setting changes; see the calls below."),
    preview.undo
      ? [h("p", h("strong", preview.irreversible ? "An undo does not bring back what this is about. " : "Can be taken back: "),
        preview.irreversible && "Part of it: ", request(preview.undo)), leaves && [h("p", "The undo leaves:"), leaves]]
      : [preview.irreversible && isFinal(plan.decision.risk_level, preview.changes)
        ? notice("bad.final", h("p", h("strong", "Cannot be taken back."), " Nothing brings this back."))
        : plan.state !== "denied" && !preview.noop && h("p", "There is no undo for this."), leaves]);
}

const pairs = (params) => Object.entries(params ?? {}).map(([name, value]) => [" ", h("code", t(name), "=", show(value))]);
const request = (undo) => [words(undo.action), " ", t(undo.target), pairs(undo.params)];

function asked(plan) {
  const { request: asked, decision } = plan;
  return section("Who asks, and why",
    h("p", t(plan.requester), " asked ", when(plan.created_at), "."),
    asked.reason ? h("blockquote", block(asked.reason)) : h("p.muted", "No reason was given."),
    asked.approval_ticket && h("p", "Ticket ", t(asked.approval_ticket)),
    h("p", decision.allowed === false ? h("strong",
      "Denied: ") : plan.requires.approvals > 0 ? "Needs approval: " : "Needs no approval: ", t(decision.reason), "."),
    plan.requires.clauses && h("ul", plan.requires.clauses.map(({ rule, phrase }) => h("li", "Approvals: ", t(phrase), " (", h("code", t(rule)), ")"))),
    decision.window && h("p", "Change window of ", t(decision.window.rules.join(", ")), ": closed", decision.window.opens_at
      ? [" until ", exact(decision.window.opens_at)] : " for more than 400 days", "."),
    plan.break_glass && h("p", h("strong", "Emergency: "), "passed ", t(passed(plan.break_glass)), "."),
    asked.apply_at && h("p", "The agent applies it ", decision.window ? "when the window opens" : "once it is approved", "."),
    h("p", "Rules: ", decision.rules.map((rule) => [h("code", t(rule)), " "])));
}

function reaches({ decision, preview }) {
  const tags = new Map(preview.subjects.map((subject) => [subject.role + subject.name, subject]));
  return section("What it reaches", h("ul.reaches", decision.subjects.map((subject) => h("li",
    h("code", t(subject.name)), " ", h("span.muted", subject.role), " ",
      (tags.get(subject.role + subject.name)?.tags ?? []).map((tag) => [h("span.tag", t(tag)), " "]),
    subject.rules?.length > 0 && [" matched by ", subject.rules.map((rule) => [h("code", t(rule)), " "])]))));
}

const levels = { ok: "OK", warn: "Warning", block: "Forbids it" };

function checks(preview) {
  if (!preview.checks.length) return null;
  const order = { block: 0, warn: 1, ok: 2 };
  return section("Checks", h("ul.checks", [...preview.checks].sort((a, b) => order[a.level] - order[b.level]).map((check) =>
    h(`li.${check.level}`, h("span.level", levels[check.level]), h("span", t(check.detail), " ", h("span.muted", t(check.id)))))));
}

function calls(preview) {
  return section("Exact calls to Proxmox VE", h("ol.calls", preview.calls.map((call) => h("li", h("code", call.method, " ", t(call.path)),
    Object.keys(call.params).length > 0 && pairList(call.params)))));
}

function found(observed) {
  return h("details", h("summary", "The state it is based on"), pairList(observed));
}

function history(plan) {
  const word = (entry, verb) => h("li", exact(entry.at), " ", t(entry.approver), ` ${verb}`,
    entry.assurance && entry.assurance !== "verified" && ` (${entry.assurance})`,
    entry.reason && [": ", reason(entry.reason)], entry.ticket && [" · ticket ", t(entry.ticket)]);
  return section("History",
    h("ul.history",
      h("li", exact(plan.created_at), " ", t(plan.requester), " asked"),
      plan.approvals.map((approval) => word(approval, "approved")),
      plan.withdrawn?.map((approval) => word(approval, "approved with a key that was taken out since: void")),
      plan.rejection && word(plan.rejection, "rejected"),
      plan.ended_at && h("li", exact(plan.ended_at), " ", ends[plan.state] ?? words(plan.state)),
      plan.operation_id && h("li", h("a", { href: `#/operations/${plan.operation_id}` }, "Its operation")),
      may("audit") && h("li", h("a", { href: `#/audit?plan_id=${plan.plan_id}` }, "Its records in the audit log"))),
    h("details", h("summary", "Numbers and hashes"), h("dl.params",
      h("dt", "plan"), h("dd", h("code", plan.plan_id)), h("dt", "plan hash"), h("dd", h("code", plan.plan_hash)),
      h("dt", "request hash"), h("dd", h("code", plan.request_hash)), h("dt", "policy"), h("dd", h("code", t(plan.policy_version))))));
}
