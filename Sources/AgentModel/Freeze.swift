package import FoundationEssentials

/// A word that no mutation starts, everywhere or in one environment, until it is lifted or its time is over.
package struct Freeze: Sendable, Hashable {
    /// `nil` for all environments.
    package let environment: EnvironmentName?
    package let reason: String
    /// Who set it, as records name them.
    package let by: String
    package let setAt: Date
    /// `nil` for one that holds until it is lifted.
    package let endsAt: Date?

    package init(environment: EnvironmentName?, reason: String, by: String, setAt: Date, endsAt: Date?) {
        self.environment = environment
        self.reason = reason
        self.by = by
        self.setAt = setAt
        self.endsAt = endsAt
    }

    /// Whether it is about `environment`.
    package func covers(_ environment: EnvironmentName) -> Bool {
        self.environment.map { $0 == environment } ?? true
    }
}
