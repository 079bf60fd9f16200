// Who is signed in: rights, sessions, passkeys.
import { api, bus, get } from "./api.js";
import { field, h, notice, t, until, when } from "./dom.js";
import { available, create, passkeyProblem } from "./passkey.js";
import { passkeys, state } from "./state.js";

export default async function account(page) {
  const view = { sessions: [], message: null, line: null };
  view.draw = () => page.draw("Account", ...body(view));
  view.load = async () => {
    [state.session, view.sessions] = await Promise.all([get("/v1/session"),
      get("/v1/sessions").then((answer) => answer.sessions)]);
    view.draw();
  };
  await view.load();
}

function failed(view, text) {
  view.message = () => notice("bad", h("p", text));
  view.draw();
}

async function signOut() {
  try { await api("DELETE", "/v1/session"); } catch { /* it has ended already */ }
  bus.dispatchEvent(new CustomEvent("sign-out"));
}

function body(view) {
  const { session } = state;
  return [
    h("h1", { tabindex: "-1" }, "Account"),
    h("div", { id: "message" }, view.message?.()),
    h("p", "Signed in as ", h("strong", t(session.principal))),
    h("p", "Rights: ", session.rights.join(", ") || "none", " · ",
      session.environments ? ["in ", session.environments.map((name) => [t(name), " "])] : "in all environments"),
    session.session && h("p.muted", "This session ends ", until(session.session.expires_at), ", or after 30 minutes without use."),
    h("p", h("button", { type: "button", onclick: signOut }, "Sign out")),
    h("section", h("h2", "Sessions"), view.sessions.length ? h("ul.rows",
      view.sessions.map((entry) => row(view, entry))) : h("p.muted", "None are listed.")),
    h("section", h("h2", "Keys that sign approvals"), keys(), adding(view)),
  ];
}

function row(view, entry) {
  const own = entry.id === state.session.session?.id;
  const end = async () => {
    if (own) return signOut();
    try { await api("DELETE", `/v1/sessions/${encodeURIComponent(entry.id)}`); await view.load(); } catch (problem) { failed(view,
      problem.message); }
    return undefined;
  };
  return h("li", { "data-key": entry.id }, own ? h("strong", "This one") : "Another", entry.user_agent && [" · ", t(entry.user_agent)],
    h("p.muted", "begun ", when(entry.created_at), entry.last_used_at && [" · used ", when(entry.last_used_at)], " · ends ",
      until(entry.expires_at)),
    !own && h("button", { type: "button", onclick: end }, "End it"));
}

function keys() {
  const list = state.session.approval_keys ?? [];
  if (!list.length) return h("p", "You have none: your approvals count by your session alone. Where a rule asks for signed approvals, add a key.");
  return h("ul.rows", list.map((key) => h("li", { "data-key": key.fingerprint }, h("strong", t(key.kind)), " ",
    key.comment && t(key.comment), key.hardware && " · hardware",
    h("p.muted", h("code", t(key.fingerprint))))));
}

function adding(view) {
  if (!available()) return h("p.muted", "This address cannot have passkeys: browsers offer them on https and on localhost.");
  const make = async (event) => {
    event.preventDefault();
    const { session } = state;
    const comment = event.target.comment.value.trim();
    try {
      view.line = await create({ principal: session.principal, origin: session.origin, rpId: session.rp_id, keys: passkeys(), comment });
      view.message = null;
      view.draw();
      document.getElementById("key-line").focus();
    } catch (error) { failed(view, passkeyProblem(error)); }
  };
  const copy = () => navigator.clipboard?.writeText(view.line).catch(() => {});
  return [
    h("form", { "data-key": "passkey", onsubmit: make }, h("h3", "Add a passkey"),
      field("Name of the device", h("input", { name: "comment", maxlength: 60, pattern: "[A-Za-z0-9 ._\\-]*",
        autocomplete: "off" }), { hint: "Letters, digits, blanks, dots and dashes." }),
      h("button", "Make a passkey")),
    view.line && notice("good", h("p", "The passkey is made. It counts once the person who runs the agent has added this line to ",
      h("code", "approval_keys"), " of ", t(state.session.principal), ":"),
      h("pre", { id: "key-line", tabindex: "-1" }, view.line), h("button", { type: "button", onclick: copy }, "Copy")),
  ];
}
