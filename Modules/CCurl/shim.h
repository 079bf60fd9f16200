#ifndef CCURL_SHIM_H
#define CCURL_SHIM_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

/* prctl is variadic, and Swift's Glibc module leaves out both pthread_setname_np and eventfd. */
static inline void ccurl_name_thread(const char *name) {
    prctl(PR_SET_NAME, name);
}

static inline int ccurl_eventfd(void) {
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* CURL_GLOBAL_DEFAULT is a macro expression: not imported into Swift. */
static inline CURLcode ccurl_global_init(void) {
    return curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* curl_easy_setopt, curl_easy_getinfo and curl_multi_setopt are variadic: not callable from Swift. */
static inline CURLcode ccurl_setopt_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}

/* The last code that the server answered; 0 if it has not. */
static inline long ccurl_response_code(CURL *handle) {
    long code = 0;
    return curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code) == CURLE_OK ? code : 0;
}

static inline CURLcode ccurl_setopt_offset(CURL *handle, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode ccurl_setopt_string(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode ccurl_setopt_pointer(CURL *handle, CURLoption option, const void *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode ccurl_setopt_data_function(CURL *handle, CURLoption option, curl_write_callback function) {
    return curl_easy_setopt(handle, option, function);
}

static inline CURLcode ccurl_setopt_prereq_function(CURL *handle, curl_prereq_callback function) {
    return curl_easy_setopt(handle, CURLOPT_PREREQFUNCTION, function);
}

static inline CURLMcode ccurl_multi_setopt_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

static inline CURLMcode ccurl_multi_set_socket_function(CURLM *multi, curl_socket_callback function, void *data) {
    CURLMcode code = curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, data);
    return code != CURLM_OK ? code : curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, function);
}

static inline CURLMcode ccurl_multi_set_timer_function(CURLM *multi, curl_multi_timer_callback function, void *data) {
    CURLMcode code = curl_multi_setopt(multi, CURLMOPT_TIMERDATA, data);
    return code != CURLM_OK ? code : curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, function);
}

/* The result of a CURLMSG_DONE message is in a union that Swift sees only untyped. */
static inline CURLcode ccurl_message_result(const CURLMsg *message) {
    return message->data.result;
}

/* Accepts exactly the certificate whose SHA-256 digest stands in the 32 bytes at `pin`, and notes in the 32 bytes
   after those the digest of the one that was shown. */
static inline int ccurl_verify_pin(X509_STORE_CTX *context, void *pin) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    X509 *certificate = X509_STORE_CTX_get0_cert(context);
    int matches = certificate != NULL && X509_digest(certificate, EVP_sha256(), digest, &length) == 1
        && length == 32 && CRYPTO_memcmp(digest, pin, 32) == 0;
    if (length == 32) memcpy((unsigned char *)pin + 32, digest, 32);
    X509_STORE_CTX_set_error(context, matches ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
    return matches;
}

static inline CURLcode ccurl_install_pin(CURL *handle, void *tls_context, void *pin) {
    (void)handle;
    SSL_CTX_set_cert_verify_callback((SSL_CTX *)tls_context, ccurl_verify_pin, pin);
    return CURLE_OK;
}

/* Replaces OpenSSL's chain verification by the comparison above. The 64 bytes at `pin` must outlive every
   connection that `handle` opens. Swift never sees the OpenSSL types. */
static inline CURLcode ccurl_setopt_pin(CURL *handle, void *pin) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_SSL_CTX_DATA, pin);
    return code != CURLE_OK ? code : curl_easy_setopt(handle, CURLOPT_SSL_CTX_FUNCTION, ccurl_install_pin);
}

/* Notes the SHA-256 digest of the certificate that is shown in the 32 bytes at `digest`, and accepts none. */
static inline int ccurl_note_certificate(X509_STORE_CTX *context, void *digest) {
    unsigned char found[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    X509 *certificate = X509_STORE_CTX_get0_cert(context);
    if (certificate != NULL && X509_digest(certificate, EVP_sha256(), found, &length) == 1 && length == 32) {
        memcpy(digest, found, 32);
    }
    X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

static inline CURLcode ccurl_install_note(CURL *handle, void *tls_context, void *digest) {
    (void)handle;
    SSL_CTX_set_cert_verify_callback((SSL_CTX *)tls_context, ccurl_note_certificate, digest);
    return CURLE_OK;
}

static inline CURLcode ccurl_setopt_note(CURL *handle, void *digest) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_SSL_CTX_DATA, digest);
    return code != CURLE_OK ? code : curl_easy_setopt(handle, CURLOPT_SSL_CTX_FUNCTION, ccurl_install_note);
}

#endif
