import AgentAudit
import AgentModel
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

@testable import AgentService

/// Changes of sessions are recorded first, and made second.
@Suite(.timeLimit(.minutes(1)))
struct SessionChangeTests {
    private static func session(_ number: UInt64) -> ConsoleSession {
        ConsoleSession(
            id: .sample(number, .session), key: CredentialDigest(of: "cookie \(number)".utf8), owner: "principal:alice",
            credentials: CredentialDigest(of: "token".utf8), passkey: nil, createdAt: .sample, lastUsedAt: .sample,
            userAgent: "")
    }

    private func begin(_ session: ConsoleSession, _ world: TestService, isRight: Bool = true) async throws -> Bool? {
        let change = SessionChange.signedIn(session.id, .token, ending: [])
        return try await world.service.record(change, TestService.alice, in: world.service.signIns) { records in
            guard isRight else { return nil }
            records.put(SignInRecord(session))
            return true
        }
    }

    @Test func `a change that cannot be recorded is not made, and the record of one that is not made is void`()
        async throws
    {
        let world = try TestService()
        #expect(try await begin(Self.session(1), world) == true)
        #expect(try await begin(Self.session(2), world, isRight: false) == nil)
        world.audit.refuse { event, _ in event.kind == .session }
        await #expect(throws: ServiceError.self) { _ = try await begin(Self.session(3), world) }
        let found = try await world.service.signIns.read { $0.signIns(.session, of: nil).compactMap(\.session) }
        #expect(found == [Self.session(1)])
        #expect(world.audit.kinds.suffix(3) == [.session, .session, .void])
    }

    @Test(arguments: [SessionChange.signedOut(.sample(1, .session)), .ended(.sample(1, .session))])
    func `a sign-out that was recorded before a crash is stored at the next start`(change: SessionChange) async throws {
        let world = try TestService()
        try await world.store.write { records in
            for number in [1, 2] as [UInt64] { records.put(SignInRecord(Self.session(number))) }
        }
        _ = try await world.plan(.startVM, "vm/102")
        try await world.audit.append(AuditEvent(.session, TestService.alice, result: change.auditForm), .now)
        _ = try await world.restarted()
        let left = try await world.store.read { $0.signIns(.session, of: nil).compactMap(\.session) }
        #expect(left == [Self.session(2)])
        #expect(!world.audit.kinds.contains(.void))
    }
}
