import Dispatch

extension Duration {
    /// In nanoseconds, clamped to 0...`Int.max`.
    var nanoseconds: Int {
        let (seconds, attoseconds) = components
        guard seconds >= 0 else { return 0 }
        let (whole, overflow) = Int(clamping: seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carry) = whole.addingReportingOverflow(Int(attoseconds / 1_000_000_000))
        return overflow || carry ? .max : max(sum, 0)
    }

    /// The same duration for libdispatch.
    var interval: DispatchTimeInterval { .nanoseconds(nanoseconds) }
}
