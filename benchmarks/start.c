/*
 * Starts a program, asks it for /healthz over and over until it answers 200, prints how many milliseconds that took
 * since the start, and ends it with SIGTERM.
 *
 *   start PORT PROGRAM [ARGUMENT ...]
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int answers(const struct sockaddr_in *address) {
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char answer[16] = "";
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    int good = connect(connection, (const struct sockaddr *)address, sizeof *address) == 0
        && write(connection, request, sizeof request - 1) == (ssize_t)(sizeof request - 1)
        && read(connection, answer, sizeof answer - 1) > 12 && strncmp(answer, "HTTP/1.1 200", 12) == 0;
    close(connection);
    return good;
}

int main(int count, char **arguments) {
    if (count < 3) exit((fprintf(stderr, "usage: start PORT PROGRAM [ARGUMENT ...]\n"), 2));
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    double start = milliseconds(), end;
    int status = 0;
    pid_t child = fork();
    if (child == 0) exit((execv(arguments[2], arguments + 2), perror(arguments[2]), 127));
    do {
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        end = milliseconds();
        if (end - start > 10000 || waitpid(child, &status, WNOHANG) != 0) {
            kill(child, SIGTERM);
            exit((fprintf(stderr, "start: %s does not answer\n", arguments[2]), 1));
        }
    } while (!answers(&address));
    end = milliseconds();
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        exit((fprintf(stderr, "start: %s did not end well\n", arguments[2]), 1));
    printf("%.2f\n", end - start);
}
