import CProcess
import Glibc

/// What becomes of the process's memory.
enum Memory {
    /// Gives blocks of 256 KiB and more, which inventories need for a moment, back to the kernel as soon as they are
    /// freed. Left to itself the allocator learns to keep them: a third more memory at the peak, and for good.
    ///
    /// `mallopt(3)`; if it fails, nothing is lost but that.
    static func keepSmall() { _ = mallopt(M_MMAP_THRESHOLD, 256 << 10) }

    /// Lets nobody but root read it: it holds tokens. A crash writes no core file, and no debugger of the same user gets
    /// in.
    ///
    /// `prctl(2)` `PR_SET_DUMPABLE`, and `setrlimit(2)` `RLIMIT_CORE` for kernels that hand cores to a program. False when
    /// either failed.
    static func keepSecret() -> Bool {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        return cprocess_forbid_dumps() == 0 && setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none) == 0
    }
}
