/* A client, or a PVE, that means no good: what benchmarks/attack.sh runs, each as a process of its own.
 *
 *   attack hang PORT                             listen, take every connection, and never say a word
 *   attack leave PORT TOKEN PATH COUNT           ask, and close at once, COUNT times over and over
 *   attack hold PORT TOKEN PATH COUNT            ask on COUNT connections and wait
 *   attack deaf PORT TOKEN PATH COUNT            ask on COUNT connections and read nothing
 *   attack body PORT TOKEN PATH COUNT            send all but the last byte of a body on COUNT connections
 *   attack head PORT TOKEN PATH COUNT            send the head of a request byte by byte on COUNT connections
 *   attack repeat PORT TOKEN PATH BODY           send one request again and again, each under an Idempotency-Key of its own
 *   attack freeze PORT TOKEN PATH BODY SECONDS   the same ten times a second; prints the longest wait in milliseconds
 *
 * All but the last come from another address than who sets a freeze, and go on until they are ended. Connections that the agent closes are opened again. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 100000, MOST = 2000 };

static struct sockaddr_in address = {.sin_family = AF_INET}, from = {.sin_family = AF_INET};
static const char *token, *path;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec * 1e-9;
}

static void wait_ms(int milliseconds) { poll(NULL, 0, milliseconds); }

/* A connection, or -1. A deaf one has little room for what it does not read. */
static int dial(int is_deaf) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (is_deaf) {
        int room = 4096;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    }
    struct timeval limit = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (bind(fd, (struct sockaddr *) &from, sizeof from) == 0 &&
        connect(fd, (struct sockaddr *) &address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

static int send_all(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0) return -1;
        bytes += sent;
        count -= (size_t) sent;
    }
    return 0;
}

static int head_of(char *into, size_t room, const char *method, size_t length, const char *more) {
    int count = snprintf(into, room,
                         "%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n",
                         method, path, token, length, more);
    return count > 0 && (size_t) count < room ? count : 0;
}

/* Sends what opens the connection of a mode that then waits. */
static int begin(int fd, const char *mode) {
    static char body[BODY];
    char head[4096];
    if (!strcmp(mode, "head")) return send_all(fd, "GET / HTTP/1.1\r\nX: ", 19);
    int is_body = !strcmp(mode, "body");
    int length = head_of(head, sizeof head, is_body ? "POST" : "GET", is_body ? BODY : 0, "");
    if (send_all(fd, head, (size_t) length) < 0) return -1;
    if (!is_body) return 0;
    memset(body, ' ', sizeof body);
    return send_all(fd, body, sizeof body - 1);
}

/* Keeps `count` connections open, and what they wait for on its way. */
static void keep(const char *mode, int count) {
    static int open[MOST];
    int is_deaf = !strcmp(mode, "deaf");
    for (int index = 0; index < count; index++) open[index] = -1;
    for (;;) {
        for (int index = 0; index < count; index++) {
            if (open[index] < 0) {
                open[index] = dial(is_deaf);
                if (open[index] >= 0 && begin(open[index], mode) == 0) continue;
                if (open[index] >= 0) close(open[index]);
                open[index] = -1;
                continue;
            }
            struct pollfd entry = {.fd = open[index], .events = is_deaf ? POLLRDHUP : POLLIN | POLLRDHUP};
            int is_over = poll(&entry, 1, 0) > 0;
            if (!is_over && !strcmp(mode, "head")) is_over = send_all(open[index], "x", 1) < 0;
            if (!is_over) continue;
            close(open[index]);
            open[index] = -1;
        }
        wait_ms(!strcmp(mode, "head") ? 500 : 50);
    }
}

static void leave(int count) {
    for (;;) {
        for (int index = 0; index < count; index++) {
            int fd = dial(0);
            if (fd < 0) continue;
            begin(fd, "leave");
            /* Long enough for the agent to begin with it. */
            wait_ms(1);
            close(fd);
        }
        wait_ms(100);
    }
}

/* One request on a connection that is kept; its status, or 0 where there is no answer. */
static int ask(int *fd, const char *body, int number) {
    char head[4096], more[64], answer[65536];
    snprintf(more, sizeof more, "Idempotency-Key: %d-%d\r\n", (int) getpid(), number);
    int length = head_of(head, sizeof head, "POST", strlen(body), number < 0 ? "" : more);
    if (*fd < 0) *fd = dial(0);
    if (*fd < 0) return 0;
    if (send_all(*fd, head, (size_t) length) == 0 && send_all(*fd, body, strlen(body)) == 0) {
        size_t filled = 0;
        for (;;) {
            ssize_t got = recv(*fd, answer + filled, sizeof answer - 1 - filled, 0);
            if (got <= 0) break;
            filled += (size_t) got;
            answer[filled] = 0;
            char *end = strstr(answer, "\r\n\r\n"), *size = strcasestr(answer, "Content-Length: ");
            if (end && size && size < end && filled >= (size_t) (end - answer) + 4 + strtoul(size + 16, NULL, 10)) {
                return atoi(answer + 9);
            }
            if (filled == sizeof answer - 1) break;
        }
    }
    close(*fd);
    *fd = -1;
    return 0;
}

static void repeat(const char *body) {
    int fd = -1;
    for (int number = 0;; number++) {
        if (ask(&fd, body, number) == 429) wait_ms(5);
    }
}

static int freeze(const char *body, double seconds) {
    double end = now() + seconds, longest = 0;
    int fd = -1, asked = 0, missed = 0;
    while (now() < end) {
        /* A connection of its own for each: whoever wants to stop things has none open. */
        double start = now();
        int status = ask(&fd, body, -1);
        double took = now() - start;
        if (took > longest) longest = took;
        asked++;
        if (status != 200) {
            missed++;
            fprintf(stderr, "freeze: status %d after %.0f ms\n", status, took * 1000);
        }
        if (fd >= 0) close(fd);
        fd = -1;
        if (took < 0.1) wait_ms((int) (100 - took * 1000));
    }
    printf("%.0f %d %d\n", longest * 1000, asked, missed);
    return missed > 0;
}

static void hang(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *) &address, sizeof address) < 0 || listen(listener, 1024) < 0) {
        perror("attack hang");
        exit(1);
    }
    while (accept(listener, NULL, NULL) >= 0 || errno != EBADF) {}
}

int main(int count, char **words) {
    signal(SIGPIPE, SIG_IGN);
    if (count < 3) return 2;
    const char *mode = words[1];
    address.sin_port = htons((uint16_t) atoi(words[2]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (strcmp(mode, "freeze") ? 1 : 0));
    if (!strcmp(mode, "hang")) hang();
    if (count < 6) return 2;
    token = words[3];
    path = words[4];
    int number = atoi(words[5]);
    if (number > MOST) number = MOST;
    if (!strcmp(mode, "leave")) leave(number);
    if (!strcmp(mode, "repeat")) repeat(words[5]);
    if (!strcmp(mode, "freeze") && count > 6) return freeze(words[5], atof(words[6]));
    if (!strcmp(mode, "hold") || !strcmp(mode, "deaf") || !strcmp(mode, "body") || !strcmp(mode, "head")) {
        keep(mode, number);
    }
    return 2;
}
