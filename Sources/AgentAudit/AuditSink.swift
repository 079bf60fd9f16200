package import StrictJSON

/// What a record is about.
package enum AuditKind: String, Sendable, Hashable, CaseIterable {
    case read, plan, approve, reject, cancel, refuse
    /// Written and synced before the first call of a mutation is sent.
    case applyIntent = "apply_intent"
    /// How a mutation ended.
    case apply
    /// A mutation was accepted and waits for its turn.
    case queue
    case resolve
    /// A word that no mutation may start, and the end of it.
    case freeze, unfreeze
    /// A plan ended by itself: expired.
    case expire
    /// Callers and rules that are about to be put in force, as the configuration was read again.
    case config
    /// Failed authentications of one source and minute.
    case authFailures = "auth_failures"
    /// The writer speaks of itself: opened, continued after rotation, set a torn line aside.
    case log
    /// What was audited but never happened.
    case void
}

/// What happened, as a caller of the log tells it; the log adds place and hashes.
///
/// `request`, `decision` and `result` are built by the caller; a ``Secret`` has no way into a ``JSON``.
package struct AuditEvent: Sendable {
    package var kind: AuditKind
    package var actor: String
    package var principal: String
    package var label: String?
    package var requestID: String?
    package var environment: String?
    package var planID: String?
    package var operationID: String?
    package var request: JSON?
    package var decision: JSON?
    package var result: JSON?

    package init(
        kind: AuditKind, actor: String, principal: String, label: String? = nil, requestID: String? = nil,
        environment: String? = nil, planID: String? = nil, operationID: String? = nil, request: JSON? = nil,
        decision: JSON? = nil, result: JSON? = nil
    ) {
        self.kind = kind
        self.actor = actor
        self.principal = principal
        self.label = label
        self.requestID = requestID
        self.environment = environment
        self.planID = planID
        self.operationID = operationID
        self.request = request
        self.decision = decision
        self.result = result
    }
}

/// The end of the chain: the number of the newest record and its hash in lower-case hex.
package struct AuditHead: Sendable, Hashable {
    package var seq: UInt64
    package var hash: String

    package init(seq: UInt64, hash: String) {
        self.seq = seq
        self.hash = hash
    }

    /// What the first record of all continues from: number 0, a hash of 64 zeros.
    package static let empty = AuditHead(seq: 0, hash: String(repeating: "0", count: 64))
}

extension AuditHead: LosslessStringConvertible {
    /// As operators save it: `43:9c1e…`, the hash in full.
    package var description: String { "\(seq):\(hash)" }

    /// Reads `seq:hash`; `nil` unless the number is decimal and the hash 64 lower-case hexadecimal digits.
    package init?(_ description: String) {
        let parts = description.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let seq = UInt64(parts[0]), Self.isHash(parts[1])
        else { return nil }
        self.init(seq: seq, hash: String(parts[1]))
    }

    /// Whether `text` could be a hash: 64 lower-case hexadecimal digits.
    static func isHash(_ text: some StringProtocol) -> Bool {
        text.utf8.count == 64
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

/// Why a record is not in the log. The text names the file and the cure and holds nothing of the record.
package struct AuditError: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String
    /// Whether the record may be in the log all the same: it was written and could not be synced.
    package let mayBeWritten: Bool

    package init(_ description: String, mayBeWritten: Bool = false) {
        self.description = description
        self.mayBeWritten = mayBeWritten
    }
}

/// When a record has to be on stable storage.
package enum AuditDurability: Sendable, Hashable {
    /// Before `append` returns (`fdatasync`, shared with whoever waits at the same time).
    case now
    /// Written before `append` returns, synced within a second.
    case soon
}

/// The port of the audit log: append-only, one chain, one writer.
package protocol AuditSink: Sendable {
    /// Adds one record and returns the head that it made. Throws when the record is not, or not durably, in the log.
    @discardableResult
    func append(_ event: AuditEvent, _ durability: AuditDurability) async throws(AuditError) -> AuditHead

    /// The records after number `seq`, oldest first, as far as the present file has them: at most `limit` of them, and no
    /// more once their lines have `bytes` bytes together.
    ///
    /// A log that was rotated begins later; what came before is in the files that were put aside.
    func records(after seq: UInt64, limit: Int, bytes: Int) async throws(AuditError) -> [AuditRecord]

    /// The newest synced record; seq 0 in an empty log.
    var head: AuditHead { get }

    /// Why the log would refuse a record now; `nil` when it would take one. Looks at what it knows; does no I/O.
    var fault: AuditError? { get }
}

extension AuditSink {
    /// The same, however large.
    package func records(after seq: UInt64, limit: Int) async throws(AuditError) -> [AuditRecord] {
        try await records(after: seq, limit: limit, bytes: .max)
    }
}
