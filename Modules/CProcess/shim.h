/* mallopt(3), which Swift's own module of the C library leaves out. */
#include <malloc.h>
#include <sys/prctl.h>

/* prctl(2) is variadic: not callable from Swift. 0, or -1 with errno. */
static inline int cprocess_forbid_dumps(void) {
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
