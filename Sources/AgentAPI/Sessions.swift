package import AgentModel
import AgentService
package import FoundationEssentials
import HTTPMessage
import HTTPTypes
import Signatures
import Synchronization

/// A signed-in browser.
package struct Session: Sendable {
    package let id: RecordID
    /// Those of its principal when it signed in. The session counts while they are valid.
    let credentials: Credentials
    /// The passkey that it began with; `nil` for a token or a code. The session counts while its principal has it.
    let passkey: ApprovalKey?
    let createdAt: Date
    var lastUsedAt: Date
    /// What the browser calls itself, shortened.
    let userAgent: String

    /// How long a session lasts at most, and without use, in seconds.
    static let lifetime = 8 * 3600.0
    static let idleTime = 30 * 60.0

    var expiresAt: Date { createdAt.addingTimeInterval(Self.lifetime) }
    var idleExpiresAt: Date { min(lastUsedAt.addingTimeInterval(Self.idleTime), expiresAt) }
}

/// The sessions of the console. They are kept in memory: a restart ends them all.
///
/// The cookie is a secret of 256 bits, of which only the SHA-256 is kept.
package final class Sessions: Sendable {
    /// A principal's sessions beyond that number end, those unused for longest first.
    static let maximumOfPrincipal = 16
    static let maximum = 4096
    static let cookieName = "__Host-proxmox-agent"

    package let rules: BrowserRules
    let codes: SignInCodes
    let challenges: PasskeyChallenges
    private let now: @Sendable () -> Date
    private let sessions = Mutex<[CredentialDigest: Session]>([:])

    /// `now` is the clock by which sessions and codes end.
    package init(_ rules: BrowserRules, now: @escaping @Sendable () -> Date = { Date() }) {
        self.rules = rules
        self.now = now
        codes = SignInCodes(now: now)
        challenges = PasskeyChallenges(now: now)
    }

    // MARK: Begin and end

    /// Begins a session. Returns it with its cookie and with the sessions that it replaces: the one of `old`, a cookie
    /// that the browser had before, and those that are too many. `nil` if there are too many of all principals.
    func begin(
        _ id: RecordID, for credentials: Credentials, by passkey: ApprovalKey?, replacing old: String?,
        userAgent: String?
    ) -> (session: Session, cookie: Secret, ended: [RecordID])? {
        let cookie = Secret(RandomText.make())
        let now = now()
        let session = Session(
            id: id, credentials: credentials, passkey: passkey, createdAt: now, lastUsedAt: now,
            userAgent: Self.short(userAgent ?? ""))
        return sessions.withLock { all in
            var ended: [RecordID] = []
            if let old = all.removeValue(forKey: Self.key(of: old ?? "")) { ended.append(old.id) }
            let own = all.filter { $0.value.credentials.isOf(credentials.principal) }
            let oldest = own.sorted { $0.value.lastUsedAt < $1.value.lastUsedAt }
            for (key, session) in oldest.prefix(max(0, own.count + 1 - Self.maximumOfPrincipal)) {
                all[key] = nil
                ended.append(session.id)
            }
            guard all.count < Self.maximum else { return nil }
            all[Self.key(of: cookie.reveal())] = session
            return (session, cookie, ended)
        }
    }

    /// Ends the session of that id, if it is one of that principal.
    func end(_ id: RecordID, of principal: Principal) -> Bool {
        sessions.withLock { all in
            guard let key = all.first(where: { $0.value.id == id && $0.value.credentials.isOf(principal) })?.key else {
                return false
            }
            all[key] = nil
            return true
        }
    }

    /// Ends the sessions that are due. Returns all that have ended by that.
    package func endDue() -> Set<RecordID> { end { $0.idleExpiresAt <= now() } }

    /// Ends the sessions that are no longer valid.
    func keep(where isValid: (Session) -> Bool) { _ = end { !isValid($0) } }

    private func end(where isOver: (Session) -> Bool) -> Set<RecordID> {
        sessions.withLock { all in
            let over = all.filter { isOver($0.value) }
            for key in over.keys { all[key] = nil }
            return Set(over.values.map(\.id))
        }
    }

    // MARK: Find

    /// The session of a cookie that has not ended.
    func session(of cookie: String) -> Session? {
        let (key, now) = (Self.key(of: cookie), now())
        return sessions.withLock { $0[key] }.flatMap { $0.idleExpiresAt > now ? $0 : nil }
    }

    func isOpen(_ id: RecordID) -> Bool {
        let now = now()
        return sessions.withLock { all in all.values.contains { $0.id == id && $0.idleExpiresAt > now } }
    }

    /// The sessions of a principal, the newest first.
    func list(of principal: Principal) -> [Session] {
        let now = now()
        return sessions.withLock { all in all.values.filter { $0.credentials.isOf(principal) && $0.idleExpiresAt > now }
        }
        .sorted { $0.createdAt > $1.createdAt }
    }

    /// Notes that a session is used. Returns it as it is then.
    func use(_ cookie: String) -> Session? {
        let (key, now) = (Self.key(of: cookie), now())
        return sessions.withLock { all in
            all[key]?.lastUsedAt = now
            return all[key]
        }
    }

    private static func key(of cookie: String) -> CredentialDigest { CredentialDigest(of: cookie.utf8) }

    // MARK: Cookies

    /// The cookie of a request; `nil` without one, and with several of that name.
    static func cookie(in request: Request) -> String? {
        var found: [String] = []
        for pair in request.fields[values: .cookie].flatMap({ $0.split(separator: ";") }) {
            let pair = trimmed(pair)
            // Byte for byte: browsers send names that look like this one from pages that may not set it.
            guard pair.utf8.starts(with: "\(cookieName)=".utf8) else { continue }
            found.append(String(pair.dropFirst(cookieName.count + 1)))
        }
        return found.count == 1 ? found[0] : nil
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

    private static func short(_ userAgent: String) -> String {
        String(decoding: userAgent.utf8.filter { (0x20...0x7E).contains($0) }.prefix(160), as: UTF8.self)
    }
}

extension Credentials {
    /// Whether these are of that principal, whatever it may do.
    func isOf(_ principal: Principal) -> Bool {
        self.principal.id == principal.id && self.principal.isShared == principal.isShared
    }

    /// Whether these are those credentials, whatever the principal may do.
    func isSame(as other: Credentials) -> Bool {
        isOf(other.principal) && token == other.token && certificate == other.certificate
    }
}

/// Random text that nobody guesses.
package enum RandomText {
    /// 32 random bytes in base64url (RFC 4648, without padding).
    package static func make() -> String {
        var random = SystemRandomNumberGenerator()
        return Base64.encodeURL((0..<32).map { _ in UInt8.random(in: 0...255, using: &random) })
    }
}
