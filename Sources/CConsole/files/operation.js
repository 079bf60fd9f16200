// One operation: progress, log, outcome.
import { api, get } from "./api.js";
import { badge, block, exact, field, h, notice, plain, reason as quote, say, show, t, targetHash, typed, when, words } from "./dom.js";
import { isOpen, progress } from "./operations.js";
import { covers, isMe, may, owns, passed } from "./state.js";

const longest = 5000;

export default async function operationPage(page) {
  const [id] = page.parts;
  const view = { operation: null, lines: [], start: 0, message: null };
  view.draw = () => page.draw(`${words(view.operation.action)} ${plain(view.name ?? view.operation.target)}`, ...body(view));
  view.load = async () => {
    const before = view.operation?.state;
    view.operation = await get(`/v1/operations/${id}`);
    // What its machine was called when it was asked for.
    view.name ??= await get(`/v1/plans/${view.operation.plan_id}`).then((plan) => plan.preview.observed?.name ?? "", () => "");
    await readLog(id, view);
    view.review = view.operation.break_glass && await get(`/v1/reviews/${id}`);
    view.draw();
    if (before && before !== view.operation.state) say(`The operation is ${view.operation.state.replace(/_/g, " ")}.`);
  };
  await view.load();
  page.live((event) => event.operation_id === id, view.load);
  // The log grows between events.
  const timer = setInterval(() => { if (isOpen(view.operation)
    && document.visibilityState === "visible") view.load().catch(() => {}); }, 2000);
  page.signal.addEventListener("abort", () => clearInterval(timer));
}

async function readLog(id, view) {
  try {
    for (let more = true; more; ) {
      const log = await get(`/v1/operations/${id}/log?start=${view.start + view.lines.length}&limit=1000`);
      // Proxmox VE's words for a log that is empty as yet.
      if (log.lines.length === 1 && log.lines[0] === "no content") break;
      if (!view.lines.length && log.total > view.start + longest) {
        view.start = log.total - longest;
        continue;
      }
      view.lines.push(...log.lines);
      more = log.lines.length > 0 && view.start + view.lines.length < log.total;
      if (view.lines.length > longest) { view.start += view.lines.length - longest; view.lines = view.lines.slice(-longest); }
    }
    view.logProblem = null;
  } catch (problem) {
    if (problem.status === 401) throw problem;
    view.logProblem = problem.message;
  }
}

const outcomes = {
  succeeded: "It succeeded.", succeeded_with_warnings: "It succeeded, with warnings.", failed: "It failed.", cancelled: "It was cancelled.",
  unknown: "Its outcome is not known. The agent sends nothing again and does not guess.", queued: "It waits for its turn.",
    running: "It is under way.",
};

function body(view) {
  const { operation } = view;
  const href = targetHash(operation.environment, operation.target);
  return [
    h("header.page", h("div.badges", badge(operation.state), operation.code && h("code", operation.code)),
      h("h1", { tabindex: "-1" }, words(operation.action), " ", view.name ? [t(view.name), " ", h("span.id", t(operation.target))]
        : t(operation.target)),
      h("p.where", href ? h("a", { href }, t(operation.target)) : t(operation.target), " in ", t(operation.environment),
        " · asked by ", t(operation.requester), " · ",
        h("a", { href: `#/plans/${operation.plan_id}` }, "its plan"))),
    h("div", { id: "message", tabindex: "-1" }, view.message?.()),
    h("section", h("h2", "Outcome"), h("p", { class: "outcome" }, h("strong", outcomes[operation.state]), " ",
      operation.message && operation.message !== "OK" && t(operation.message)),
      progress(operation), operation.cancel_requested_by && h("p", "Asked to stop by ", t(operation.cancel_requested_by), "."),
      operation.upstream && h("p", "Proxmox VE said: ", t(operation.upstream.reason)),
      operation.cause && h("p", "Cause: ", t(operation.cause.detail)),
      drift("What stayed changed", operation.left), drift("What differed from the plan", operation.moved),
      operation.undo && undo(view), stop(view)),
    settle(view), emergency(view),
    operation.data !== undefined && operation.data !== null && h("details", h("summary", "What the agent found"),
      h("pre", block(JSON.stringify(operation.data, null, 2)))),
    h("section", h("h2", "Calls"), h("ol.calls",
      operation.steps.map((step) => h("li", stepBadge(step, operation), " ", h("code", step.call.method, " ", t(step.call.path)))))),
    h("section", h("h2", "Log"), log(view)),
    h("section", h("h2", "History"), h("ul.history",
      h("li", exact(operation.created_at), " accepted"), operation.started_at && h("li", exact(operation.started_at), " began"),
      operation.approvals.map((approval) => h("li", "approved by ", t(approval.approver), " ", when(approval.at))),
      operation.ended_at && h("li", exact(operation.ended_at), " ended"))),
  ];
}

/** What became of a call; while its task runs that is not known yet. */
const stepBadge = ({ state }, operation) => (state === "done" ? badge("succeeded",
  "done") : state === "unknown" && isOpen(operation) ? badge("running", "sent") : badge(state));

