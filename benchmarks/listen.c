/*
 * Opens event streams, waits until all have begun, and causes events: sets and lifts a freeze. Prints what each stream
 * costs the server in kB (resident memory, after the streams have begun and had an event), then for each event the
 * milliseconds from before the request that causes it until the last stream has it, and between the first and the last.
 *
 *   listen PORT PID STREAMS EVENTS FIELD-LINE
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct stream {
    int socket;
    /* The end of what has come: enough to recognise what is awaited across two reads. */
    char tail[64];
    size_t kept;
};

static struct sockaddr_in address = {.sin_family = AF_INET};
static const char *field_line;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static long resident(int process) {
    char path[64], line[256];
    long size = -1;
    snprintf(path, sizeof path, "/proc/%d/status", process);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %ld", &size);
    if (file) fclose(file);
    return size;
}

/* Sends a request, and leaves the reading of the answer to the caller. */
static int ask(const char *method, const char *path, const char *body) {
    char request[1024];
    int length = snprintf(request, sizeof request,
        "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", method,
        path, field_line, strlen(body), body);
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(connection, (const struct sockaddr *)&address, sizeof address) != 0) fail("cannot connect");
    if (write(connection, request, (size_t)length) != length) fail("cannot send");
    return connection;
}

/* Reads what there is; whether `awaited` was in it. */
static int has(struct stream *stream, const char *awaited) {
    char buffer[8192];
    memcpy(buffer, stream->tail, stream->kept);
    ssize_t count = read(stream->socket, buffer + stream->kept, sizeof buffer - stream->kept - 1);
    if (count <= 0) fail("a stream has ended");
    size_t length = stream->kept + (size_t)count;
    buffer[length] = 0;
    char *found = strstr(buffer, awaited);
    char *rest = found ? found + strlen(awaited) : buffer;
    stream->kept = (size_t)(buffer + length - rest);
    if (stream->kept > sizeof stream->tail) {
        rest += stream->kept - sizeof stream->tail;
        stream->kept = sizeof stream->tail;
    }
    memmove(stream->tail, rest, stream->kept);
    return found != NULL;
}

/* Waits until every stream has `awaited`; notes when the first and the last had it. */
static void await(int poll, struct stream *streams, int count, const char *awaited, double *first, double *last) {
    static char *done;
    done = realloc(done, (size_t)count);
    memset(done, 0, (size_t)count);
    double end = milliseconds() + 20000;
    *first = 0;
    for (int left = count; left > 0;) {
        struct epoll_event events[256];
        int ready = epoll_wait(poll, events, 256, 1000);
        if (ready <= 0 && milliseconds() > end) fail("%d of %d streams did not get %s", left, count, awaited);
        for (int index = 0; index < ready; index++) {
            int number = (int)events[index].data.u32;
            if (!has(&streams[number], awaited) || done[number]) continue;
            done[number] = 1;
            left--;
            *last = milliseconds();
            if (*first == 0) *first = *last;
        }
    }
}

int main(int count, char **arguments) {
    if (count != 6) fail("usage: listen PORT PID STREAMS EVENTS FIELD-LINE");
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    address.sin_port = htons((uint16_t)atoi(arguments[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int process = atoi(arguments[2]), wanted = atoi(arguments[3]), rounds = atoi(arguments[4]);
    field_line = arguments[5];
    struct stream *streams = calloc((size_t)wanted, sizeof *streams);
    int poll = epoll_create1(EPOLL_CLOEXEC);
    long before = resident(process);
    for (int number = 0; number < wanted; number++) {
        streams[number].socket = ask("GET", "/v1/events", "");
        struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = (uint32_t)number}};
        epoll_ctl(poll, EPOLL_CTL_ADD, streams[number].socket, &event);
    }
    double first, last;
    await(poll, streams, wanted, "retry: ", &first, &last);
    for (int round = 0; round < 2 * rounds; round++) {
        double start = milliseconds();
        int isSet = round % 2 == 0;
        int request = isSet ? ask("POST", "/v1/freeze", "{\"reason\": \"benchmark\"}") : ask("DELETE", "/v1/freeze", "");
        await(poll, streams, wanted, isSet ? "event: freeze.set" : "event: freeze.lifted", &first, &last);
        char answer[4096];
        if (read(request, answer, sizeof answer) <= 0 || strncmp(answer, "HTTP/1.1 200", 12) != 0) fail("no freeze");
        close(request);
        if (round == 0) printf("%.1f\n", (double)(resident(process) - before) / wanted);
        printf("%.2f %.2f\n", last - start, last - first);
    }
    return 0;
}
