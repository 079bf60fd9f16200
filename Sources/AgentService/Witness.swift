package import TransparencyLog

/// The port to a witness of the audit log: somebody else, who signs its checkpoints after checking that each continues
/// the one before.
package protocol Witness: Sendable {
    /// What its signatures are verified with. No two witnesses have the same name.
    var key: VerifierKey { get }

    /// The newest checkpoint of a log that it shows; `nil` if it shows none.
    func newest(of origin: String) async -> SignedNote?

    /// Asks for its signature.
    func add(_ request: AddCheckpoint) async -> WitnessAnswer
}

/// What a witness answered. Texts say what happened in words, and hold nothing of the answer.
package enum WitnessAnswer: Sendable, Hashable {
    /// Signatures, which nobody has verified yet.
    case signed([SignedNote.Signature])
    /// It knows the log with another size.
    case conflict(UInt64)
    /// It says that the checkpoint does not continue the one that it knows.
    case inconsistent
    case refused(String)
    case unreachable(String)
    case invalid(String)
}

/// Why a witness has not signed.
package enum WitnessFailure: String, Sendable, Hashable, CaseIterable {
    case unreachable, refused
    /// It answered what a witness does not answer, or its signature is not good.
    case invalid
    /// It says that the log was changed.
    case inconsistent
    /// It says that the log was longer.
    case ahead
    /// The files that the proof needs cannot be read.
    case unproven
}

/// What checkpoints of the audit log need.
package struct CheckpointPorts: Sendable {
    /// Named after the installation's origin.
    package var key: SigningKey
    package var witnesses: [any Witness]
    /// The newest one that was signed, as it is stored.
    package var newest: SignedCheckpoint?

    package init(key: SigningKey, witnesses: [any Witness] = [], newest: SignedCheckpoint? = nil) {
        self.key = key
        self.witnesses = witnesses
        self.newest = newest
    }
}

/// What is known of the checkpoints, for figures.
package struct CheckpointFigures: Sendable {
    package struct OfWitness: Sendable, Hashable {
        /// The size of the newest checkpoint that it has signed since the start; 0 for none.
        package var size: UInt64 = 0
        /// When it signed that, by its own clock, in seconds since 1970.
        package var signedAt: UInt64 = 0
        package var failures: [WitnessFailure: Int] = [:]
    }

    package var newest: SignedCheckpoint?
    package var withheld: CheckpointService.Withheld?
    /// By name, in the order of the configuration.
    package var witnesses: [(name: String, figures: OfWitness)] = []
}
