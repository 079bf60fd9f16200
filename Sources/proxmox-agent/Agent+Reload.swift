import AgentAPI
import AgentAudit
import AgentModel
import AgentPolicy
import AgentService
import Logging
import MicroHTTPD
import StrictJSON
import Synchronization

/// Reading the configuration again while the agent runs.
extension Agent {
    /// Handles SIGHUP, with one audit record: reopens the audit log, reads the configuration file again, and applies
    /// callers, policy rules and TLS certificates. Applies nothing if the file has errors or that cannot be recorded.
    /// Logs other changes, which need a restart.
    func reload(_ file: String, variables: [String: String]) async {
        // Errors are in the log already, line by line.
        _ = try? await service.reloads.inTurn { () async throws(ServiceError) in
            try await takeOver(file, variables, for: nil)
        }
    }

    /// Lets callers have the file read again: the same, but the audit log stays open, and the record names the caller.
    func serveReloads(of file: String, variables: @escaping @Sendable () -> [String: String]) {
        service.reloads.connect { [weak self] context throws(ServiceError) in
            guard let self else { throw ServiceError(.shuttingDown, "the agent is stopping") }
            return try await takeOver(file, variables(), for: context)
        }
    }

    /// `context` is the caller's; `nil` for SIGHUP.
    private func takeOver(
        _ file: String, _ variables: [String: String], for context: Context?
    ) async throws(ServiceError) -> Reloaded {
        let before = current.withLock { $0 }
        let new: AgentConfig
        do throws(ConfigError) { new = try configuration(in: file, variables) } catch {
            for line in error.lines { log.error("configuration not taken over: \(line)") }
            service.reloads.fail(error.lines)
            await record(before.recordOfRefusal(error), for: context)
            throw ServiceError(error)
        }
        let isChanged = !new.isInForce(after: before)
        if isChanged {
            try await putInForce(new, for: context)
        } else {
            if context == nil { await reopen() }
            log.info("configuration read again: callers and rules are as they were")
        }
        if service.reloads.succeed() { log.notice("the configuration has no more errors") }
        await putRestInForce(new)
        return Reloaded(
            version: new.policy.version, previousVersion: before.policy.version, rules: new.policy.rules.count,
            isChanged: isChanged)
    }

    private func configuration(
        in file: String, _ variables: [String: String]
    ) throws(ConfigError) -> AgentConfig {
        var new = try AgentConfig(file: file, variables: variables)
        new.demonstration = config.demonstration
        if !config.demonstration.isEmpty, let flaw = Demonstration.flaw(in: new) { throw ConfigError(lines: [flaw]) }
        return new
    }

    /// Records callers and rules, and puts them in force.
    private func putInForce(_ new: AgentConfig, for context: Context?) async throws(ServiceError) {
        guard await record(new.recordOfRules, for: context) else {
            let why = "configuration not taken over, as that cannot be recorded"
            log.error("\(why)")
            service.reloads.fail([why])
            throw ServiceError(.auditUnavailable, why)
        }
        await withdrawSignatures()
        service.access.replace(new.rules)
        await service.leases.lookAgain()
        await withdrawSignatures()
        authenticator.replace(new.credentials, scrapeToken: new.scrapeToken)
        // Where that fails they do not count here all the same, and are removed later.
        do throws(ServiceError) { try await authenticator.tidySessions() } catch {
            log.error("sessions that have lost their principals are not removed yet: \(error.detail)")
        }
        await events.endAll()
        current.withLock { $0 = new }
        log.notice(
            "configuration put in force",
            metadata: [
                "principals": "\(new.principals.count)", "rules": "\(new.policy.rules.count)",
                "policy": "\(new.policy.version)",
            ])
    }

    /// Withdraws approvals by keys that are gone. If that fails, the callers are still put in force: an approval by such
    /// a key does not count meanwhile, and applying its plan, the next reload and the next start withdraw it.
    private func withdrawSignatures() async {
        do throws(ServiceError) { try await service.approvals.withdrawSignatures() } catch {
            log.error("approvals by keys that were taken out are not withdrawn yet: \(error.detail)")
        }
    }

    /// Puts in force what has no record: destinations of notifications and certificates. Logs what needs a restart.
    private func putRestInForce(_ new: AgentConfig) async {
        do throws(ServiceError) {
            try await service.notices.serve(new, through: noticeWays, of: service.installation)
            log.info("notifications now go to \(new.notifyNames)")
        } catch {
            log.error("destinations of notifications not taken over: \(error.detail)")
        }
        if let tls = new.tls {
            server.replace(tls)
            figures.certificateEnd.withLock { if $0 != nil { $0 = tls.validity.upperBound } }
            log.info("\(new.tlsLine ?? "")")
        }
        for warning in new.warnings(at: server.address) { log.warning("\(warning)") }
        let changed = config.needsRestart(for: new)
        if !changed.isEmpty {
            log.warning("changed but needs a restart: \(changed.prefix(20).joined(separator: ", "))")
        }
    }

    /// Writes the record of a reload: with the caller's name, or, at SIGHUP, the agent's and in the reopened log. Returns
    /// whether it is written.
    @discardableResult
    private func record(_ result: JSON, for context: Context?) async -> Bool {
        guard let context else {
            return await reopen(
                recording: AuditEvent(
                    kind: .config, actor: "proxmox-agent", principal: "proxmox-agent", result: result))
        }
        do throws(ServiceError) {
            try await service.reloads.record(result, of: context)
            return true
        } catch {
            return false
        }
    }
}

extension ServiceError {
    /// Why a configuration is not taken over, as `check` reports it.
    fileprivate init(_ error: ConfigError) {
        let count = error.lines.count == 1 ? "an error" : "\(error.lines.count) errors"
        self.init(.policyInvalid, "the configuration has \(count); the one before it stays in force")
        issues = error.lines.prefix(ConfigError.mostTold).map { JSONError(path: JSONPath(), detail: $0) }
    }
}

extension ConfigError {
    /// How many lines an answer or a record holds; the log has all.
    static let mostTold = 100
}
