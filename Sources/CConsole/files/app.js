// Starts the console: session, navigation, and which page is shown.
import { beginSession, bus, get, listen } from "./api.js";
import { h, morph, notice, now, plain, say, t, until } from "./dom.js";
import { loadFreezes, loadInbox, may, state } from "./state.js";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const menu = document.getElementById("menu");

// A page: what its address looks like, the right it takes, its module, and its name in the navigation.
const routes = [
  [/^\/$/, "view", "inbox", "Inbox", "#/"],
  [/^\/plans$/, "view", "plans", "Plans", "#/plans"],
  [/^\/plans\/(pln_[0-9a-z]{20})$/, "view", "plan"],
  [/^\/operations$/, "view", "operations", "Operations", "#/operations"],
  [/^\/operations\/(op_[0-9a-z]{20})$/, "view", "operation"],
  [/^\/environments$/, "view", "environments", "Environments", "#/environments"],
  [/^\/environments\/([A-Za-z0-9._-]+)$/, "view", "environments"],
  [/^\/environments\/([A-Za-z0-9._-]+)\/((?:vm|lxc|node)\/[A-Za-z0-9-]+)$/, "view", "machine"],
  [/^\/request$/, "change", "request"],
  [/^\/freeze$/, "view", "freeze", "Freeze", "#/freeze"],
  [/^\/policy$/, "view", "policy", "Policy", "#/policy"],
  [/^\/audit$/, "audit", "audit", "Audit", "#/audit"],
  [/^\/account$/, null, "account", "Account", "#/account"],
];

// Windows share one cookie: when somebody else signs in, all begin anew.
const others = globalThis.BroadcastChannel ? new BroadcastChannel("session") : { postMessage() {} };
others.onmessage = ({ data }) => { if (state.session && data !== state.session.principal) location.reload(); };

let page = null;
let listening = null;

function drawNavigation() {
  const here = location.hash || "#/";
  const links = routes.filter(([, right, , label]) => label && (!right || may(right))).map(([, , , label, href]) => {
    const current = href === "#/" ? here === "#/" : here === href || here.startsWith(`${href}/`) || here.startsWith(`${href}?`);
    const count = href === "#/" && state.inbox.length;
    return h("li", h("a", { href, "aria-current": current && "page" }, label,
      count > 0 && h("span.count", { "aria-label": `${count} waiting` }, count)));
  });
  morph(nav, [h("ul", links), h("p.who", "Signed in as ", t(state.session.principal))]);
  nav.hidden = menu.hidden = false;
  const count = state.inbox.length;
  menu.textContent = count ? `Menu (${count})` : "Menu";
}

function drawTitle() {
  const count = state.inbox.length;
  document.title = `${count ? `(${count}) ` : ""}${plain(page?.title || "Console")} · proxmox-agent`;
}

function drawBanner() {
  const banner = document.getElementById("banner");
  banner.hidden = !state.freezes.length;
  morph(banner, state.freezes.map((freeze) =>
    h("div.notice.frozen", { "data-key": freeze.id ?? "file" },
      h("strong", freeze.environment ? ["Changes in ", t(freeze.environment), " are frozen"] : "All changes are frozen"),
      " by ", t(freeze.by), freeze.reason && [": ", t(freeze.reason)], freeze.ends_at && [" · ends ", until(freeze.ends_at)], " ",
      h("a", { href: "#/freeze" }, "Freezes"))));
}

function problemText(problem) {
  const again = h("button", { type: "button", onclick: () => show(false) }, "Try again");
  return notice("bad", h("p", problem.status === 404 ? "This does not exist, or you may not see it." : problem.message), again);
}

