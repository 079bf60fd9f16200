import AgentModel
import StrictJSON

/// Takes the secrets that a call carried out of what PVE says about its task, also when they have been erased.
extension ActionService {
    /// What can be done about the secrets in PVE's words about a task.
    enum TaskSecrets: Sendable {
        /// All that the call carried are known: they can be taken out.
        case known(Redaction)
        /// They have been erased with the plan: only what was kept without them can be shown.
        case erased(log: [String], message: String)
    }

    /// The log of a task that has ended, without its secrets, as far as it is kept with the operation.
    func keptLog(of upid: UPID, at site: Site, _ redaction: Redaction) async -> [String] {
        do throws(HypervisorError) {
            var left = 64 << 10
            return try await site.hypervisor.log(of: upid, from: 0, limit: 1000).lines.map { redaction($0) }.prefix {
                line in
                left -= line.utf8.count + 1
                return left >= 0
            }
        } catch {
            return []
        }
    }

    /// What can be done about the secrets of an operation's task.
    func secrets(of upid: UPID, in operation: Operation) async throws(ServiceError) -> TaskSecrets {
        Self.secrets(of: upid, in: operation, try await read { $0.plan(operation.planID) })
    }

    private static func secrets(of upid: UPID, in operation: Operation, _ plan: Plan?) -> TaskSecrets {
        guard let plan else { return erased(operation, upid) }
        let calls = plan.preview.calls
        guard calls.contains(where: \.carriesSecret), plan.state.isEnded else { return .known(Redaction(calls)) }
        return erased(operation, upid)
    }

    /// An operation keeps what its newest task said, and no other.
    private static func erased(_ operation: Operation, _ upid: UPID) -> TaskSecrets {
        operation.upid == upid
            ? .erased(log: operation.keptLog, message: operation.exitText)
            : .erased(log: [], message: Secret("").description)
    }

    // MARK: Reads of tasks

    /// A read's data without secrets: those that have one's name, those in URLs, and what a task of the agent's own may
    /// repeat of its call.
    func redacted(_ data: JSON, _ request: ActionRequest, at site: Site) async throws(ServiceError) -> JSON {
        let data = Redaction([])(data)
        let reads = ["read_tasks", "read_task_status", "read_task_log"]
        guard reads.contains(request.action.rawValue) else { return data }
        var named = Set((data.array ?? [data]).compactMap { $0["upid"]?.string.flatMap { UPID($0) } })
        if case .task(let upid) = request.target { named.insert(upid) }
        named = named.filter { $0.user == site.facts.tokenID && Self.secretTasks.contains($0.type) }
        guard !named.isEmpty else { return data }
        let found = try await taskSecrets(of: named, in: site.facts.name)
        guard case .task(let upid) = request.target else {
            return .array(
                (data.array ?? []).map { row in
                    guard let upid = row["upid"]?.string.flatMap({ UPID($0) }), let known = found[upid] else {
                        return row
                    }
                    return Self.taking(known, outOf: "status", row)
                })
        }
        guard let known = found[upid] else { return data }
        guard request.action.rawValue == "read_task_log" else { return Self.taking(known, outOf: "exitstatus", data) }
        switch known {
        case .known(let redaction): return redaction(data)
        case .erased(let lines, _):
            return .array(lines.enumerated().map { ["n": JSON($0.offset + 1), "t": .string($0.element)] })
        }
    }

    private static func taking(_ known: TaskSecrets, outOf member: String, _ row: JSON) -> JSON {
        guard var object = row.object, let text = object[member]?.string, text != "OK", text != "RUNNING",
            !text.hasPrefix("WARNINGS: ")
        else { return row }
        switch known {
        case .known(let redaction): object[member] = .string(redaction(text))
        case .erased(_, let message): object[member] = .string(message)
        }
        return .object(object)
    }

    /// What is known of these tasks. Of one whose operation is not kept any more nobody knows what it carried.
    private func taskSecrets(
        of upids: Set<UPID>, in environment: EnvironmentName
    ) async throws(ServiceError) -> [UPID: TaskSecrets] {
        try await read { records in
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
