import AgentModel
import AgentService
import StrictJSON

/// Checks on the token's privileges, and on the agent's own settings.
extension PreviewBuilder {
    /// The privileges that the request needs and the token lacks.
    func privileges() async throws(HypervisorError) -> [Check] {
        var checks = rootOnly()
        for (path, wanted) in try await needs() {
            guard var granted = try await granted(on: path) else { return checks }
            // For a guest to be made, privileges on its pool suffice.
            if let pool = request.params["pool"]?.string, guest.map({ path == "/vms/\($0.id)" }) == true, !isThere {
                granted.formUnion(try await self.granted(on: "/pool/\(pool)") ?? [])
            }
            guard wanted.allSatisfy({ !granted.contains($0) }) else { continue }
            let names = wanted.joined(separator: " or ")
            if path.hasPrefix("/sdn/"), !path.contains("/vmbr") {
                checks.append(
                    Check(
                        "privileges", .warn,
                        "the token lacks \(names) on \(path); PVE asks for it there, or on the zone of a VNet of that name"
                    ))
                continue
            }
            checks.append(
                Check(
                    "privileges", .block,
                    "the token lacks \(names) on \(path); grant it: pveum acl modify \(path) --tokens '\(planner.settings.tokenID)' --roles …"
                ))
        }
        return checks
    }

    private func needs() async throws(HypervisorError) -> [(path: String, anyOf: [String])] {
        let definition = request.definition
        let major = PVEVersion.major(of: try await read(["version"])["version"]?.string ?? "")
        let place = findings.callContext
        var needs = definition.privileges.filter {
            $0.when.holds(for: request.params, on: request.target) && $0.isAsked(by: major)
        }
        .map { (path: request.fill($0.path, place), anyOf: $0.anyOf) }
        if let guest, request.safetyName(in: place) != nil { needs.append(("/vms/\(guest.id)", ["VM.Snapshot"])) }
        if let guest { needs += keyNeeds().map { ("/vms/\(guest.id)", $0) } }
        needs += placeNeeds() + jobNeeds()
        for guest in findings.guests {
            let isMigration = if case .guestNode = definition.changes { true } else { false }
            needs.append(("/vms/\(guest.id)", [isMigration ? "VM.Migrate" : "VM.PowerMgmt"]))
        }
        return needs.filter { !$0.path.contains("{") }
    }

    /// A change of a scheduled backup needs Datastore.Allocate on its present storage, and on `local` where it falls
    /// back to it.
    private func jobNeeds() -> [(path: String, anyOf: [String])] {
        guard let call = calls.first, call.method == .put, call.path.starts(with: ["cluster", "backup"]),
            let job = findings.object?.object
        else { return [] }
        let isReset = (request.params["delete"]?.array ?? []).contains("storage")
        let storages = [job["storage"]?.string ?? "local"] + (isReset ? ["local"] : [])
        return storages.map { ("/storage/\($0)", ["Datastore.Allocate"]) }
    }

    /// The token's privileges on one path; `nil`, with a warning, where PVE does not tell them.
    func granted(on path: String) async throws(HypervisorError) -> Set<String>? {
        do throws(HypervisorError) {
            let found = try await read(["access", "permissions"], ["path": path])
            return Set(found[path]?.object?.keys ?? [])
        } catch {
            guard case .refused(let upstream) = error, !upstream.isFromGateway else { throw error }
            note("privileges", "PVE does not tell what the token may do on \(path): \(upstream.reason)")
            return nil
        }
    }

    /// Why a read that found nothing may be incomplete: the privilege that the token lacks; `nil` where it lacks none.
    func blindness() async throws(HypervisorError) -> String? {
        for (path, wanted) in try await needs() {
            guard let granted = try await granted(on: path), wanted.allSatisfy({ !granted.contains($0) }) else {
                continue
            }
            return "the token lacks \(wanted.joined(separator: " or ")) on \(path), so there may be more than it sees"
        }
        return nil
    }

    /// Checks that the command begins with the words of a command that the configuration allows.
    func commandAllowed() -> [Check] {
        let words = (request.params["command"]?.array ?? []).compactMap(\.string)
        let allowed = planner.settings.allowedCommands
        guard !allowed.contains(where: { !$0.isEmpty && words.starts(with: $0) }) else { return [] }
        let cure =
            allowed.isEmpty
            ? "environment \(planner.settings.name) allows no commands; name them in agent_exec_allow"
            : "allowed are commands that begin with \(allowed.map { $0.joined(separator: " ") }.joined(separator: "; "))"
        return [Check("command", .block, cure)]
    }

    func downloadAllowed() -> [Check] {
        let url = text("url")
        let allowed = planner.settings.allowedDownloads
        let address = DownloadAddress(url)
        let isAllowed = address.map { address in
            allowed.contains { DownloadAddress($0).map(address.isBelow) ?? false }
        }
        guard isAllowed != true else { return [] }
        let cure =
            allowed.isEmpty
            ? "environment \(planner.settings.name) allows no downloads; name addresses in download_allow"
            : isAllowed == nil
                ? "\(url) can be read in more than one way: no user name, fragment, dot or empty segments, encoded "
                    + "slashes or double encoding"
                : "\(url) is not below \(allowed.joined(separator: " or "))"
        return [Check("download", .block, cure)]
    }
}
