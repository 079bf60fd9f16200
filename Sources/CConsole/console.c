/* The console's files, taken into the program when it is compiled (#embed, C23 6.10.4).
 *
 * A new file takes its bytes here and a line in the table below. A test holds the table to the directory. */
#include "console.h"

static const unsigned char index_html[] = {
#embed "files/index.html"
};
static const unsigned char app_css[] = {
#embed "files/app.css"
};
static const unsigned char icon_svg[] = {
#embed "files/icon.svg"
};
static const unsigned char app_js[] = {
#embed "files/app.js"
};
static const unsigned char account_js[] = {
#embed "files/account.js"
};
static const unsigned char api_js[] = {
#embed "files/api.js"
};
static const unsigned char audit_js[] = {
#embed "files/audit.js"
};
static const unsigned char changes_js[] = {
#embed "files/changes.js"
};
static const unsigned char decide_js[] = {
#embed "files/decide.js"
};
static const unsigned char dom_js[] = {
#embed "files/dom.js"
};
static const unsigned char environments_js[] = {
#embed "files/environments.js"
};
static const unsigned char forms_js[] = {
#embed "files/forms.js"
};
static const unsigned char freeze_js[] = {
#embed "files/freeze.js"
};
static const unsigned char inbox_js[] = {
#embed "files/inbox.js"
};
static const unsigned char machine_js[] = {
#embed "files/machine.js"
};
static const unsigned char operation_js[] = {
#embed "files/operation.js"
};
static const unsigned char operations_js[] = {
#embed "files/operations.js"
};
static const unsigned char passkey_js[] = {
#embed "files/passkey.js"
};
static const unsigned char plan_js[] = {
#embed "files/plan.js"
};
static const unsigned char plans_js[] = {
#embed "files/plans.js"
};
static const unsigned char policy_js[] = {
#embed "files/policy.js"
};
static const unsigned char request_js[] = {
#embed "files/request.js"
};
static const unsigned char session_js[] = {
#embed "files/session.js"
};
static const unsigned char state_js[] = {
#embed "files/state.js"
};

#define ENTRY(name, media_type, bytes) {name, media_type, bytes, sizeof bytes}
#define HTML "text/html; charset=utf-8"
#define CSS "text/css; charset=utf-8"
#define JS "text/javascript; charset=utf-8"
#define SVG "image/svg+xml"

static const struct console_file files[] = {
    ENTRY("index.html", HTML, index_html),
    ENTRY("app.css", CSS, app_css),
    ENTRY("icon.svg", SVG, icon_svg),
    ENTRY("app.js", JS, app_js),
    ENTRY("account.js", JS, account_js),
    ENTRY("api.js", JS, api_js),
    ENTRY("audit.js", JS, audit_js),
    ENTRY("changes.js", JS, changes_js),
    ENTRY("decide.js", JS, decide_js),
    ENTRY("dom.js", JS, dom_js),
    ENTRY("environments.js", JS, environments_js),
    ENTRY("forms.js", JS, forms_js),
    ENTRY("freeze.js", JS, freeze_js),
    ENTRY("inbox.js", JS, inbox_js),
    ENTRY("machine.js", JS, machine_js),
    ENTRY("operation.js", JS, operation_js),
    ENTRY("operations.js", JS, operations_js),
    ENTRY("passkey.js", JS, passkey_js),
    ENTRY("plan.js", JS, plan_js),
    ENTRY("plans.js", JS, plans_js),
    ENTRY("policy.js", JS, policy_js),
    ENTRY("request.js", JS, request_js),
    ENTRY("session.js", JS, session_js),
    ENTRY("state.js", JS, state_js),
};

const struct console_file *console_file_at(size_t number) {
    return number < sizeof files / sizeof *files ? &files[number] : NULL;
}
