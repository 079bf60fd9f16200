// Signing in: by token, by passkey, or by a code that works once.
import { api } from "./api.js";
import { answer, available, passkeyProblem } from "./passkey.js";
import { field, h, notice } from "./dom.js";

/** A code has two groups of four characters; a token is longer. */
const isCode = (text) => /^[a-z0-9]{4}[- ]?[a-z0-9]{4}$/i.test(text);

/** Draws the form; `done` gets the session. */
export function drawSignIn(main, message, done) {
  const place = h("div", { id: "sign-in-problem" });
  let busy = false;
  const send = async (make) => {
    if (busy) return;
    busy = true;
    place.replaceChildren();
    let body;
    try {
      body = await make();
      done(await api("POST", "/v1/session", body));
    } catch (problem) {
      const text = problem.status === 401 && body?.code ? "The agent does not accept this code. A code is good once, and for ten minutes. Get another with proxmox-agent sign-in-code; make run prints new ones when it starts."
        : problem.status === 401 ? "The agent does not accept this. Check it, or ask the person who runs the agent."
        : problem.status === undefined ? passkeyProblem(problem) : problem.message;
      place.replaceChildren(notice("bad", h("p", text)));
    } finally {
      busy = false;
    }
  };
  const withText = (event) => {
    event.preventDefault();
    const { secret } = event.target.elements;
    const text = secret.value.trim();
    secret.value = "";
    if (text) send(() => (isCode(text) ? { code: text } : { token: text }));
    else secret.focus();
  };
  const passkey = () => send(async () => ({ passkey: await answer(await api("POST", "/v1/session/challenge", {})) }));
  main.replaceChildren(h("div.sign-in",
    h("h1", { tabindex: "-1" }, "Sign in"),
    h("p.lead", "See what waits for you, and decide."),
    message && notice("warn", h("p", message)),
    place,
    h("form", { onsubmit: withText },
      field("Your token or one-time code", h("input",
        { name: "secret", type: "password", autocomplete: "current-password", spellcheck: "false" })),
      h("button.approve", "Sign in")),
    available() && h("p", h("button", { type: "button", onclick: passkey }, "Sign in with a passkey")),
    h("p.muted", "What you type goes to the agent once, and is not kept in this browser. A session ends after 30 minutes without use.")));
  main.querySelector(message ? "h1" : "input").focus();
}
