/*
 * The limit that the agent is measured against: libmicrohttpd in plain C, with the agent's own settings (epoll threads,
 * suspend and resume allowed), which answers every request with the bytes of one file and the fields that the agent
 * sends. It looks at nothing.
 *
 *   plain PORT THREADS BODY-FILE [CERTIFICATE-FILE KEY-FILE]     with these it speaks TLS
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *body;
static size_t body_size;
/* Those that the agent takes. */
static const char *const ciphers = "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA"
                                   ":-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:%SERVER_PRECEDENCE";

static const char *const fields[][2] = {
    {"Content-Type", "application/json"},
    {"X-Request-ID", "req_0123456789abcdef"},
    {"X-Content-Type-Options", "nosniff"},
    {"Cache-Control", "no-store"},
    {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
    {"Referrer-Policy", "no-referrer"},
};

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *size, void **request) {
    static int seen;
    if (*request == NULL) {
        *request = &seen;
        return MHD_YES;
    }
    if (*size > 0) {
        *size = 0;
        return MHD_YES;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body_size, body, body_size > 32768 ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_COPY);
    if (response == NULL) return MHD_NO;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        MHD_add_response_header(response, fields[i][0], fields[i][1]);
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

/* The bytes of a file, with a zero behind them. */
static char *content(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) exit((perror(path), 1));
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = calloc(*size + 1, 1);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size) exit((perror(path), 1));
    fclose(file);
    return bytes;
}

int main(int count, char **arguments) {
    if (count != 4 && count != 6)
        exit((fprintf(stderr, "usage: plain PORT THREADS BODY-FILE [CERTIFICATE-FILE KEY-FILE]\n"), 2));
    body = content(arguments[3], &body_size);
    size_t size;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, count == 6 ? content(arguments[4], &size) : NULL},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, count == 6 ? content(arguments[5], &size) : NULL},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)ciphers},
        {MHD_OPTION_END, 0, NULL},
    };
    signal(SIGPIPE, SIG_IGN);
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | (count == 6 ? MHD_USE_TLS : 0), 0, NULL, NULL, answer, NULL,
        MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)atoi(arguments[2]),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_ARRAY, count == 6 ? tls : tls + 3, MHD_OPTION_END);
    if (daemon == NULL) exit((fprintf(stderr, "plain: cannot listen on port %s\n", arguments[1]), 1));
    int which;
    sigwait(&ends, &which);
    MHD_stop_daemon(daemon);
    return 0;
}
