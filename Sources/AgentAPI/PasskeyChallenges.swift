import Crypto
import FoundationEssentials
import Synchronization

/// Challenges for sign-ins by passkey: valid for five minutes, and once.
///
/// A challenge carries its end and a code that only this process can make, so nothing is kept for one that nobody
/// answers. Whoever asks for many takes no room from others.
final class PasskeyChallenges: Sendable {
    static let lifetime = 300.0
    private static let randomBytes = 24
    private static let headBytes = randomBytes + 8

    private let key = SymmetricKey(size: .bits256)
    private let now: @Sendable () -> Date
    /// Those that a sign-in has used, with their ends.
    private let used = Mutex<[[UInt8]: Date]>([:])

    init(now: @escaping @Sendable () -> Date) { self.now = now }

    func make() -> (bytes: [UInt8], endsAt: Date) {
        var random = SystemRandomNumberGenerator()
        let end = Int64(now().timeIntervalSince1970 + Self.lifetime)
        let head =
            (0..<Self.randomBytes).map { _ in UInt8.random(in: 0...255, using: &random) }
            + withUnsafeBytes(of: end.bigEndian) { Array($0) }
        return (head + code(of: head), Date(timeIntervalSince1970: Double(end)))
    }

    /// Uses an open challenge up; false if it is none.
    func use(_ challenge: [UInt8]) -> Bool {
        let now = now()
        guard let end = end(of: challenge), end > now else { return false }
        return used.withLock { used in
            used = used.filter { $0.value > now }
            return used.updateValue(end, forKey: challenge) == nil
        }
    }

    private func end(of challenge: [UInt8]) -> Date? {
        let head = Array(challenge.prefix(Self.headBytes))
        guard challenge.count == Self.headBytes + SHA256.byteCount,
            HMAC<SHA256>.isValidAuthenticationCode(
                challenge.dropFirst(Self.headBytes), authenticating: head, using: key)
        else { return nil }
        let seconds = head.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Date(timeIntervalSince1970: Double(seconds))
    }

    private func code(of head: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: head, using: key))
    }
}
