// The panel beside a plan: approve, reject, apply, cancel.
import { api } from "./api.js";
import { counted, field, h, notice, now, plain, reason as quote, say, t, typed, until } from "./dom.js";
import { approvalText, available, passkeyProblem, signApproval } from "./passkey.js";
import { awaitsMe, covers, isMe, may, owns, passkeys, state } from "./state.js";

// What was typed, kept over a new sign-in.
const drafts = new Map();

/** What has to be typed before a change of high risk: the machine's name, if a keyboard can. */
function wordToType(plan) {
  const name = plan.preview.observed?.name;
  return typeof name === "string" && /^[\x21-\x7e]+$/.test(name) ? name : plan.request.target;
}

/** The passkeys that this plan takes: none where a rule asks for hardware. */
const keysFor = (plan) => (plan.requires.assurance === "hardware" ? [] : passkeys());
const canSignHere = (plan) => keysFor(plan).length > 0 && available();
const signedOnly = (plan) => ["signed", "hardware"].includes(plan.requires.assurance);

export function decisionPanel(view) {
  const { plan } = view;
  const count = plan.requires.approvals > 0 && h("p.muted", counted(plan),
    signedOnly(plan) && `, ${plan.requires.assurance === "hardware" ? "signed with a security key" : "signed"}`);
  switch (plan.state) {
  case "awaiting_approval":
    if (awaitsMe(plan)) return [h("h2", "Your decision"), count, decisionForm(view)];
    return [h("h2", "Waits for approval"), count, waiting(plan), applyDeclared(view), cancel(view)];
  case "approved":
    return [h("h2", plan.requires.approvals > 0 ? "Approved" : "Ready"), count, apply(view), cancel(view)];
  case "denied":
    return [h("h2", "Denied"), h("p", t(plan.decision.reason), "."), h("p", "Nobody can apply this plan.")];
  default:
    return [h("h2", "Nothing to decide"), count,
      plan.rejection && h("p", "Rejected by ", t(plan.rejection.approver), plan.rejection.reason && [": ", quote(plan.rejection.reason)]),
      plan.operation_id ? h("p", h("a.button", { href: `#/operations/${plan.operation_id}` }, "Open its operation")) : h("p",
        "This plan has ended. Nothing was done.")];
  }
}

function waiting(plan) {
  const { environment } = plan.request;
  const open = plan.requires.approvals - plan.approvals.length;
  if (state.session.shared) return plan.requires.assurance !== "declared"
    && h("p", "It takes an approval by a principal with a token of their own, which the shared token is not.");
  if (isMe(plan.requester)) return h("p", "You asked for this; another person has to approve it: ",
    open > 1 ? `${open} more people who may approve in ` : "anybody else who may approve in ", t(environment), " can decide.");
  if (plan.approvals.some((approval) => isMe(approval.approver))) return h("p", "Your approval counts. It waits for another person.");
  if (Date.parse(plan.expires_at) <= now()) return h("p", "It has expired.");
  if (!may("approve")) return h("p", "Your role does not approve plans.");
  return !covers(plan.request.environment) && h("p", "You do not approve plans in ", t(plan.request.environment), ".");
}

function decisionForm(view) {
  const { plan } = view;
  const draft = drafts.get(plan.plan_id) ?? drafts.set(plan.plan_id, { reason: "", typed: "" }).get(plan.plan_id);
  const word = plan.decision.risk_level === "high" && wordToType(plan);
  const mustSign = signedOnly(plan);
  const canSign = canSignHere(plan);
  const keep = (name) => (event) => { draft[name] = event.target.value; };
  // The form belongs to what was drawn: its hash is the one that is sent.
  return h("form.decide", { "data-key": `decide-${plan.plan_hash}`, onsubmit: (event) => submit(event, view, plan, { word, draft }),
    novalidate: true },
    field("Reason", h("textarea", { id: "reason", name: "reason", rows: 2, maxlength: 4096, value: draft.reason,
      oninput: keep("reason") }), { hint: "Kept in the audit log. Say why when you reject." }),
    word && field(["Type ", h("code.word", plain(word)), " to approve"],
      h("input", { id: "typed", name: "typed", autocomplete: "off", autocapitalize: "off", spellcheck: "false", value: draft.typed,
        oninput: keep("typed") }), { hint: "This change has a high risk." }),
    canSign && h("label.check", h("input", { type: "checkbox", id: "sign", checked: true, disabled: mustSign }), " Sign with my passkey"),
    mustSign && !canSign && notice("warn", h("p",
      plan.requires.assurance === "hardware" ? "This plan takes an approval that is signed with a security key. Sign in a terminal:"
      : ["This plan takes a signed approval, and you have no passkey here. ", h("a", { href: "#/account" }, "Add a passkey"),
        ", or sign in a terminal:"]), h("pre", `proxmox-agent approve ${plan.plan_id} --sign`)),
    problem(view, "decide-problem"),
    h("div.actions",
      h("button.approve", { name: "decision", value: "approve", disabled: mustSign && !canSign },
        canSign ? "Approve with passkey" : "Approve"),
      h("button.reject", { name: "decision", value: "reject" }, "Reject")),
    h("p.muted", "An approval carries nothing out by itself: ", t(plan.requester),
      " applies the plan. It covers exactly what this page shows (hash ", h("code", plan.plan_hash.slice(0, 8)), ")."));
}

