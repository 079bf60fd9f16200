package import AgentModel
package import AgentService
package import FoundationEssentials
import HTTPMessage
import HTTPTypes
import Signatures

/// The sessions of the console.
///
/// The cookie is a secret of 256 bits, of which only the SHA-256 is kept.
package final class Sessions: Sendable {
    /// A principal's sessions beyond that number end, those unused for longest first.
    static let maximumOfPrincipal = 16
    static let maximum = 4096
    static let cookieName = "__Host-proxmox-agent"

    package let rules: BrowserRules
    let store: SignInStore
    let codes: SignInCodes
    let challenges: PasskeyChallenges
    private let now: @Sendable () -> Date

    /// Agents that share `store` have one `key`; an agent with a store of its own has one that ends with it. `now` is
    /// the clock by which sessions and codes end.
    package init(
        _ rules: BrowserRules, in store: SignInStore = SignInStore(), key: InstallationKey = .random(),
        now: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.rules = rules
        self.store = store
        self.now = now
        codes = SignInCodes(store, key, now: now)
        challenges = PasskeyChallenges(store, key, now: now)
    }

    // MARK: Begin and end

    /// A new session with its cookie, not begun yet.
    func make(
        for credentials: Credentials, by passkey: ApprovalKey?, userAgent: String?
    ) -> (session: ConsoleSession, cookie: Secret) {
        let (cookie, now) = (Secret(RandomText.make()), now())
        var random = SystemRandomNumberGenerator()
        let session = ConsoleSession(
            id: RecordID(.session, using: &random), key: Self.key(of: cookie.reveal()), owner: credentials.owner,
            credentials: credentials.digest, passkey: passkey?.signInName, createdAt: now, lastUsedAt: now,
            userAgent: Self.short(userAgent ?? ""))
        return (session, cookie)
    }

    /// The sessions that end when `session` begins: the one of a cookie that the browser had before, by its key, and
    /// those that are too many. `nil` if there are too many of all principals.
    func replaced(
        by session: ConsoleSession, in old: CredentialDigest?
    ) async throws(ServiceError) -> [ConsoleSession]? {
        try await store.read { Self.replaced(by: session, in: old, $0) }
    }

    private static func replaced(
        by session: ConsoleSession, in old: CredentialDigest?, _ records: any SignInReader
    ) -> [ConsoleSession]? {
        let before = old.flatMap { records.signIn(.session, $0)?.session }
        let own = records.signIns(.session, of: session.owner).compactMap(\.session).filter { $0.key != old }
            .sorted { ($0.lastUsedAt, $0.id.description) < ($1.lastUsedAt, $1.id.description) }
        let ended = (before.map { [$0] } ?? []) + own.prefix(max(0, own.count + 1 - maximumOfPrincipal))
        let limit = maximum + ended.count { $0.idleExpiresAt > session.createdAt }
        let isFree =
            records.countSignIns(.session, endingAfter: session.createdAt) < limit
            // Of those that were counted, some may be none.
            || records.signIns(.session, of: nil).count { $0.endsAt > session.createdAt } < limit
        return isFree ? ended : nil
    }

    /// Begins the session in a writing body, if it replaces these still; else `nil`.
    static func begin(
        _ session: ConsoleSession, in old: CredentialDigest?, ending: [ConsoleSession], _ records: any SignInTransaction
    ) -> Bool? {
        guard replaced(by: session, in: old, records)?.map(\.id) == ending.map(\.id) else { return nil }
        for session in ending { records.removeSignIn(.session, session.key) }
        records.put(SignInRecord(session))
        return true
    }

    /// Forgets the sessions that this agent has seen and that are due.
    func forgetSeen() { store.forgetSeen(endedBy: now()) }

    /// Removes what is due, and the sessions that `isValid` says are not; without it all others are.
    func tidy(where isValid: (@Sendable (ConsoleSession) -> Bool)?) async throws(ServiceError) {
        let now = now()
        let (gone, isDue) = try await store.read { records in
            let gone = isValid.map { isValid in
                records.signIns(.session, of: nil).compactMap(\.session).filter { !isValid($0) }
            }
            return (gone ?? [], records.firstSignInEnd.map { $0 <= now } ?? false)
        }
        guard isDue || !gone.isEmpty else { return }
        try await store.write { records in
            for session in gone { records.removeSignIn(.session, session.key) }
            records.pruneSignIns(endedBy: now)
        }
    }

    // MARK: Find

    /// The session of a cookie that has not ended.
    func session(of cookie: String) async throws(ServiceError) -> ConsoleSession? {
        current(try await store.session(Self.key(of: cookie)))
    }

    /// The same, as far as this agent has seen. Another one may have ended it, so it entitles nobody.
    func seenSession(of cookie: String) -> ConsoleSession? { current(store.seenSession(Self.key(of: cookie))) }

    private func current(_ session: ConsoleSession?) -> ConsoleSession? {
        session.flatMap { $0.idleExpiresAt > now() ? $0 : nil }
    }

    /// Those that have not ended.
    func open(among sessions: [ConsoleSession]) async throws(ServiceError) -> Set<RecordID> {
        let now = now()
        return try await store.read { records in
            Set(
                sessions.compactMap { records.signIn(.session, $0.key)?.session }
                    .filter { $0.idleExpiresAt > now }.map(\.id))
        }
    }

    /// The sessions of a principal, the newest first.
    func list(of principal: Principal) async throws(ServiceError) -> [ConsoleSession] {
        let now = now()
        return try await store.read { records in
            records.signIns(.session, of: principal.signInOwner).compactMap(\.session)
                .filter { $0.idleExpiresAt > now }.sorted { $0.createdAt > $1.createdAt }
        }
    }

    /// Notes that a session is used: in a state that others share, once a minute, and by a clock that is theirs. Returns it
    /// as it is then; `nil` if it has ended.
    func use(_ session: ConsoleSession) async throws(ServiceError) -> ConsoleSession? {
        let now = now()
        guard store.isAgreed, now.timeIntervalSince(session.lastUsedAt) >= (store.isShared ? 60 : 0) else {
            return session
        }
        return try await store.write { records in
            guard var session = records.signIn(.session, session.key)?.session, session.idleExpiresAt > now else {
                return nil
            }
            session.lastUsedAt = max(session.lastUsedAt, now)
            records.put(SignInRecord(session))
            return session
        }
    }

    // MARK: Cookies

    /// The cookie of a request; `nil` without one, with several of that name, and if no session can have it.
    static func cookie(in request: Request) -> String? {
        var found: [String] = []
        for pair in request.fields[values: .cookie].flatMap({ $0.split(separator: ";") }) {
            let pair = trimmed(pair)
            // Byte for byte: browsers send names that look like this one from pages that may not set it.
            guard pair.utf8.starts(with: "\(cookieName)=".utf8) else { continue }
            found.append(String(pair.dropFirst(cookieName.count + 1)))
        }
        return found.count == 1 && RandomText.isOne(found[0]) ? found[0] : nil
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let rest = text.drop { $0 == " " || $0 == "\t" }
        let end = rest.lastIndex { $0 != " " && $0 != "\t" }
        return end.map { rest[...$0] } ?? ""
    }

    private static let attributes = "; Path=/; Secure; HttpOnly; SameSite=Strict"

    static func setting(_ cookie: Secret) -> String { "\(cookieName)=\(cookie.reveal())\(attributes)" }

    /// Takes the cookie from the browser.
    static let clearing = "\(cookieName)=; Max-Age=0\(attributes)"

    /// How a cookie's session is found.
    static func key(of cookie: String) -> CredentialDigest { CredentialDigest(of: cookie.utf8) }

    private static func short(_ userAgent: String) -> String {
        String(decoding: userAgent.utf8.filter { (0x20...0x7E).contains($0) }.prefix(160), as: UTF8.self)
    }
}

extension Credentials {
    /// Whose they are, whatever their principal may do.
    var owner: String { principal.signInOwner }
}

extension Principal {
    /// What sessions and codes call it.
    var signInOwner: String { "\(isShared ? "shared" : "principal"):\(id)" }
}

extension ApprovalKey {
    /// What a session calls the key that it began with.
    var signInName: String { "\(fingerprint) \(credentialID ?? "")" }
}

/// Random text that nobody guesses.
package enum RandomText {
    /// 32 random bytes in base64url (RFC 4648, without padding).
    package static func make() -> String {
        var random = SystemRandomNumberGenerator()
        return Base64.encodeURL((0..<32).map { _ in UInt8.random(in: 0...255, using: &random) })
    }

    /// Whether it has that form.
    static func isOne(_ text: String) -> Bool {
        text.utf8.count == 43 && Base64.decodeURL(text.utf8)?.count == 32
    }
}
