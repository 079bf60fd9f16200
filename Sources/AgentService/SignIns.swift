package import AgentModel
package import FoundationEssentials

/// A signed-in browser.
package struct ConsoleSession: Sendable, Hashable {
    package let id: RecordID
    /// The SHA-256 of its cookie.
    package let key: CredentialDigest
    /// Whose it is.
    package let owner: String
    /// A digest of the credentials that its owner had when it began. It counts while they are valid.
    package let credentials: CredentialDigest
    /// The passkey that it began with; `nil` for a token or a code. It counts while its owner has that.
    package let passkey: String?
    package let createdAt: Date
    package var lastUsedAt: Date
    /// What the browser calls itself, shortened.
    package let userAgent: String

    package init(
        id: RecordID, key: CredentialDigest, owner: String, credentials: CredentialDigest, passkey: String?,
        createdAt: Date, lastUsedAt: Date, userAgent: String
    ) {
        self.id = id
        self.key = key
        self.owner = owner
        self.credentials = credentials
        self.passkey = passkey
        self.createdAt = createdAt
        self.lastUsedAt = lastUsedAt
        self.userAgent = userAgent
    }

    /// How long a session lasts at most, and without use, in seconds.
    private static let lifetime = 8 * 3600.0
    private static let idleTime = 30 * 60.0

    package var expiresAt: Date { createdAt.addingTimeInterval(Self.lifetime) }
    package var idleExpiresAt: Date { min(lastUsedAt.addingTimeInterval(Self.idleTime), expiresAt) }
}

/// What is kept of sign-ins: sessions, one-time codes, challenges that were used, and wrong codes. It ends by itself.
package struct SignInRecord: Sendable, Hashable {
    package enum Kind: String, Sendable, CaseIterable {
        case session, code, challenge
        case wrongCode = "wrong_code"
    }

    package let kind: Kind
    /// A digest of the secret, by which the record is found.
    package let key: CredentialDigest
    /// Whose it is; empty where that is not known.
    package let owner: String
    /// A digest of its owner's credentials, if it has an owner.
    package let credentials: CredentialDigest?
    package let endsAt: Date
    package let session: ConsoleSession?

    package init(
        _ kind: Kind, key: CredentialDigest, owner: String = "", credentials: CredentialDigest? = nil, endsAt: Date
    ) {
        self.kind = kind
        self.key = key
        self.owner = owner
        self.credentials = credentials
        self.endsAt = endsAt
        session = nil
    }

    package init(_ session: ConsoleSession) {
        kind = .session
        key = session.key
        owner = session.owner
        credentials = session.credentials
        endsAt = session.idleExpiresAt
        self.session = session
    }
}

/// The records of sign-ins, for a reading body. A record that nobody with the installation's key has stored is none.
package protocol SignInReader {
    func signIn(_ kind: SignInRecord.Kind, _ key: CredentialDigest) -> SignInRecord?
    /// All of the kind with that owner, or with any for `nil`.
    func signIns(_ kind: SignInRecord.Kind, of owner: String?) -> [SignInRecord]
    /// How many of the kind end after that date.
    func countSignIns(_ kind: SignInRecord.Kind, endingAfter date: Date) -> Int
    /// When the first of all ends; `nil` if there is none.
    var firstSignInEnd: Date? { get }
}

/// The same, for a writing body.
package protocol SignInTransaction: SignInReader {
    /// Adds the record, or replaces the one of its kind and key.
    func put(_ record: SignInRecord)
    func removeSignIn(_ kind: SignInRecord.Kind, _ key: CredentialDigest)
    /// Removes all that have ended by that date.
    func pruneSignIns(endedBy date: Date)
}

/// The records in memory. Not for several threads at a time.
package final class SignInMemory: SignInTransaction {
    private struct Key: Hashable {
        let kind: SignInRecord.Kind
        let key: CredentialDigest
    }

    private var records: [Key: SignInRecord] = [:]

    package init() {}

    package func signIn(_ kind: SignInRecord.Kind, _ key: CredentialDigest) -> SignInRecord? {
        records[Key(kind: kind, key: key)]
    }

    package func signIns(_ kind: SignInRecord.Kind, of owner: String?) -> [SignInRecord] {
        records.values.filter { $0.kind == kind && (owner == nil || $0.owner == owner) }
    }

    package func countSignIns(_ kind: SignInRecord.Kind, endingAfter date: Date) -> Int {
        records.values.count { $0.kind == kind && $0.endsAt > date }
    }

    package var firstSignInEnd: Date? { records.values.map(\.endsAt).min() }

    package func put(_ record: SignInRecord) { records[Key(kind: record.kind, key: record.key)] = record }

    package func removeSignIn(_ kind: SignInRecord.Kind, _ key: CredentialDigest) {
        records[Key(kind: kind, key: key)] = nil
    }

    package func pruneSignIns(endedBy date: Date) { records = records.filter { $0.value.endsAt > date } }
}
