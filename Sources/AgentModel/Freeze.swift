package import FoundationEssentials

/// Blocks all mutations, everywhere or in one environment, until it is lifted or its time is over.
///
/// Freezes add up: one for each who sets one and each scope.
package struct Freeze: Sendable, Hashable {
    /// `nil` for the one that a file stands for, which no request lifts.
    package let id: RecordID?
    /// `nil` for all environments.
    package let environment: EnvironmentName?
    package let reason: String
    /// Who set it, as records name them.
    package let by: String
    /// The ``Caller/party`` that set it; theirs to replace and to lift.
    package let party: String
    package let setAt: Date
    /// `nil` for one that holds until it is lifted.
    package let endsAt: Date?

    package init(
        id: RecordID?, environment: EnvironmentName?, reason: String, by: String, party: String, setAt: Date,
        endsAt: Date?
    ) {
        self.id = id
        self.environment = environment
        self.reason = reason
        self.by = by
        self.party = party
        self.setAt = setAt
        self.endsAt = endsAt
    }

    /// Whether it takes the place of `other`: the same party's, of the same scope.
    package func replaces(_ other: Freeze) -> Bool { party == other.party && environment == other.environment }

    /// Whether it is about `environment`.
    package func covers(_ environment: EnvironmentName) -> Bool {
        self.environment.map { $0 == environment } ?? true
    }
}
