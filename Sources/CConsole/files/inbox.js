// What awaits the person who looks: riskiest and oldest first.
import { bus, get } from "./api.js";
import { badge, counted, h, reason, risk, t, until, when, words } from "./dom.js";
import { changeLine, isFinal, rowsOf } from "./changes.js";
import { isMe, loadInbox, may, owns, passed, state } from "./state.js";

const details = new Map();
let unknown = [];
let ready = [];
let emergencies = [];

export default async function inbox(page) {
  const draw = () => { if (state.waiting) page.draw("Inbox", ...body()); };
  bus.addEventListener("inbox", () => { draw(); loadDetails(draw, page.signal); }, { signal: page.signal });
  page.live((event) => event.kind.startsWith("operation.") || event.kind.startsWith("plan.")
    || event.kind.startsWith("glass."), async () => { await loadOthers(); draw(); });
  await Promise.all([loadInbox(), loadOthers().then(draw)]);
}

/** Reads what else the caller may have to do: settle outcomes, apply. */
async function loadOthers() {
  [unknown, ready, emergencies] = await Promise.all([
    may("approve") ? get("/v1/operations?state=unknown&limit=50").then((answer) => answer.operations) : [],
    may("change") ? get("/v1/plans?state=approved&limit=100").then((answer) => answer.plans.filter((plan) => owns(plan.requester)
      && !plan.request.dry_run)) : [],
    may("review") ? get("/v1/reviews?state=open").then(({ reviews }) => reviews.filter((review) => !isMe(review.requester))) : [],
  ]);
}

/** Reads what the plans on top would change. */
async function loadDetails(draw, signal) {
  for (const id of details.keys()) if (!state.inbox.some((plan) => plan.plan_id === id)) details.delete(id);
  const missing = state.inbox.slice(0, 40).filter((plan) => !details.has(plan.plan_id));
  for (const plan of missing) details.set(plan.plan_id, null);
  await Promise.all(missing.map(async (plan) => {
    try { details.set(plan.plan_id, await get(`/v1/plans/${plan.plan_id}`, { signal })); } catch { details.delete(plan.plan_id); }
  }));
  if (missing.length && !signal.aborted) draw();
}

function body() {
  const waiting = state.inbox;
  const own = (state.waiting ?? []).filter((plan) => isMe(plan.requester));
  const given = (state.waiting ?? []).filter((plan) => plan.approvals.some((approval) => isMe(approval.approver)));
  const none = may("approve")
    ? h("div.empty", h("p", h("strong", "Nothing waits for you.")), h("p", "New requests appear here by themselves."))
    : h("div.empty", h("p", "Your role does not approve plans. Plans that you asked for are under ",
      h("a", { href: "#/plans" }, "Plans"), "."));
  return [
    h("h1", { tabindex: "-1" }, "Inbox"),
    waiting.length > 0 && h("p.lead", waiting.length === 1 ? "One plan waits for your decision."
      : `${waiting.length} plans wait for your decision. The riskiest come first.`),
    waiting.length ? h("ul.cards", { "aria-label": "Plans that wait for you" }, waiting.map(card)) : none,
    emergencies.length > 0 && [h("h2", "Emergencies to review"), h("ul.rows", emergencies.map((review) =>
      h("li", { "data-key": review.operation_id },
        h("a", { href: `#/operations/${review.operation_id}` }, words(review.action), " ", t(review.target)),
        " in ", t(review.environment), h("p.muted", t(review.requester), " passed ", t(passed(review.break_glass)), ": ",
          reason(review.break_glass.reason)))))],
    unknown.length > 0 && [h("h2", "Outcomes to settle"), h("ul.rows", unknown.map((operation) =>
      h("li", { "data-key": operation.operation_id },
        h("a", { href: `#/operations/${operation.operation_id}` }, words(operation.action), " ", t(operation.target)),
        " in ", t(operation.environment), " ", badge("unknown"), h("p.muted", t(operation.message)))))],
    ready.length > 0 && [h("h2", "Yours, ready to apply"), short(ready)],
    own.length > 0 && [h("h2", "Yours, waiting for others"), short(own)],
    given.length > 0 && [h("h2", "Approved by you, waiting for others"), short(given)],
  ];
}

const short = (plans) => h("ul.rows", plans.map((plan) => h("li", { "data-key": plan.plan_id },
  h("a", { href: `#/plans/${plan.plan_id}` }, title(plan)), " ", risk(plan.decision.risk_level), " ",
  h("span.muted", counted(plan), " · expires ", until(plan.expires_at)))));

export const title = (plan) => [
  words(plan.request.action), " ",
  plan.summary?.name ? [t(plan.summary.name), " ", h("span.id", t(plan.request.target))] : t(plan.request.target),
];

/** What a plan without undo is marked with. */
export const noUndo = (level, changes) => (isFinal(level, changes) ? badge("high", "cannot be taken back") : badge("calm", "no undo"));

function card(plan) {
  const detail = details.get(plan.plan_id);
  const { request, summary, decision } = plan;
  const warnings = detail?.preview.checks.filter((check) => check.level === "warn").length ?? 0;
  return h(`li.card.${decision.risk_level}`, { "data-key": plan.plan_id },
    h("div.badges", risk(decision.risk_level), summary.irreversible && noUndo(decision.risk_level, detail?.preview.changes),
      warnings > 0 && badge("medium", warnings === 1 ? "1 warning" : `${warnings} warnings`),
      plan.requires.approvals > 1 && badge("calm", counted(plan))),
    h("h2", h("a", { href: `#/plans/${plan.plan_id}` }, title(plan))),
    h("p.where", t(request.environment), summary.node && [" · ", t(summary.node)]),
    h("p.change", detail ? changeLine(rowsOf(detail.preview.changes), { ...summary, name: summary.name ?? request.target }) : `${summary.changes} changes, ${summary.calls} calls`),
    h("p.why", t(plan.requester), request.reason ? [": ", reason(request.reason)] : " gave no reason"),
    h("p.muted", "asked ", when(plan.created_at), " · expires ", until(plan.expires_at)));
}
