package import AgentModel
package import AgentService
package import StrictJSON

/// What PVE shows of tasks, without the secrets that their calls carried.
extension PVEPlanner {
    package func ownTasks(in data: JSON, of request: ActionRequest) -> Set<UPID> {
        guard request.definition.targets.contains(where: { [.task, .tasksAll].contains($0) }) else { return [] }
        var named = Set((data.array ?? [data]).compactMap { $0["upid"]?.string.flatMap { UPID($0) } })
        if case .task(let upid) = request.target { named.insert(upid) }
        return named.filter { $0.user == settings.tokenID }
    }

    package func hiding(_ secrets: [UPID: TaskSecrets], in data: JSON, of request: ActionRequest) -> JSON {
        guard case .task(let upid) = request.target else {
            return .array(
                (data.array ?? []).map { row in
                    guard let upid = row["upid"]?.string.flatMap({ UPID($0) }), let known = secrets[upid] else {
                        return row
                    }
                    return Self.taking(known, outOf: "status", row)
                })
        }
        guard let known = secrets[upid] else { return data }
        // A log is a list of lines, a status an object.
        guard data.array != nil else { return Self.taking(known, outOf: "exitstatus", data) }
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
}
