package import FoundationEssentials

/// Blocks all changes, everywhere or in one environment, until it is lifted or expires.
///
/// Freezes add up: each party can have one for each scope.
package struct Freeze: Sendable, Hashable {
    /// `nil` for the freeze by a file, which no request can lift.
    package let id: RecordID?
    /// `nil` for all environments.
    package let environment: EnvironmentName?
    package let reason: String
    /// The name, as in records, of the caller that set it.
    package let by: String
    /// The ``Caller/party`` that set it. That party can replace and lift it.
    package let party: String
    package let setAt: Date
    /// `nil` for a freeze that holds until it is lifted.
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

    /// Whether it replaces `other`: both have the same party and the same scope.
    package func replaces(_ other: Freeze) -> Bool { party == other.party && environment == other.environment }

    /// Whether it applies to `environment`.
    package func covers(_ environment: EnvironmentName) -> Bool {
        self.environment.map { $0 == environment } ?? true
    }
}
