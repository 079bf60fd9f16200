package import AgentModel
package import AgentService
package import StrictJSON

/// Reads the guests' state and what runs in them.
extension PVEPlanner {
    package func sightings(of guests: [GuestRef], withStatus: Bool) async -> [GuestRef: GuestSighting] {
        let list = Call(.get, ["cluster", "resources"], [(name: "type", value: .text("vm"))])
        let rows = (try? await hypervisor.read(list).array) ?? []
        let byGuest = rows.reduce(into: [GuestRef: JSON]()) { all, row in
            if let guest = GuestRef(row: row) { all[guest] = row }
        }
        var sightings: [GuestRef: GuestSighting] = [:]
        for guest in guests {
            guard let row = byGuest[guest], let node = row["node"]?.string else { continue }
            var status: JSON?
            if withStatus {
                let path = ["nodes", node, guest.kind.rawValue, "\(guest.id)", "status", "current"]
                status = (try? await hypervisor.read(Call(.get, path)))?["status"]
            }
            let isManaged = row["hastate"]?.string.map { $0 != "ignored" } ?? false
            sightings[guest] = GuestSighting(node: node, status: status, isManaged: isManaged)
        }
        return sightings
    }

    package func complaint(about guest: GuestRef, in log: [String]) -> String? {
        let letters = guest.kind == .vm ? "VM" : "CT"
        let line = log.last { line in
            let words = line.split { !$0.isLetter && !$0.isNumber }
            return ["failed", "Skipping", "skipping", "error", "can't"].contains { line.contains($0) }
                && words.contains { $0 == "\(guest.id)" } && words.contains { $0 == letters }
        }
        return line.map { String($0.prefix(300)) }
    }

    package func commandStatus(of call: Call, pid: Int64) async throws(HypervisorError) -> CommandStatus {
        let ask = Call(.get, call.path.dropLast() + ["exec-status"], [(name: "pid", value: .text("\(pid)"))])
        let shown = try await hypervisor.read(ask)
        return CommandStatus(
            hasExited: shown["exited"]?.flag == true, exitCode: shown["exitcode"]?.whole,
            isSignalled: shown["signal"].map { $0 != .null } ?? false,
            signal: shown["signal"]?.whole, output: shown["out-data"]?.string ?? "",
            errors: shown["err-data"]?.string ?? "",
            isCut: [shown["out-truncated"], shown["err-truncated"]].contains { $0?.flag == true })
    }

    /// The guest agent's answer to a trim is no error, even where the trim of a file system failed.
    package func flaw(in answer: JSON, of request: ActionRequest) -> (message: String, isTotal: Bool)? {
        guard request.definition.answer == .fileSystems else { return nil }
        guard let paths = answer["result"]?["paths"]?.array else {
            return ("the guest agent does not say which file systems it has trimmed", false)
        }
        let failed = paths.filter { $0["error"].map { $0 != .null } ?? false }
        guard !failed.isEmpty else { return nil }
        let names = failed.prefix(20).map { JSON.string(String(($0["path"]?.string ?? "?").prefix(200))).shown }
        return (
            "\(failed.count) of \(paths.count) file systems could not be trimmed: "
                + names.joined(separator: ", ") + (failed.count > names.count ? ", …" : "")
                + "; what the guest agent says of each is in data", failed.count == paths.count
        )
    }
}
