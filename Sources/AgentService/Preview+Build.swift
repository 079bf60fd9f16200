import AgentModel
import StrictJSON

/// Turns what was observed into what would happen.
struct PreviewBuilder {
    let request: ActionRequest
    let findings: Observer.Findings

    func build(extra: [Check]) -> Preview {
        var preview = Preview(
            observed: findings.observed, irreversible: request.definition.irreversible,
            checks: findings.checks + extra + guestChecks())
        guard preview.checks.allSatisfy({ $0.id != "guest-exists" || $0.level == .ok }) else { return preview }
        do throws(EndpointError) { preview.calls = try request.calls(onNode: findings.node) } catch {
            preview.checks.append(Check("endpoint", .block, error.detail))
        }
        preview.checks += preview.calls.first.map(objectChecks) ?? []
        preview.changes = changes(preview.calls)
        preview.noop = preview.changes.contains { $0.from == $0.to } && preview.changes.allSatisfy { $0.from == $0.to }
        preview.digest = findings.object?["digest"]?.string
        preview.undo = preview.noop ? nil : undo()
        return preview
    }

    private var status: String { findings.observed.shown["status"]?.string ?? "" }
    private var guest: GuestRef? { request.target.guest }
    private var isTemplate: Bool { findings.config?["template"] == 1 }

    /// What PVE would refuse, or do otherwise than one may think, in the guest's present state.
    private func guestChecks() -> [Check] {
        guard let guest, let config = findings.config, case .guest = request.target,
            request.definition.effect == .change
        else { return [] }
        var checks: [Check] = []
        // A start is how PVE wakes a machine that was put to sleep on disk.
        let sleeps = request.action == .startVM && findings.observed.shown["lock"] == "suspended"
        if !sleeps, let lock = findings.observed.shown["lock"]?.string {
            checks.append(Check("locked", .block, "\(guest) is locked (\(lock)); wait until that has ended"))
        }
        if findings.observed.shown["ha"]?["managed"] == 1 {
            checks.append(Check("ha-managed", .warn, "\(guest) is managed by HA, which may act on its own"))
        }
        switch request.action {
        case .startVM:
            if isTemplate { checks.append(Check("template", .block, "\(guest) is a template; clone it instead")) }
            if status == "running" { checks.append(Check("already-running", .warn, "\(guest) runs already")) }
        case .stopVM:
            if status == "stopped" { checks.append(Check("already-stopped", .warn, "\(guest) is stopped already")) }
        case .deleteVM:
            if status != "stopped" {
                checks.append(Check("running", .block, "\(guest) is \(status); stop it first"))
            }
            if config["protection"] == 1 {
                checks.append(Check("protected", .block, "\(guest) is protected; unset its protection option first"))
            }
        case .migrateVM:
            if request.params["target"]?.string == findings.node?.description {
                checks.append(
                    Check("target-node", .block, "\(guest) is on \(findings.node?.description ?? "") already"))
            }
            if status == "running", request.params["online"] != true {
                checks.append(Check("online", .block, "\(guest) is running; give online: true, or stop it first"))
            }
        case .snapshotVM, .cloneVM, .readVM, .readInventory, .readNodes, .readTasks, .readTaskStatus, .storageEdit,
            .firewallEdit:
            break
        }
        return checks
    }

    /// Whether the object that an endpoint names is there, or is not, as the method needs.
    private func objectChecks(_ call: Call) -> [Check] {
        guard let object = findings.observed.shown["object"], let path = object["path"]?.string else { return [] }
        if call.method != .post, object["exists"] == false {
            return [Check("object-exists", .block, "there is no \(path)")]
        }
        if call.path == ["storage"], object["exists"] == true {
            return [Check("object-exists", .block, "\(path) exists already; change it with PUT \(path)")]
        }
        return []
    }

    /// The differences that the calls would make, as far as they can be told beforehand.
    private func changes(_ calls: [Call]) -> [Change] {
        switch request.action {
        case .startVM: return [Change("status", from: .string(status), to: "running")]
        case .stopVM: return [Change("status", from: .string(status), to: "stopped")]
        case .deleteVM: return [Change("exists", from: true, to: false)]
        case .migrateVM:
            return [
                Change(
                    "node", from: findings.node.map { .string($0.description) } ?? .null,
                    to: request.params["target"] ?? .null)
            ]
        case .snapshotVM: return [Change("snapshot", from: .null, to: request.params["snapname"] ?? .null)]
        case .cloneVM: return [Change("guest", from: .null, to: .string("vm/\(request.params["newid"]?.text ?? "")"))]
        case .storageEdit, .firewallEdit: return calls.first.map(objectChanges) ?? []
        case .readVM, .readInventory, .readNodes, .readTasks, .readTaskStatus: return []
        }
    }

