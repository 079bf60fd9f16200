import AgentService
import Glibc
import Synchronization

/// Ends the process, as a power cut would, at a point of a change's way. Only in debug builds, for the tests of what a
/// restart makes of it; elsewhere there is nothing of it.
enum CrashPoint {
    /// The variable that names the point, `consume.after`, or with `#3` behind it the third time that one is passed;
    /// `*#17` is the seventeenth of all points.
    static let variable = "PROXMOX_AGENT_CRASH_AT"

    #if DEBUG
        static func watch(_ variables: [String: String]) -> @Sendable (Milestone) -> Void {
            let parts = (variables[variable] ?? "").split(separator: "#")
            guard let name = parts.first.map(String.init) else { return { _ in } }
            let count = parts.count > 1 ? Int(parts[1]) ?? 1 : 1
            let passed = Counter()
            return { milestone in
                guard name == "*" || name == milestone.rawValue, passed.next() == count else { return }
                kill(getpid(), SIGKILL)
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
