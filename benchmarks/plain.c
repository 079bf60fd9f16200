/*
 * The limit that the agent is measured against: libmicrohttpd in plain C, with the agent's own settings (epoll threads,
 * suspend and resume allowed), which answers every request with the bytes of one file and the fields that the agent
 * sends. It looks at nothing.
 *
 *   plain PORT THREADS BODY-FILE
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *body;
static size_t body_size;

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

static void read_body(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) exit((perror(path), 1));
    body_size = (size_t)ftell(file);
    rewind(file);
    body = malloc(body_size + 1);
    if (body == NULL || fread(body, 1, body_size, file) != body_size) exit((perror(path), 1));
    fclose(file);
}

int main(int count, char **arguments) {
    if (count != 4) exit((fprintf(stderr, "usage: plain PORT THREADS BODY-FILE\n"), 2));
    read_body(arguments[3]);
    signal(SIGPIPE, SIG_IGN);
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, answer, NULL,
        MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)atoi(arguments[2]),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_END);
    if (daemon == NULL) exit((fprintf(stderr, "plain: cannot listen on port %s\n", arguments[1]), 1));
    int which;
    sigwait(&ends, &which);
    MHD_stop_daemon(daemon);
    return 0;
}
