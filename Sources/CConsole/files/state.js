// What more than one page knows: who is signed in, what awaits them, and what is frozen.
import { bus, get, pages } from "./api.js";
import { now } from "./dom.js";

export const state = { session: null, inbox: [], waiting: null, freezes: [] };

export const may = (right) => state.session?.rights?.includes(right) ?? false;
export const isMe = (principal) => principal?.toLowerCase() === state.session?.principal.toLowerCase();

/** Whether the caller may apply or cancel what this requester asked for. */
export const owns = (requester) => may("change") && isMe(requester);

/** What was passed, in words. */
export const passed = ({ windows, limits, freezes }) => [...windows.map((rule) => `the change window of rule ${rule}`),
  ...limits.map((rule) => `the limit of rule ${rule}`), ...freezes.map((id) => `freeze ${id}`)].join(", ");

/** Whether the caller's rights hold in an environment. */
export const covers = (environment) => !state.session?.environments || !environment || state.session.environments.includes(environment);

/** The caller's passkeys, which can sign an approval here. */
export const passkeys = () => (state.session?.approval_keys ?? []).filter((key) => key.credential_id);

const levels = { high: 0, medium: 1, low: 2 };

/** Whether the caller's approval is what a plan waits for. */
export const awaitsMe = (plan) =>
  plan.state === "awaiting_approval" && may("approve") && !state.session.shared && covers(plan.request.environment)
    && !isMe(plan.requester) &&
  !plan.approvals.some((approval) => isMe(approval.approver)) && Date.parse(plan.expires_at) > now();

const changed = (name) => bus.dispatchEvent(new CustomEvent(name));

/** Reads anew what awaits the caller: riskiest first, then oldest. */
export async function loadInbox() {
  if (!may("view")) return;
  const plans = await pages("/v1/plans?state=awaiting_approval", "plans", 2000);
  state.waiting = plans;
  state.inbox = plans.filter(awaitsMe).sort((a, b) =>
    levels[a.decision.risk_level] - levels[b.decision.risk_level] || Date.parse(a.created_at) - Date.parse(b.created_at));
  changed("inbox");
}

export async function loadFreezes() {
  if (!may("view")) return;
  state.freezes = (await get("/v1/freeze")).freezes;
  changed("freezes");
}
