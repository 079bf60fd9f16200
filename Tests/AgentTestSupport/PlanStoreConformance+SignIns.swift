internal import AgentModel
internal import AgentService
internal import FoundationEssentials

// Sessions, and what counts once at a sign-in.
extension PlanStoreConformance {
    private static func key(_ text: String) -> CredentialDigest { CredentialDigest(of: text.utf8) }

    private static func at(_ seconds: Double) -> Date { Timestamp(.sample.addingTimeInterval(seconds)).date }

    private static func session(
        _ number: UInt64, of owner: String = "principal:dora", passkey: String? = nil, usedAt seconds: Double = 0
    ) -> ConsoleSession {
        ConsoleSession(
            id: .sample(number, .session), key: key("cookie \(number)"), owner: owner, credentials: key("token"),
            passkey: passkey, createdAt: at(-0.001), lastUsedAt: at(seconds), userAgent: "Browser/\(number) \"é\"")
    }

    private func signIn(_ kind: SignInRecord.Kind, _ text: String) async throws -> SignInRecord? {
        try await store.read { $0.signIn(kind, Self.key(text)) }
    }

    private func put(_ records: [SignInRecord]) async throws {
        try await store.write { store in for record in records { store.put(record) } }
    }

    func checkSignIns() async throws {
        try await checkSessions()
        try await checkOnce()
        try await checkEndOfSignIns()
    }

    private func checkSessions() async throws {
        try require(try await signIn(.session, "cookie 1") == nil, "at first nobody is signed in")
        try require(try await store.read { $0.firstSignInEnd } == nil, "and nothing ends")
        let all = [
            Self.session(1, passkey: "SHA256:x id"), Self.session(2, usedAt: 7), Self.session(3, of: "shared:dora"),
        ]
        try await put(all.map { SignInRecord($0) })
        try require(try await signIn(.session, "cookie 1") == SignInRecord(all[0]), "a session comes back whole")
        try require(try await signIn(.code, "cookie 1") == nil, "kinds are apart")
        func list(_ owner: String?) async throws -> Set<ConsoleSession> {
            try await store.read { Set($0.signIns(.session, of: owner).compactMap(\.session)) }
        }
        try require(try await list("principal:dora") == Set(all[..<2]), "owners are told apart")
        try require(try await list("principal:Dora").isEmpty, "and by every byte")
        try require(try await list(nil) == Set(all), "all of all owners")
        var used = all[0]
        used.lastUsedAt = Self.at(60)
        try await put([SignInRecord(used)])
        try require(try await list("principal:dora") == [used, all[1]], "putting again replaces")
        let first = try await store.read { $0.firstSignInEnd }
        try require(first == all[2].idleExpiresAt, "the first end is that of the one unused for longest")
        for seconds in [0, 7, 60] as [Double] {
            let date = Self.session(9, usedAt: seconds).idleExpiresAt
            let count = try await store.read { $0.countSignIns(.session, endingAfter: date) }
            try require(count == (seconds == 0 ? 2 : seconds == 7 ? 1 : 0), "those that end later are counted")
        }
        let left = try await store.write { records in
            for _ in 0..<2 { records.removeSignIn(.session, all[1].key) }
            records.removeSignIn(.code, all[2].key)
            return Set(records.signIns(.session, of: nil).compactMap(\.session))
        }
        try require(left == [used, all[2]], "a body sees what it removed, and removing twice is no error")
    }

    /// Many use one code at once.
    private func checkOnce() async throws {
        let code = SignInRecord(
            .code, key: Self.key("code"), owner: "principal:dora", credentials: Self.key("token"), endsAt: Self.at(600))
        try await put([code])
        try require(try await signIn(.code, "code") == code, "a code comes back whole")
        let store = store
        let taken = try await withThrowingTaskGroup(of: SignInRecord?.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    try await store.write { records in
                        let found = records.signIn(.code, code.key)
                        records.removeSignIn(.code, code.key)
                        return found
                    }
                }
            }
            return try await group.reduce(into: []) { $0 += $1.map { [$0] } ?? [] }
        }
        try require(taken == [code], "a code is taken once: \(taken.count)")
    }

    private func checkEndOfSignIns() async throws {
        let marks = [-1, 0, 0.001, 5].map { seconds in
            SignInRecord(.wrongCode, key: Self.key("\(seconds)"), endsAt: Self.at(seconds))
        }
        let used = SignInRecord(.challenge, key: Self.key("0"), endsAt: Self.at(-2))
        try await put(marks + [used])
        try require(try await store.read { $0.firstSignInEnd } == used.endsAt, "the first end of all kinds")
        try await store.write { $0.pruneSignIns(endedBy: .sample) }
        let left = try await store.read { Set($0.signIns(.wrongCode, of: nil)) }
        try require(left == Set(marks[2...]), "what has ended is removed, to the millisecond")
        try require(try await signIn(.challenge, "0") == nil, "of every kind")
        try require(try await store.read { $0.signIns(.session, of: nil).count } == 2, "and nothing else")
        try await store.write { $0.pruneSignIns(endedBy: .distantFuture) }
        try require(try await store.read { $0.firstSignInEnd } == nil, "all has ended")
    }
}
