import AgentService
import Glibc
import Synchronization

/// Ends the process at a milestone of a change, like a power cut, or stops it there, like a machine that is paused. Only in
/// debug builds, for tests of what is made of it; empty in release builds.
enum CrashPoint {
    /// The variable with the milestone: `consume.after`; with `#3` the third time that it is passed; `*#17` is the
    /// seventeenth of all milestones. `stop:sent.after` stops it (SIGSTOP) until somebody lets it go on.
    static let variable = "PROXMOX_AGENT_CRASH_AT"

    #if DEBUG
        static func watch(_ variables: [String: String]) -> @Sendable (Milestone) -> Void {
            let wish = variables[variable] ?? ""
            let isPause = wish.hasPrefix("stop:")
            let parts = wish.dropFirst(isPause ? 5 : 0).split(separator: "#")
            guard let name = parts.first.map(String.init) else { return { _ in } }
            let count = parts.count > 1 ? Int(parts[1]) ?? 1 : 1
            let passed = Counter()
            return { milestone in
                guard name == "*" || name == milestone.rawValue, passed.next() == count else { return }
                // To this thread: one to the process may be taken by another thread, and this one would go on for a moment.
                if isPause { raise(SIGSTOP) } else { kill(getpid(), SIGKILL) }
            }
        }

        private final class Counter: Sendable {
            private let count = Atomic(0)
            func next() -> Int { count.wrappingAdd(1, ordering: .relaxed).newValue }
        }
    #else
        static func watch(_ variables: [String: String]) -> @Sendable (Milestone) -> Void { { _ in } }
    #endif
}