    private func objectChanges(_ call: Call) -> [Change] {
        let shown = call.json["params"]?.object ?? [:]
        guard call.method != .delete else { return [Change("exists", from: true, to: false)] }
        let deleted = (shown["delete"]?.string ?? "").split(whereSeparator: { ", ;".contains($0) }).map(String.init)
        let removals = deleted.map { Change($0, from: findings.object?[$0] ?? .null, to: .null) }
        return removals
            + shown.members.filter { $0.key != "digest" && $0.key != "delete" }.map { member in
                guard call.method == .put, let now = findings.object?[member.key] else {
                    return Change(member.key, from: .null, to: member.value)
                }
                let hidden = ParameterDefinition.isSecret(member.key)
                // PVE answers numbers and texts where it was sent texts: one that reads the same is no change.
                let same = (now.string ?? now.text) == member.value.string
                return Change(member.key, from: hidden ? .null : same ? member.value : now, to: member.value)
            }
    }

    /// The request that takes this one back, where the catalogue names one and something would change.
    private func undo() -> JSON? {
        guard let inverse = request.definition.inverse else { return nil }
        return [
            "environment": .string(request.environment.description), "action": .string(inverse.rawValue),
            "target": .string(request.target.description), "params": [:],
        ]
    }
}

extension Observer {
    /// Checks that need a look at something other than the target.
    func furtherChecks(for request: ActionRequest, _ findings: Findings) async throws(HypervisorError) -> [Check] {
        guard let node = findings.node, let guest = request.target.guest, findings.config != nil else { return [] }
        switch request.action {
        case .snapshotVM: return try await snapshotCheck(request, guest, node)
        case .cloneVM: return try await newIDCheck(request)
        case .migrateVM: return try await targetNodeCheck(request)
        case .startVM, .stopVM, .deleteVM, .readVM, .readInventory, .readNodes, .readTasks, .readTaskStatus,
            .storageEdit, .firewallEdit:
            return []
        }
    }

    private func snapshotCheck(
        _ request: ActionRequest, _ guest: GuestRef, _ node: NodeName
    ) async throws(HypervisorError) -> [Check] {
        let path = ["nodes", node.description, guest.kind.rawValue, guest.id.description, "snapshot"]
        let name = request.params["snapname"]?.string
        let taken = try await site.hypervisor.read(Call(.get, path)).array?.contains { $0["name"]?.string == name }
        return taken == true
            ? [Check("snapshot-name", .block, "\(guest) has a snapshot \(name ?? "") already; take another name")] : []
    }

    private func newIDCheck(_ request: ActionRequest) async throws(HypervisorError) -> [Check] {
        let id = request.params["newid"]?.text ?? ""
        do throws(HypervisorError) {
            _ = try await site.hypervisor.read(Call(.get, ["cluster", "nextid"], [(name: "vmid", value: .text(id))]))
            return []
        } catch {
            guard case .refused(let upstream) = error, upstream.status == 400 else { throw error }
            return [Check("new-id", .block, "id \(id) is taken; GET /cluster/nextid names a free one")]
        }
    }

    private func targetNodeCheck(_ request: ActionRequest) async throws(HypervisorError) -> [Check] {
        let wanted = request.params["target"]?.string ?? ""
        let nodes = try await site.hypervisor.read(Call(.get, ["nodes"])).array ?? []
        guard let node = nodes.first(where: { $0["node"]?.string == wanted }) else {
            let names = nodes.compactMap { $0["node"]?.string }.sorted().joined(separator: ", ")
            return [Check("target-node", .block, "there is no node \(wanted); there are \(names)")]
        }
        guard node["status"]?.string == "online" else {
            return [Check("target-node", .block, "node \(wanted) is \(node["status"]?.string ?? "not online")")]
        }
        return [Check("target-node", .ok, "node \(wanted) is online")]
    }
}
