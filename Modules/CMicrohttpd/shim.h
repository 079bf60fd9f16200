#include <microhttpd.h>
#include <sys/eventfd.h>

/* The Glibc module leaves <sys/eventfd.h> out. */
static inline int
cmhd_eventfd(void) {
    return eventfd(0, EFD_CLOEXEC);
}

static inline void
cmhd_eventfd_signal(int descriptor) {
    (void) eventfd_write(descriptor, 1);
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
