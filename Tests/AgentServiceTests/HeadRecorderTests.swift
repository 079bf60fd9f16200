import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import Logging
import StrictJSON
import Testing

/// What an agent records of the logs of others on the same state.
struct HeadRecorderTests {
    private let audit = FlakyAuditSink()
    private let store = FlakyPlanStore()

    private func agent(_ name: String?, shortage: ServiceError? = nil) -> ControlPlane {
        var log = Logger(label: "test")
        log.logLevel = .critical
        return ControlPlane(
            managedEnvironments: [],
            ports: Ports(audit: audit, store: store, log: log, shortage: { shortage }, agent: name), rules: Rules(),
            key: .sample, limits: Limits())
    }

    private static func head(_ seq: UInt64, _ digit: String = "a") -> AuditHead {
        AuditHead(seq: seq, hash: String(repeating: digit, count: 64))
    }

    private func know(_ heads: [String: AuditHead]) {
        store.know(heads.mapValues { AuditMark(head: $0, settled: 0) })
    }

    private var told: [JSON?] { audit.events.map { $0.result?["heads"] } }

    @Test func `records the heads of the others, and again when they have changed`() async throws {
        let anna = agent("anna")
        await anna.leases.recordHeads()
        #expect(told.isEmpty)
        know(["carl": Self.head(1, "c"), "bert": Self.head(43), "": Self.head(7), "dora": .empty])
        await anna.leases.recordHeads()
        await anna.leases.recordHeads()
        #expect(
            told == [["bert": .string("\(Self.head(43))"), "carl": .string("\(Self.head(1, "c"))")]],
            "those that have a name and a record, by name")
        let event = try #require(audit.events.first)
        #expect(event.kind == .log && event.result?["event"] == "heads" && event.actor == "proxmox-agent")
        know(["bert": Self.head(44)])
        await anna.leases.recordHeads()
        #expect(told.last == ["bert": .string("\(Self.head(44))")] && told.count == 2)
        know([:])
        await anna.leases.recordHeads()
        #expect(told.count == 2)
    }

    @Test func `a lone agent records none`() async {
        know(["bert": Self.head(43)])
        await agent(nil).leases.recordHeads()
        #expect(told.isEmpty)
    }

    @Test func `what cannot be recorded now is recorded later`() async throws {
        let anna = agent("anna")
        know(["bert": Self.head(43)])
        store.failReads { true }
        await anna.leases.recordHeads()
        store.failReads { false }
        await agent("anna", shortage: ServiceError(.storeUnavailable, "full")).leases.recordHeads()
        audit.refuse { _, _ in true }
        await anna.leases.recordHeads()
        #expect(told.isEmpty)
        audit.refuse { _, _ in false }
        await anna.leases.recordHeads()
        #expect(told.count == 1)
    }
}
