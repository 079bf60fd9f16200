import AgentModel
import AgentService
import FoundationEssentials

/// Challenges for sign-ins by passkey: valid for five minutes, and once.
///
/// A challenge carries its end and a code that only holders of the agent's key can make, so nothing is kept for one
/// that nobody answers. Whoever asks for many takes no room from others.
struct PasskeyChallenges: Sendable {
    static let lifetime = 300.0
    /// How far two clocks may be apart: of several agents on one state, each may be 30 s from the database's.
    private static let tolerance = 60.0
    private static let randomBytes = 24
    private static let headBytes = randomBytes + 8

    private let store: SignInStore
    private let key: InstallationKey
    private let now: @Sendable () -> Date

    init(_ store: SignInStore, _ key: InstallationKey, now: @escaping @Sendable () -> Date) {
        self.store = store
        self.key = key
        self.now = now
    }

    func make() -> (bytes: [UInt8], endsAt: Date) {
        var random = SystemRandomNumberGenerator()
        let end = Int64(now().timeIntervalSince1970 + Self.lifetime)
        let head =
            (0..<Self.randomBytes).map { _ in UInt8.random(in: 0...255, using: &random) }
            + withUnsafeBytes(of: end.bigEndian) { Array($0) }
        return (head + code(of: head).bytes, Date(timeIntervalSince1970: Double(end)))
    }

    /// Uses an open challenge up; false if it is none.
    func use(_ challenge: [UInt8]) async throws(ServiceError) -> Bool {
        let now = now()
        guard let end = end(of: challenge), end > now, end <= now.addingTimeInterval(Self.lifetime + Self.tolerance)
        else { return false }
        // An agent whose clock is ahead must not remove it while the challenge counts at another.
        let used = SignInRecord(
            .challenge, key: CredentialDigest(of: challenge), endsAt: end.addingTimeInterval(2 * Self.tolerance))
        return try await store.write { records in
            guard records.signIn(.challenge, used.key) == nil else { return false }
            records.put(used)
            return true
        }
    }

    private func end(of challenge: [UInt8]) -> Date? {
        let head = Array(challenge.prefix(Self.headBytes))
        guard let sent = CredentialDigest(bytes: Array(challenge.dropFirst(Self.headBytes))),
            sent.mask(of: code(of: head)) != 0
        else { return nil }
        let seconds = head.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Date(timeIntervalSince1970: Double(seconds))
    }

    private func code(of head: [UInt8]) -> CredentialDigest { key.signInDigest(Array("challenge ".utf8) + head) }
}