async function submit(event, view, plan, { word, draft }) {
  event.preventDefault();
  const form = event.target;
  const decision = event.submitter?.value ?? "approve";
  const reason = form.reason.value.trim();
  const fail = (control, text) => {
    view.problem = text;
    view.draw();
    control?.setAttribute("aria-invalid", "true");
    control?.focus();
  };
  view.problem = null;
  for (const control of [form.reason, form.typed]) control?.removeAttribute("aria-invalid");
  if (decision === "approve" && word && form.typed.value.trim() !== word) return fail(form.typed,
    `Type ${plain(word)} first: this change has a high risk.`);
  if (decision === "reject" && !reason) return fail(form.reason, "Say why you reject it.");
  const buttons = form.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  try {
    const body = { decision, plan_hash: plan.plan_hash, ...(reason && { reason }) };
    if (form.querySelector("#sign")?.checked) {
      const { session } = state;
      const text = approvalText({ origin: session.origin, plan: plan.plan_id, hash: plan.plan_hash, decision,
        principal: session.principal, reason });
      try {
        body.signature = { passkey: await signApproval(text, keysFor(plan), session.rp_id) };
      } catch (error) {
        return fail(event.submitter, `${passkeyProblem(error)} Nothing was sent.`);
      }
    }
    view.mine = true;
    const answer = await api("POST", `/v1/plans/${plan.plan_id}/approvals`, body);
    drafts.delete(plan.plan_id);
    const open = answer.requires.approvals - answer.approvals.length;
    view.decided(answer, decision === "reject" ? "You rejected this plan. It cannot be applied any more."
      : open > 0 ? `Your approval counts. ${open} more ${open === 1 ? "is" : "are"} needed.`
        : `You approved this plan. ${plain(answer.requester)} can apply it now.`);
  } catch (problem) {
    view.mine = false;
    if (problem.status === 401) return;
    // What the page shows may be old: it is read anew.
    await view.load().catch(() => {});
    const text = view.problem = `${problem.message} Nothing was decided.`;
    const shown = document.getElementById("decide-problem");
    if (!shown) view.message = () => notice("bad", h("p", text));
    view.draw();
    if (!shown) document.getElementById("message").focus();
    say(text);
  } finally {
    for (const button of buttons) button.disabled = button.value === "approve" && signedOnly(plan) && !canSignHere(plan);
  }
  return undefined;
}

// MARK: What the one who asked does with it

const frozen = (plan) => state.freezes.find((freeze) => !freeze.environment || freeze.environment === plan.request.environment);

const problem = ({ problem: text }, id = "apply-problem") => h("div", { id }, text && notice("bad", h("p", text)));

function apply(view) {
  const { plan } = view;
  if (plan.request.dry_run) return h("p", "A dry run: it changes nothing.");
  if (!owns(plan.requester)) return h("p", t(plan.requester), " can apply it until it expires ", until(plan.expires_at), ".");
  return [h("form", { "data-key": "apply", onsubmit: (event) => send(event, view, {}) },
    frozen(plan) && notice("warn", h("p", "Changes are frozen: it cannot be applied now.")),
    problem(view), h("div.actions", h("button.approve", "Apply now")),
    h("p.muted", "Everything is checked again first. If the machine has changed since, nothing is done.")), emergency(view)];
}

function emergency(view) {
  if (!may("break_glass") || !covers(view.plan.request.environment)) return null;
  const pass = (event) => {
    event.preventDefault();
    const reason = typed(event.target.emergency);
    if (reason) send(event, view, { break_glass: reason });
  };
  return h("details.confirm", h("summary", "In an emergency …"),
    h("form", { "data-key": "emergency", onsubmit: pass, novalidate: true },
      h("p", "It passes a closed window, a full limit or a freeze; somebody else reviews that."),
      field("Why this cannot wait", h("input", { name: "emergency", maxlength: 4096, autocomplete: "off" })),
      h("button.reject", "Break the glass")));
}

/** With the one shared token, who applies names the person that approved. */
function applyDeclared(view) {
  const { plan } = view;
  if (plan.requires.assurance !== "declared" || !state.session.shared || !owns(plan.requester)) return null;
  return h("form", { "data-key": "declared", onsubmit: (event) => send(event, view, { approved_by: event.target.by.value.trim() }) },
    field("Approved by", h("input", { name: "by", required: true, minlength: 3, maxlength: 128, autocomplete: "off" }),
      { hint: "The person who saw this plan and approved it. With the one shared token this is your declaration." }),
    problem(view), h("div.actions", h("button.approve", "Apply now")));
}

async function send(event, view, more) {
  event.preventDefault();
  const button = event.submitter ?? event.target.querySelector("button");
  const id = view.plan.plan_id;
  button.disabled = true;
  view.mine = true;
  view.problem = null;
  try {
    const key = globalThis.crypto?.randomUUID?.();
    const answer = await api("POST", "/v1/actions/apply", { plan_id: id, ...more }, { headers: key && { "Idempotency-Key": key } });
    location.hash = answer.operation ? `#/operations/${answer.operation.operation_id}` : `#/plans/${id}`;
  } catch (problem) {
    view.mine = false;
    if (problem.status !== 401) {
      await view.load().catch(() => {});
      if (!document.getElementById("apply-problem")) view.message = () => notice("bad", h("p", problem.message));
      view.problem = problem.message;
      view.draw();
    }
  } finally {
    button.disabled = false;
  }
}

function cancel(view) {
  const { plan } = view;
  const mine = owns(plan.requester);
  if (!mine && !(may("approve") && covers(plan.request.environment))) return null;
  return h("form.cancel", { "data-key": "cancel", onsubmit: async (event) => {
    event.preventDefault();
    view.mine = true;
    try {
      await api("DELETE", `/v1/plans/${plan.plan_id}`);
      await view.load();
      say("The plan was cancelled.");
    } catch (problem) {
      view.message = () => notice("bad", h("p", problem.message));
      view.draw();
    }
  } }, h("button.quiet", "Cancel this plan"));
}
