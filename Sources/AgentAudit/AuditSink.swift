package import AgentModel
package import StrictJSON
package import TransparencyLog

/// What a record is about.
package enum AuditKind: String, Sendable, Hashable, CaseIterable {
    case read, plan, approve, reject, cancel, refuse
    /// Written and synced before the first call of a mutation is sent.
    case applyIntent = "apply_intent"
    /// How a mutation ended.
    case apply
    /// A mutation was accepted and is queued.
    case queue
    case resolve
    /// A change passed a change window, a limit or a freeze in an emergency; somebody else reviewed that.
    case breakGlass = "break_glass"
    case review
    /// A freeze was set, which blocks mutations; a freeze was lifted.
    case freeze, unfreeze
    /// A plan expired.
    case expire
    /// Signed approvals of a plan are void for good: their keys were taken out.
    case withdraw
    /// Callers and rules that are about to take effect, after the configuration was read again.
    case config
    /// A session of the console began or ended, or a one-time code for a sign-in was made.
    case session
    /// A notification was tried out, tried again by hand, or given up.
    case notify
    /// Failed authentications of one source and minute.
    case authFailures = "auth_failures"
    /// The writer's own events: opened, continued after rotation, set a torn line aside.
    case log
    /// Something was audited but did not happen.
    case void
}

/// What happened, as the caller of the log reports it. The log adds position and hashes.
///
/// The caller builds `request`, `decision` and `result`. A ``Secret`` cannot get into a ``JSON``.
package struct AuditEvent: Sendable {
    package var kind: AuditKind
    package var actor: String
    package var principal: String
    package var label: String?
    package var requestID: String?
    /// The trace of that request.
    package var trace: TraceContext?
    package var environment: String?
    package var planID: String?
    package var operationID: String?
    package var request: JSON?
    package var decision: JSON?
    package var result: JSON?

    package init(
        kind: AuditKind, actor: String, principal: String, label: String? = nil, requestID: String? = nil,
        trace: TraceContext? = nil, environment: String? = nil, planID: String? = nil, operationID: String? = nil,
        request: JSON? = nil,
        decision: JSON? = nil, result: JSON? = nil
    ) {
        self.kind = kind
        self.actor = actor
        self.principal = principal
        self.label = label
        self.requestID = requestID
        self.trace = trace
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

    /// What the very first record continues from: number 0, a hash of 64 zeros.
    package static let empty = AuditHead(seq: 0, hash: String(repeating: "0", count: 64))
}

extension AuditHead: LosslessStringConvertible {
    /// The form that operators save: `43:9c1e…`, with the full hash.
    package var description: String { "\(seq):\(hash)" }

    /// Reads `seq:hash`; `nil` unless the number is decimal and the hash 64 lower-case hexadecimal digits.
    package init?(_ description: String) {
        let parts = description.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let seq = UInt64(parts[0]), Self.isHash(parts[1])
        else { return nil }
        self.init(seq: seq, hash: String(parts[1]))
    }

    /// Whether `text` has the form of a hash: 64 lower-case hexadecimal digits.
    static func isHash(_ text: some StringProtocol) -> Bool {
        text.utf8.count == 64
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

/// The end of the log: its newest synced record, and the tree of all records up to it.
package struct AuditEnd: Sendable, Hashable {
    /// Why there is no tree, and so no checkpoint.
    package enum TreeFlaw: String, Sendable, Hashable, CaseIterable {
        /// Files with older records are gone, and nothing tells what their tree was.
        case incomplete
        /// The records are not those of a checkpoint that was signed.
        case contradiction
    }

    /// Seq 0 in an empty log.
    package var head: AuditHead
    /// As many leaves as there are records: each is a line without its newline.
    package var tree: CompactRange?
    /// Why ``tree`` is `nil`.
    package var flaw: TreeFlaw?

    package init(head: AuditHead, tree: CompactRange?, flaw: TreeFlaw? = nil) {
        self.head = head
        self.tree = tree
        self.flaw = flaw
    }
}

/// Why a record is not in the log. The text names the file and what to do, and has nothing of the record.
package struct AuditError: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String
    /// Whether the record may still be in the log: it was written, but could not be synced.
    package let mayBeWritten: Bool

    package init(_ description: String, mayBeWritten: Bool = false) {
        self.description = description
        self.mayBeWritten = mayBeWritten
    }
}

/// When a record must be on stable storage.
package enum AuditDurability: Sendable, Hashable {
    /// Before `append` returns (`fdatasync`, shared with concurrent appends).
    case now
    /// Written before `append` returns, synced within a second.
    case soon
}

/// The port of the audit log: append-only, one chain, one writer.
package protocol AuditSink: Sendable {
    /// Adds one record and returns the new head. Throws if the record is not, or not durably, in the log.
    @discardableResult
    func append(_ event: AuditEvent, _ durability: AuditDurability) async throws(AuditError) -> AuditHead

    /// The records after number `seq`, oldest first: at most `limit`, and no more once their lines have `bytes` bytes
    /// in total. Rotated files that are still beside the log count too.
    ///
    /// If older files were moved away, the records begin later.
    func records(after seq: UInt64, limit: Int, bytes: Int) async throws(AuditError) -> [AuditRecord]

    /// Where the log ends now. Does no I/O.
    var end: AuditEnd { get }

    /// The hashes of parts of the tree of the first `size` records, read from the files. Throws if they lack records
    /// that these need. `known` is what is known of the tree of the records before.
    func hashes(
        of parts: [Range<UInt64>], in size: UInt64, from known: CompactRange?
    ) async throws(AuditError) -> [TreeHash]

    /// Tells of a checkpoint that was signed: unless the log has or gets that very tree, it has none from then on.
    func expect(_ signed: TreeHead) async

    /// Why the log would refuse a record now; `nil` if it would take one. Does no I/O.
    var fault: AuditError? { get }
}

extension AuditSink {
    /// The newest synced record; seq 0 in an empty log.
    package var head: AuditHead { end.head }

    /// The same, without a limit of bytes.
    package func records(after seq: UInt64, limit: Int) async throws(AuditError) -> [AuditRecord] {
        try await records(after: seq, limit: limit, bytes: .max)
    }
}
