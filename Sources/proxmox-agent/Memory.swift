import CProcess
import Glibc

/// Settings for the process's memory.
enum Memory {
    /// Returns blocks of 256 KiB and more, which inventories need briefly, to the kernel as soon as they are freed. By
    /// default the allocator learns to keep them, which costs a third more memory at the peak, and for good.
    ///
    /// `mallopt(3)`; a failure only costs that memory.
    static func keepSmall() { _ = mallopt(M_MMAP_THRESHOLD, 256 << 10) }

    /// Makes the memory readable by root only, since it contains tokens. A crash writes no core file, and no debugger
    /// of the same user can attach.
    ///
    /// `prctl(2)` `PR_SET_DUMPABLE`, and `setrlimit(2)` `RLIMIT_CORE` for kernels that pipe cores to a program. False
    /// if either failed.
    static func keepSecret() -> Bool {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        return cprocess_forbid_dumps() == 0 && setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none) == 0
    }
}
