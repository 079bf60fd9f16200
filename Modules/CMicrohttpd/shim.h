#include <microhttpd.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The Glibc module leaves <sys/eventfd.h> out. */
static inline int
cmhd_eventfd(void) {
    return eventfd(0, EFD_CLOEXEC);
}

static inline void
cmhd_eventfd_signal(int descriptor) {
    (void) eventfd_write(descriptor, 1);
}

/* struct epoll_event is packed and holds a union: not for Swift. Watches for the end of what a client sends, once. */
static inline int
cmhd_watch_open(void) {
    return epoll_create1(EPOLL_CLOEXEC);
}

static inline int
cmhd_watch_add(int watch, int descriptor, uint64_t number) {
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data = {.u64 = number}};
    return epoll_ctl(watch, EPOLL_CTL_ADD, descriptor, &event);
}

static inline int
cmhd_watch_remove(int watch, int descriptor) {
    struct epoll_event event = {0};
    return epoll_ctl(watch, EPOLL_CTL_DEL, descriptor, &event);
}

/* At most 64 numbers; never waits. */
static inline int
cmhd_watch_next(int watch, uint64_t numbers[64]) {
    struct epoll_event events[64];
    int count = epoll_wait(watch, events, 64, 0);
    for (int index = 0; index < count; index++) {
        numbers[index] = events[index].data.u64;
    }
    return count;
}

/* MHD_SIZE_UNKNOWN is a macro with a cast: not visible in Swift. */
static inline struct MHD_Response *
cmhd_create_stream(size_t block, MHD_ContentReaderCallback read, void *cls, MHD_ContentReaderFreeCallback done) {
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, block, read, cls, done);
}

/* MHD_set_response_options is variadic. Without chunks the body ends with the connection. */
static inline void
cmhd_forbid_chunks(struct MHD_Response *response) {
    (void) MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
}

/* MHD_start_daemon is variadic: not callable from Swift. Every option goes into one array. */
static inline struct MHD_Daemon *
cmhd_start_daemon(unsigned int flags, MHD_AccessHandlerCallback handler, void *cls,
                  const struct MHD_OptionItem *options) {
    return MHD_start_daemon(flags, 0, NULL, NULL, handler, cls, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

/* MHD_get_connection_info is variadic: one typed function for each thing that is asked for. */
static inline int
cmhd_connection_fd(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

static inline const struct sockaddr *
cmhd_client_address(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info ? info->client_addr : NULL;
}

/* A gnutls_session_t; NULL without TLS. */
static inline void *
cmhd_tls_session(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return info ? info->tls_session : NULL;
}

static inline void *
cmhd_socket_context(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}
