import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import PostgreSQLTestSupport
import Testing

/// What somebody can do with the shared sign-ins who writes the database and has not the installation's key.
@Suite(.timeLimit(.minutes(1)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct SignInTests {
    private static func key(_ text: String) -> CredentialDigest { CredentialDigest(of: text.utf8) }

    private static func session(_ number: UInt64, of owner: String, cookie: String) -> ConsoleSession {
        ConsoleSession(
            id: .sample(number, .session), key: key(cookie), owner: owner, credentials: key("hash-of-token"),
            passkey: nil, createdAt: .sample, lastUsedAt: .sample, userAgent: "Browser/1")
    }

    private static let (dora, mallory) = (
        session(1, of: "principal:dora", cookie: "dora's"), session(2, of: "principal:mallory", cookie: "mallory's")
    )

    private static func read(
        _ state: borrowing StateInPostgreSQL
    ) async throws -> (sessions: Int, byCookie: ConsoleSession?) {
        let store = try state.open()
        let found = try await store.read { records in
            (records.signIns(.session, of: nil).count, records.signIn(.session, mallory.key)?.session)
        }
        await store.close()
        return found
    }

    private static func filled() async throws -> StateInPostgreSQL {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        try await store.write { records in
            for session in [dora, mallory] { records.put(SignInRecord(session)) }
        }
        await store.close()
        return state
    }

    @Test(arguments: [
        // Her session under his cookie, with and without her name, and his under her name.
        "UPDATE sign_ins SET sealed = (SELECT sealed FROM sign_ins WHERE owner = 'principal:dora')",
        "UPDATE sign_ins SET sealed = (SELECT sealed FROM sign_ins WHERE owner = 'principal:dora'), owner = 'principal:dora'",
        "UPDATE sign_ins SET owner = 'principal:dora'",
        "UPDATE sign_ins SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)",
        "UPDATE sign_ins SET sealed = ''",
    ])
    func `a row that was made without the key signs nobody in, and disturbs nobody else`(change: String) async throws {
        let state = try await Self.filled()
        #expect(try await Self.read(state) == (2, Self.mallory))
        try state.sql("\(change) WHERE key = '\(Self.mallory.key)'")
        #expect(try await Self.read(state) == (1, nil))
        let flaws = try state.place().check().flaws
        #expect(flaws.count == 1 && flaws[0].contains("sign_ins session cannot be read"), "\(flaws)")
    }

    @Test func `of cookies, tokens and browsers there is nothing to read`() async throws {
        let rows = try await Self.filled().sql("SELECT * FROM sign_ins")
        #expect(rows.contains("principal:dora"))
        for secret in ["dora's", "\(Self.key("hash-of-token"))", "Browser"] { #expect(!rows.contains(secret)) }
    }
}
