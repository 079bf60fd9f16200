import AgentModel

/// How many signatures an authenticator says that it has made with a key.
package struct SignatureCount: Sendable, Hashable {
    /// The key's fingerprint.
    package let key: String
    package let number: UInt32

    package init(key: String, number: UInt32) {
        self.key = key
        self.number = number
    }

    /// Whether it may follow `last` (WebAuthn level 3, 7.2 step 22). Authenticators that do not count always say 0.
    package func isForward(from last: UInt32?) -> Bool {
        let last = last ?? 0
        return number > last || (number == 0 && last == 0)
    }
}

/// Keeps the signature counters of passkeys. One that goes back means that there is a copy of the passkey.
package final class PasskeyCounters: Sendable {
    private let audited: AuditedStore

    init(_ audited: AuditedStore) { self.audited = audited }

    /// Throws ``ErrorCode/signatureInvalid`` if the counter went back.
    func check(_ count: SignatureCount, planID: RecordID? = nil) async throws(ServiceError) {
        guard count.isForward(from: try await audited.read { $0.signatureCount(of: count.key) }) else {
            throw Self.wentBack(planID)
        }
    }

    /// Takes the counter of a good assertion, so that no later one may go back behind it.
    package func take(_ count: SignatureCount) async throws(ServiceError) {
        let isTaken = try await audited.write { records in
            guard count.isForward(from: records.signatureCount(of: count.key)) else { return false }
            records.put(count)
            return true
        }
        guard isTaken else { throw Self.wentBack(nil) }
    }

    private static func wentBack(_ planID: RecordID?) -> ServiceError {
        ServiceError(
            .signatureInvalid,
            "the passkey's counter went back: there may be a copy of it; take it out of approval_keys, and make a new one",
            planID: planID)
    }
}
