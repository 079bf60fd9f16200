import AgentModel
import StrictJSON

/// Removes a call's secrets from PVE's texts about its task, even after the secrets were erased.
struct TaskTexts: Sendable {
    let audited: AuditedStore

    /// The log of an ended task without its secrets, up to the size that is stored with the operation.
    func keptLog(of upid: UPID, at managed: ManagedEnvironment, _ redaction: Redaction) async -> [String] {
        do throws(HypervisorError) {
            var left = 64 << 10
            return try await managed.hypervisor.log(of: upid, from: 0, limit: 1000).lines.map { redaction($0) }.prefix {
                line in
                left -= line.utf8.count + 1
                return left >= 0
            }
        } catch {
            return []
        }
    }

    /// How to remove the secrets from the texts about an operation's task.
    func secrets(of upid: UPID, in operation: Operation) async throws(ServiceError) -> TaskSecrets {
        Self.secrets(of: upid, in: operation, try await audited.read { $0.plan(operation.planID) })
    }

    private static func secrets(of upid: UPID, in operation: Operation, _ plan: Plan?) -> TaskSecrets {
        guard let plan else { return erased(operation, upid) }
        let calls = plan.preview.calls
        guard calls.contains(where: \.carriesSecret), plan.state.isEnded else { return .known(Redaction(calls)) }
        return erased(operation, upid)
    }

    /// An operation keeps only the texts of its newest task.
    private static func erased(_ operation: Operation, _ upid: UPID) -> TaskSecrets {
        operation.upid == upid
            ? .erased(log: operation.keptLog, message: operation.exitText)
            : .erased(log: [], message: Secret("").description)
    }

    // MARK: Reads of tasks

    /// A read's data without secrets: values under secret names, secrets in URLs, and what the agent's own tasks may
    /// repeat of their calls.
    func redacted(
        _ data: JSON, _ request: ActionRequest, at managed: ManagedEnvironment
    ) async throws(ServiceError) -> JSON {
        let data = Redaction([])(data)
        let named = managed.planning.ownTasks(in: data, of: request).filter { Self.secretTasks.contains($0.type) }
        guard !named.isEmpty else { return data }
        let found = try await taskSecrets(of: named, in: managed.settings.name)
        return managed.planning.hiding(found, in: data, of: request)
    }

    /// What is known of these tasks. If an operation is not stored any more, its secrets are unknown.
    private func taskSecrets(
        of upids: Set<UPID>, in environment: EnvironmentName
    ) async throws(ServiceError) -> [UPID: TaskSecrets] {
        try await audited.read { records in
            var found: [UPID: TaskSecrets] = [:]
            for upid in upids { found[upid] = .erased(log: [], message: Secret("").description) }
            let outlines = records.summaries(OperationFilter(environments: [environment]), bytes: .max).rows
            for outline in outlines {
                for upid in outline.steps.compactMap(\.upid) where upids.contains(upid) {
                    guard let operation = records.operation(outline.id) else { continue }
                    found[upid] = Self.secrets(of: upid, in: operation, records.plan(operation.planID))
                }
            }
            return found
        }
    }

    /// The types of tasks that a call with a secret may start.
    private static let secretTasks: Set<String> = Set(
        ActionCatalog.all.filter { definition in
            definition.parameters.contains { ParameterDefinition.isSecret($0.name) || $0.name == "url" }
        }.flatMap(\.calls).flatMap(\.tasks))
}
