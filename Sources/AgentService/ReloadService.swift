import AgentAudit
import AgentModel
package import FoundationEssentials
package import StrictJSON
import Synchronization

/// What a reload of the configuration came to.
package struct Reloaded: Sendable {
    package let version: String
    package let previousVersion: String
    /// How many rules are in force.
    package let rules: Int
    /// Whether callers or rules are others than before.
    package let isChanged: Bool

    package init(version: String, previousVersion: String, rules: Int, isChanged: Bool) {
        self.version = version
        self.previousVersion = previousVersion
        self.rules = rules
        self.isChanged = isChanged
    }
}

/// Why the configuration was not taken over at the last reload. An earlier one is in force.
package struct ReloadFailure: Sendable {
    package let at: Date
    /// What is wrong, as `check` reports it.
    package let lines: [String]
}

/// Lets callers reload the configuration, runs one reload at a time, and knows whether the last one failed.
package final class ReloadService: Sendable {
    /// Reads the configuration again, and records and puts in force what changed, or that it was refused.
    package typealias Source = @Sendable (Context) async throws(ServiceError) -> Reloaded

    private struct State {
        var source: Source?
        var failure: ReloadFailure?
    }

    private let audited: AuditedStore
    private let turns = TargetLocks()
    private let state = Mutex(State())

    init(_ audited: AuditedStore) { self.audited = audited }

    /// From now on ``reload(_:)`` asks `source`.
    package func connect(_ source: @escaping Source) { state.withLock { $0.source = source } }

    /// Why the last reload failed; `nil` if it did not, or if there was none.
    package var failure: ReloadFailure? { state.withLock { $0.failure } }

    /// Reloads the configuration. That concerns all environments, and so must the caller's right.
    ///
    /// - Throws: ``ServiceError`` with the code `policy_invalid` if the configuration has errors.
    package func reload(_ context: Context) async throws(ServiceError) -> Reloaded {
        let source = try await audited.recordingRefusals(of: context) { () throws(ServiceError) -> Source in
            guard context.principal.mayEverywhere(.reload) else {
                throw ServiceError(
                    .forbidden,
                    "\(context.principal.id) may not reload the configuration: it takes "
                        + "\(AccessControl.roles(for: .reload)), in all environments")
            }
            guard let source = state.withLock({ $0.source }) else {
                throw ServiceError(.notFound, "this agent has no configuration file to read again")
            }
            return source
        }
        do throws(ServiceError) {
            return try await inTurn { () async throws(ServiceError) in try await source(context) }
        } catch {
            // The source has recorded it.
            audited.ports.observed(.refused(error.code))
            throw error
        }
    }

    /// Runs `body` while no other reload runs.
    package func inTurn<Value: Sendable>(
        _ body: () async throws(ServiceError) -> Value
    ) async throws(ServiceError) -> Value {
        try await turns.holding(["configuration"], body)
    }

    /// Records what a caller's reload came to.
    package func record(_ result: JSON, of context: Context) async throws(ServiceError) {
        try await audited.record(AuditEvent(.config, context, result: result))
    }

    /// Notes that the configuration was not taken over.
    package func fail(_ lines: [String]) {
        let failure = ReloadFailure(at: audited.ports.now(), lines: lines)
        state.withLock { $0.failure = failure }
    }

    /// Notes that the configuration is valid and in force. Returns whether the last reload had failed.
    package func succeed() -> Bool {
        state.withLock { state in
            defer { state.failure = nil }
            return state.failure != nil
        }
    }
}
