import AgentModel
import FoundationEssentials
import Synchronization

/// One-time codes, by which a principal signs in at a device where its token is awkward to enter.
///
/// A code has 40 bits, is valid once, for ten minutes. After 30 wrong codes in a minute, whoever sent them, none is
/// checked. Only its SHA-256 is kept.
package final class SignInCodes: Sendable {
    private struct Entry {
        let credentials: Credentials
        let endsAt: Date
    }

    private struct State {
        var entries: [CredentialDigest: Entry] = [:]
        /// When wrong codes were tried, within a minute.
        var failures: [Date] = []
    }

    package static let lifetime = 600.0
    static let maximumFailures = 30

    private let now: @Sendable () -> Date
    private let state = Mutex(State())

    init(now: @escaping @Sendable () -> Date) { self.now = now }

    /// A new code for a principal, in two groups of four characters. It replaces an earlier one.
    func make(for credentials: Credentials) -> (code: Secret, endsAt: Date) {
        var random = SystemRandomNumberGenerator()
        let text = String((0..<8).map { _ in RecordID.alphabet[Int.random(in: 0..<32, using: &random)] })
        let endsAt = now().addingTimeInterval(Self.lifetime)
        state.withLock { state in
            state.entries = state.entries.filter { !$0.value.credentials.isOf(credentials.principal) }
            state.entries[CredentialDigest(of: text.utf8)] = Entry(credentials: credentials, endsAt: endsAt)
        }
        return (Secret("\(text.prefix(4))-\(text.suffix(4))"), endsAt)
    }

    enum Outcome {
        case valid(Credentials), wrong
        /// Too many wrong codes were tried, so this one was not looked at.
        case notTried
    }

    /// Uses a code up. Upper case, blanks and hyphens do not matter, and `o`, `i`, `l` are read as digits.
    func take(_ text: String) -> Outcome {
        let now = now()
        let digest = CredentialDigest(of: Self.plain(text).utf8)
        return state.withLock { state in
            state.failures.removeAll { $0 <= now.addingTimeInterval(-60) || $0 > now }
            guard state.failures.count < Self.maximumFailures else { return .notTried }
            state.entries = state.entries.filter { $0.value.endsAt > now }
            if let entry = state.entries.removeValue(forKey: digest) { return .valid(entry.credentials) }
            state.failures.append(now)
            return .wrong
        }
    }

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
