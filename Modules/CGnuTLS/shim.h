#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

/* gnutls_free is a variable, which Swift takes for shared mutable state. */
static inline void
cgnutls_free(void *memory) {
    gnutls_free(memory);
}

/* For MHD_OPTION_HTTPS_CERT_CALLBACK2, as a pointer that an option can hold: a function that has no certificate. */
static inline int
cgnutls_retrieve_nothing(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **certificates,
                         unsigned int *length, gnutls_ocsp_data_st **ocsp, unsigned int *ocsp_length,
                         gnutls_privkey_t *key, unsigned int *flags) {
    (void) session, (void) info, (void) certificates, (void) length, (void) ocsp, (void) ocsp_length, (void) key;
    (void) flags;
    return -1;
}

static inline void *
cgnutls_no_certificate(void) {
    gnutls_certificate_retrieve_function3 *function = cgnutls_retrieve_nothing;
    return (void *) function;
}
