import AgentAudit
import AgentModel
import Synchronization

/// Records where the logs of the other agents on the state end, so that this log shows if one of them is cut later.
///
/// Only heads that are synced there and stored count.
final class HeadRecorder: Sendable {
    /// How often it looks whether they have changed.
    static let interval = Duration.seconds(60)

    private let audited: AuditedStore
    /// What the newest such record of this process tells.
    private let last = Mutex<[String: AuditHead]>([:])

    init(_ audited: AuditedStore) { self.audited = audited }

    /// Works until the task is cancelled.
    func run() async {
        repeat { await record() } while (try? await Task.sleep(for: Self.interval)) != nil
    }

    /// Records them if they have changed. An agent whose log or state does not work now does that the next time.
    func record() async {
        let ports = audited.ports
        guard ports.agent != nil, ports.audit.fault == nil, ports.shortage() == nil,
            let marks = try? await audited.read({ $0.otherMarks })
        else { return }
        // A lone agent, whose mark is without a name, is none of the others: its log goes on as that of one of them.
        let heads = marks.filter { $0.key != "" && $0.value.head.seq > 0 }.mapValues(\.head)
        guard !heads.isEmpty, heads != last.withLock({ $0 }),
            (try? await audited.record(AuditEvent(heads: heads), .soon)) != nil
        else { return }
        last.withLock { $0 = heads }
    }
}
