#ifndef CPOSTGRESQL_SHIM_H
#define CPOSTGRESQL_SHIM_H

#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#else
#include <libpq-fe.h>
#endif
#include <dlfcn.h>
#include <stddef.h>

/* The functions of libpq that are called. Nothing links libpq: it is loaded when a state needs it. */
#define CPQ_FUNCTIONS(F) \
    F(PQbackendPID) F(PQclear) F(PQconninfo) F(PQconninfoFree) F(PQconnectPoll) F(PQconnectStartParams) \
    F(PQconsumeInput) F(PQerrorMessage) F(PQfinish) F(PQflush) F(PQftype) F(PQgetResult) F(PQgetisnull) \
    F(PQfreemem) F(PQgetlength) F(PQgetvalue) F(PQisBusy) F(PQnfields) F(PQnotifies) F(PQntuples) \
    F(PQresultErrorField) F(PQresultStatus) F(PQsendPrepare) F(PQsendQuery) F(PQsendQueryPrepared) \
    F(PQserverVersion) F(PQsetErrorVerbosity) F(PQsetNoticeProcessor) F(PQsetSingleRowMode) F(PQsetnonblocking) \
    F(PQsocket) F(PQsslInUse) F(PQstatus) F(PQtransactionStatus)

/* One pointer for each, with the type that libpq's own header declares. */
struct cpq_functions {
#define CPQ_FIELD(name) __typeof__(name) *_Nonnull name;
    CPQ_FUNCTIONS(CPQ_FIELD)
#undef CPQ_FIELD
};

/* Loads the library for the rest of the process. NULL, or the reason why it cannot be used. */
static inline const char *cpq_load(const char *library, struct cpq_functions *functions) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    void *symbol;
    if (handle == NULL) return dlerror();
#define CPQ_LOAD(name) \
    if ((symbol = dlsym(handle, #name)) == NULL) return dlerror(); \
    functions->name = (__typeof__(name) *)symbol;
    CPQ_FUNCTIONS(CPQ_LOAD)
#undef CPQ_LOAD
    return NULL;
}

/* libpq would print notices to stderr. */
static inline void cpq_ignore_notice(void *argument, const char *message) {
    (void)argument;
    (void)message;
}

static inline void cpq_ignore_notices(const struct cpq_functions *functions, PGconn *connection) {
    (void)functions->PQsetNoticeProcessor(connection, cpq_ignore_notice, NULL);
}

#endif
