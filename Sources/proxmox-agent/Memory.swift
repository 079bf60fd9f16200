import CMalloc

/// How the C library's allocator, which Swift uses, deals with large blocks.
enum Memory {
    /// Gives blocks of 256 KiB and more, which inventories need for a moment, back to the kernel as soon as they are
    /// freed. Left to itself the allocator learns to keep them: a third more memory at the peak, and for good.
    ///
    /// `mallopt(3)`; if it fails, nothing is lost but that.
    static func keepSmall() { _ = mallopt(M_MMAP_THRESHOLD, 256 << 10) }
}
