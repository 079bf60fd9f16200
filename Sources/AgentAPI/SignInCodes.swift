import AgentModel
import AgentService
import FoundationEssentials

/// One-time codes, by which a principal signs in at a device where its token is awkward to enter.
///
/// A code has 40 bits, is valid once, for ten minutes. After 30 wrong codes in a minute, whoever sent them, none is
/// checked. Only a digest under the agent's key is kept.
package struct SignInCodes: Sendable {
    package static let lifetime = 600.0
    static let maximumFailures = 30
    private static let failureTime = 60.0

    private let store: SignInStore
    private let key: InstallationKey
    private let now: @Sendable () -> Date

    init(_ store: SignInStore, _ key: InstallationKey, now: @escaping @Sendable () -> Date) {
        self.store = store
        self.key = key
        self.now = now
    }

    /// A new code for a principal, in two groups of four characters, and the record by which it counts.
    func make(for credentials: Credentials) -> (code: Secret, record: SignInRecord) {
        var random = SystemRandomNumberGenerator()
        let text = String((0..<8).map { _ in RecordID.alphabet[Int.random(in: 0..<32, using: &random)] })
        let record = SignInRecord(
            .code, key: digest(of: text), owner: credentials.owner, credentials: credentials.digest,
            endsAt: now().addingTimeInterval(Self.lifetime))
        return (Secret("\(text.prefix(4))-\(text.suffix(4))"), record)
    }

    /// Stores a code in a writing body. It replaces an earlier one.
    static func put(_ record: SignInRecord, _ records: any SignInTransaction) {
        for old in records.signIns(.code, of: record.owner) { records.removeSignIn(.code, old.key) }
        records.put(record)
    }

    enum Outcome {
        case valid(SignInRecord), wrong
        /// Too many wrong codes were tried, so this one was not looked at.
        case notTried
    }

    /// Uses a code up. Upper case, blanks and hyphens do not matter, and `o`, `i`, `l` are read as digits.
    func take(_ text: String) async throws(ServiceError) -> Outcome {
        // Whoever tries too many does not make the agent write.
        guard try await store.read({ [now = now()] in Self.mayTry(at: now, $0) }) else { return .notTried }
        return try await take(digest(of: Self.plain(text)), at: now())
    }

    private func take(_ digest: CredentialDigest, at now: Date) async throws(ServiceError) -> Outcome {
        let number = CredentialDigest(of: RandomText.make().utf8)
        return try await store.write { records in
            guard Self.mayTry(at: now, records) else { return .notTried }
            guard let record = records.signIn(.code, digest), record.endsAt > now else {
                let end = now.addingTimeInterval(Self.failureTime)
                records.put(SignInRecord(.wrongCode, key: number, endsAt: end))
                return .wrong
            }
            records.removeSignIn(.code, digest)
            return .valid(record)
        }
    }

    private static func mayTry(at now: Date, _ records: any SignInReader) -> Bool {
        // Another agent's clock may be ahead; but this one's may also have been set back since.
        let latest = now.addingTimeInterval(2 * failureTime)
        return records.signIns(.wrongCode, of: nil).count { $0.endsAt > now && $0.endsAt <= latest } < maximumFailures
    }

    private func digest(of text: String) -> CredentialDigest { key.signInDigest(Array("code \(text)".utf8)) }

    /// As Crockford's base32 is read.
    private static func plain(_ text: String) -> String {
        String(
            text.lowercased().prefix(64).compactMap { character -> Character? in
                switch character {
                case " ", "-": nil
                case "o": "0"
                case "i", "l": "1"
                default: character
                }
            })
    }
}