/** Shows the page of the address. */
async function show(moved = true) {
  page?.ended.abort();
  menu.setAttribute("aria-expanded", "false");
  nav.classList.remove("open");
  const [path, query = ""] = (location.hash.slice(1) || "/").split("?");
  let parts;
  const route = routes.find(([pattern]) => (parts = pattern.exec(path)));
  if (path === "/" && !may("view")) return void location.replace(may("audit") ? "#/audit" : "#/account");
  const ended = new AbortController();
  const mine = page = {
    ended, signal: ended.signal, parts: parts?.slice(1) ?? [], query: new URLSearchParams(query), title: route?.[3] ?? "",
    /** Draws the page: the first child has its heading. */
    draw(title, ...nodes) {
      if (ended.signal.aborted) return;
      mine.title = title;
      drawTitle();
      const first = !main.querySelector("h1");
      morph(main, nodes);
      if (first && moved) main.querySelector("h1")?.focus();
    },
    /** Calls `handler` for each event that `wants` accepts, and when some may have been missed. */
    live(wants, handler) {
      let timer;
      const soon = (_, pause = 120) => { clearTimeout(timer); timer = setTimeout(() => guard(handler, () => soon(null, 3000)), pause); };
      bus.addEventListener("event", ({ detail }) => wants(detail) && soon(), { signal: ended.signal });
      bus.addEventListener("resync", soon, { signal: ended.signal });
    },
  };
  const guard = async (work, again) => {
    try { await work(); } catch (problem) {
      if (ended.signal.aborted || problem.name === "AbortError" || problem.status === 401) return;
      // What is on the page stays there while the agent is away or busy.
      if (again && (problem.status === 0 || problem.status === 429 || problem.status >= 500)) return void again();
      if (!problem.status && !problem.code) console.error(problem);
      morph(main, [h("h1", { tabindex: "-1" }, mine.title || "Console"), problemText(problem)]);
    }
  };
  main.replaceChildren(h("p.loading", "Loading …"));
  drawNavigation();
  if (!route) return mine.draw("Not found", h("h1", { tabindex: "-1" }, "There is no such page"), h("p", h("a", { href: "#/" }, "Inbox")));
  if (route[1] && !may(route[1])) {
    return mine.draw(route[3], h("h1", { tabindex: "-1" }, route[3] ?? "Console"),
      notice("bad", h("p", `Your role does not have the right "${route[1]}".`)));
  }
  await guard(async () => {
    const module = await import(`./${route[2]}.js`);
    if (!ended.signal.aborted) await module.default(mine);
  });
}

/** Shows the form to sign in; afterwards the page of the address. */
async function signIn(message) {
  page?.ended.abort();
  listening?.abort();
  page = null;
  state.session = null;
  state.inbox = [];
  state.waiting = null;
  state.freezes = [];
  nav.hidden = menu.hidden = true;
  drawBanner();
  drawLink("none");
  document.title = "Sign in · proxmox-agent";
  const { drawSignIn } = await import("./session.js");
  drawSignIn(main, message, start);
}

function drawLink(link) {
  const words = { live: "Live", lost: "Reconnecting …", none: "" };
  const element = document.getElementById("link");
  if (link === "lost" && element.className !== link) say("The connection to the agent is lost. What you see may be old.");
  element.className = link;
  element.textContent = words[link];
}

/** Begins with a session; after signing in the heading of the page is focused. */
function start(session, signedIn = true) {
  beginSession();
  state.session = session;
  others.postMessage(session.principal);
  listening?.abort();
  listening = new AbortController();
  const quietly = (promise) => promise.catch(() => {});
  quietly(loadFreezes());
  if (location.hash.slice(1) && location.hash !== "#/") quietly(loadInbox());
  show(signedIn);
  listen(listening.signal);
}

bus.addEventListener("inbox", () => { if (state.session) { drawNavigation(); drawTitle(); } });
bus.addEventListener("freezes", drawBanner);
bus.addEventListener("link", ({ detail }) => drawLink(detail));
bus.addEventListener("signed-out", () => { if (state.session) signIn("Your session has ended. Sign in to go on where you were."); });
bus.addEventListener("sign-out", () => signIn("You have signed out."));
/** Rights may have changed: who is signed in is read anew, and then the page. */
async function loadSession() {
  state.session = await get("/v1/session");
  drawNavigation();
  bus.dispatchEvent(new CustomEvent("resync"));
}
const timers = {};
const later = (name, work) => { clearTimeout(timers[name]); timers[name] = setTimeout(() => work().catch(() => {}), 120); };
const refresh = (event) => {
  const kind = event?.kind ?? "";
  if (!event || kind.startsWith("freeze.")) later("freezes", loadFreezes);
  if (!event || kind.startsWith("plan.")) later("inbox", async () => {
    const first = !state.waiting;
    const before = new Set(state.inbox.map((plan) => plan.plan_id));
    await loadInbox();
    const fresh = state.inbox.filter((plan) => !before.has(plan.plan_id));
    if (!first && fresh.length) say(`${fresh.length === 1 ? "A plan awaits" : `${fresh.length} plans await`} your approval.`);
  });
  if (kind === "policy.replaced") later("session", loadSession);
};
bus.addEventListener("event", ({ detail }) => refresh(detail));
bus.addEventListener("resync", () => refresh());

// Plans that expire leave the inbox without an event of their own at that moment.
setInterval(() => { if (state.session && document.visibilityState === "visible"
  && state.inbox.some((plan) => Date.parse(plan.expires_at) <= now())) loadInbox().catch(() => {}); }, 5000);

menu.onclick = () => {
  const open = nav.classList.toggle("open");
  menu.setAttribute("aria-expanded", String(open));
  if (open) nav.querySelector("a")?.focus();
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && nav.classList.contains("open")) { menu.click(); menu.focus(); }
});
document.querySelector(".skip").onclick = (event) => { event.preventDefault(); main.focus(); };
addEventListener("hashchange", () => { if (state.session) show(); });

try {
  start(await get("/v1/session"), false);
} catch (problem) {
  signIn(problem.status === 401 ? undefined : problem.message);
}
