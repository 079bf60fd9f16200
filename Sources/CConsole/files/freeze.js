// Freezes: what is frozen, setting and lifting one.
import { api, bus } from "./api.js";
import { exact, field, h, notice, reason, say, select, t, typed, until } from "./dom.js";
import { environmentNames } from "./plans.js";
import { isMe, loadFreezes, may, state } from "./state.js";

const times = [["900", "15 minutes"], ["3600", "1 hour"], ["14400", "4 hours"], ["86400", "1 day"], ["", "until it is lifted"]];

export default async function freezePage(page) {
  const names = (await environmentNames()).filter((name) => !state.session.environments || state.session.environments.includes(name));
  const view = { message: null };
  view.draw = () => page.draw("Freeze", ...body(view, names));
  await loadFreezes();
  view.draw();
  bus.addEventListener("freezes", view.draw, { signal: page.signal });
}

function failed(view, problem) {
  view.message = () => notice("bad", h("p", problem.message));
  view.draw();
}

function body(view, names) {
  const { freezes } = state;
  return [
    h("h1", { tabindex: "-1" }, "Freeze"),
    h("p.lead", "A freeze blocks all changes. After the agent has answered it, no call leaves. What runs at Proxmox VE already goes on."),
    h("div", { id: "message" }, view.message?.()),
    may("freeze") && form(view, names),
    h("h2", "In force"),
    freezes.length === 0 ? h("p.empty", "Nothing is frozen.") : h("ul.rows",
      freezes.map((freeze) => h("li", { "data-key": freeze.id ?? "file" },
      h("strong", freeze.environment ? t(freeze.environment) : "Everything"), " by ", t(freeze.by),
        freeze.reason && [": ", reason(freeze.reason)],
      h("p.muted", "since ", exact(freeze.set_at), freeze.ends_at ? [" · ends ", until(freeze.ends_at)] : " · until it is lifted"),
      freeze.id ? (may("unfreeze") || (isMe(freeze.by) && may("freeze"))) && lift(view, freeze) : h("p",
        "Set by a file on the agent's machine: remove the file to lift it.")))),
  ];
}

function form(view, names) {
  const set = async (event) => {
    event.preventDefault();
    const form = event.target;
    const reason = typed(form.reason);
    if (!reason) return;
    const ttl = Number(form.ttl.value);
    try {
      await api("POST", "/v1/freeze", { reason, ...(form.environment.value && { environment: form.environment.value }),
        ...(ttl && { ttl }) });
      form.reset();
      view.message = () => notice("good", h("p", "Frozen. No call that changes something leaves from now on."));
      await loadFreezes();
      say("Frozen.");
    } catch (problem) { failed(view, problem); }
  };
  const everywhere = !state.session.environments;
  return h("form.freeze", { "data-key": "set", onsubmit: set, novalidate: true },
    field("What", select({ name: "environment" }, [...(everywhere ? [["", "everything"]] : []), ...names.map((name) => [name, name])])),
    field("Reason", h("input", { name: "reason", required: true, maxlength: 4096, autocomplete: "off" })),
    field("For", select({ name: "ttl" }, times, "3600")),
    h("button.freeze-now", "Freeze changes"));
}

function lift(view, freeze) {
  return h("button", { type: "button", onclick: async () => {
    try {
      await api("DELETE", `/v1/freeze?id=${encodeURIComponent(freeze.id)}`);
      view.message = () => notice("good", h("p", "Lifted."));
      await loadFreezes();
    } catch (problem) { failed(view, problem); }
  } }, "Lift");
}
