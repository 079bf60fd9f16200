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
static const unsigned char app_js[] = {
#embed "files/app.js"
};

#define ENTRY(name, media_type, bytes) {name, media_type, bytes, sizeof bytes}
#define HTML "text/html; charset=utf-8"
#define CSS "text/css; charset=utf-8"
#define JS "text/javascript; charset=utf-8"

static const struct console_file files[] = {
    ENTRY("index.html", HTML, index_html),
    ENTRY("app.css", CSS, app_css),
    ENTRY("app.js", JS, app_js),
};

const struct console_file *console_file_at(size_t number) {
    return number < sizeof files / sizeof *files ? &files[number] : NULL;
}