function log(view) {
  if (view.logProblem && !view.lines.length) return h("p.muted", t(view.logProblem));
  if (!view.lines.length) return h("p.muted", isOpen(view.operation) ? "There is no log yet." : "There is no log.");
  return [view.start > 0 && h("p.muted", `${view.start} earlier lines are not shown.`),
    h("div.log", { tabindex: "0", role: "region", "aria-label": "Log of the task" },
      h("ol", { start: view.start + 1 }, view.lines.map((line) => h("li", t(line)))))];
}

const drift = (title, fields) => fields?.length > 0 && [h("h3", title), h("ul", fields.map((entry) =>
  h("li", h("code", t(entry.field)), ": planned ", show(entry.planned), ", found ", show(entry.found))))];

function problemShown(view, problem) {
  view.message = () => notice("bad", h("p", problem.message));
  view.draw();
  document.getElementById("message").focus();
}

function undo(view) {
  const { operation } = view;
  return h("div", h("p", "Can be taken back: ", words(operation.undo.action), " ", t(operation.undo.target)),
    may("change") && h("button", { type: "button", onclick: async () => {
      try {
        const plan = await api("POST", "/v1/actions/plan", { ...operation.undo, reason: `takes back ${operation.operation_id}` });
        location.hash = `#/plans/${plan.plan_id}`;
      } catch (problem) { problemShown(view, problem); }
    } }, "Plan the undo"));
}

function stop(view) {
  const { operation } = view;
  const allowed = owns(operation.requester) || (may("approve") && covers(operation.environment));
  if (!isOpen(operation) || !allowed || operation.cancel_requested_by) return null;
  const ask = async () => {
    try {
      await api("POST", `/v1/operations/${operation.operation_id}/cancel`);
      await view.load();
    } catch (problem) { problemShown(view, problem); }
  };
  return h("details.confirm", h("summary", operation.state === "queued" ? "Cancel …" : "Stop its task …"),
    h("p", operation.state === "queued" ? "Nothing has been sent yet: it ends without effect."
      : "Proxmox VE is asked to stop the task. What it has done so far stays."),
    h("button.reject", { type: "button", onclick: ask }, operation.state === "queued" ? "Cancel it" : "Stop the task"));
}

/** An emergency and its review. */
function emergency(view) {
  const { operation, review } = view;
  if (!operation.break_glass) return null;
  const verdict = review?.verdict;
  const mine = review && !verdict && may("review") && covers(operation.environment) && !isMe(operation.requester);
  const submit = async (event) => {
    event.preventDefault();
    const comment = typed(event.target.comment);
    if (!comment) return;
    try {
      await api("POST", `/v1/reviews/${operation.operation_id}`, { verdict: event.submitter.value, comment });
      view.message = () => notice("good", h("p", "You reviewed it."));
      await view.load();
    } catch (problem) { problemShown(view, problem); }
  };
  return h("section", h("h2", "Emergency"),
    h("p", t(operation.requester), " passed ", t(passed(operation.break_glass)), " ", when(operation.break_glass.at), ":"),
    h("blockquote", block(operation.break_glass.reason)),
    verdict ? h("p", h("strong", words(verdict.verdict)), ", says ", t(verdict.by), " ",
      when(verdict.at), ": ", quote(verdict.comment))
      : review && !mine && h("p.muted", "Somebody else has to review it."),
    mine && h("form", { "data-key": "review", onsubmit: submit, novalidate: true },
      field("What did you find?", h("textarea", { name: "comment", rows: 2, maxlength: 4096 }), { hint: "Kept in the audit log." }),
      h("div.actions", h("button.approve", { value: "justified" }, "It was justified"),
        h("button.reject", { value: "unjustified" }, "It was not"))));
}

function settle(view) {
  const { operation } = view;
  if (operation.state !== "unknown") return null;
  if (!may("approve") || !covers(operation.environment)) return h("section", h("h2", "Settle"),
    h("p", "An approver can settle it, after a look at Proxmox VE."));
  const submit = async (event) => {
    event.preventDefault();
    const outcome = event.submitter.value;
    const reason = typed(event.target.reason);
    if (!reason) return;
    try {
      await api("POST", `/v1/operations/${operation.operation_id}/resolve`, { outcome, reason });
      view.message = () => notice("good", h("p", "You settled the outcome."));
      await view.load();
    } catch (problem) { problemShown(view, problem); }
  };
  return h("section", h("h2", "Settle"), h("p",
    "Look at Proxmox VE: its task list, the machine itself. What you say here changes the record, not the machine."),
    h("form.decide", { "data-key": "settle", onsubmit: submit },
      field("How do you know?", h("textarea", { name: "reason", rows: 2, required: true, maxlength: 4096 })),
      h("div.actions", h("button.approve", { value: "succeeded" }, "It succeeded"), h("button.reject", { value: "failed" }, "It failed"))));
}
