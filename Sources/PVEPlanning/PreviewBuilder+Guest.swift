import AgentModel
import AgentService
import StrictJSON

/// Checks on the guest's present state.
extension PreviewBuilder {
    func unlocked(_ except: [String]) -> [Check] {
        guard let guest, let lock = findings.observed.shown["lock"]?.string, !except.contains(lock) else { return [] }
        return [Check("locked", .block, "\(guest) is locked (\(lock)); wait until that has ended")]
    }

    func notTemplate() -> [Check] {
        guard let guest, isTemplate else { return [] }
        return [Check("template", .block, "\(guest) is a template; clone it instead")]
    }

    func unprotected() -> [Check] {
        guard let guest, flag(config, "protection", of: "\(guest)") else { return [] }
        return [Check("protected", .block, "\(guest) is protected; unset its protection option first")]
    }

    func stopped() -> [Check] {
        guard let guest, isThere, status != "stopped" else { return [] }
        return [Check("running", .block, "\(guest) is \(status); stop it first")]
    }

    func running() -> [Check] {
        guard let guest, !machine.hasProcess else { return [] }
        return [Check("not-running", .block, "\(guest) is stopped; start it first")]
    }

    func notPaused() -> [Check] {
        guard let guest, guest.kind == .vm, machine != .stopped, machine != .running,
            request.params["forceStop"] != true
        else { return [] }
        return [Check("paused", .block, "\(guest) is \(status) and cannot react; \(machine.cure)")]
    }

    func notRunningYet() -> [Check] {
        guard let guest, machine.hasProcess else { return [] }
        guard guest.kind == .vm else { return [Check("already-running", .block, "\(guest) runs already")] }
        guard machine != .running else { return [Check("already-running", .warn, "\(guest) runs already")] }
        return [Check("already-running", .block, "\(guest) has a process and is \(status); \(machine.cure)")]
    }

    func notStoppedYet() -> [Check] {
        guard let guest, status == "stopped" else { return [] }
        guard guest.kind == .vm else { return [Check("already-stopped", .block, "\(guest) is stopped already")] }
        return [Check("already-stopped", .warn, "\(guest) is stopped already")]
    }

    func paused() -> [Check] {
        guard let guest else { return [] }
        // PVE stops a suspended container and does not show the state that it saved.
        if guest.kind == .container {
            guard status != "stopped" else {
                return [
                    Check(
                        "suspended", .warn,
                        "\(guest) is stopped; PVE does not tell whether suspend_container did that, and fails if not")
                ]
            }
            return [
                Check("not-paused", .block, "\(guest) is \(status); only what suspend_container has stopped goes on")
            ]
        }
        guard machine != .halted, findings.observed.shown["lock"] != "suspended" else { return [] }
        return [Check("not-paused", .block, "\(guest) is \(status) and cannot be resumed; \(machine.cure)")]
    }

    func managedByHA() -> [Check] {
        guard let guest, !isManaged else { return [] }
        return [
            Check(
                "not-ha-managed", .block,
                "\(guest) is not managed by HA; use migrate_\(guest.kind == .vm ? "vm" : "container")")
        ]
    }

    func agentEnabled() -> [Check] {
        guard let guest else { return [] }
        let text = config["agent"].map { $0.string ?? $0.text } ?? "0"
        guard !flag(.object(PropertyString.settings("agent", text) ?? [:]), "enabled", of: "the agent of \(guest)")
        else {
            return []
        }
        return [Check("agent", .block, "\(guest) has no guest agent enabled; set agent: 1 and install it there")]
    }

    /// A base volume cannot be deleted while the disks of other guests are built on it.
    func notLinked() async throws(HypervisorError) -> [Check] {
        guard let guest, let node, isTemplate else { return [] }
        var clones: Set<VMID> = []
        for storage in Set(disks().compactMap(\.storage)).sorted() {
            for row in try await volumes(on: storage, of: node.description) {
                let base = [row["volid"], row["parent"]].compactMap { $0?.string }
                guard base.contains(where: { $0.contains("base-\(guest.id)-disk-") }), let id = owner(row),
                    id != guest.id
                else { continue }
                clones.insert(id)
            }
        }
        guard !clones.isEmpty else { return [] }
        let names = clones.sorted().map(\.description).joined(separator: ", ")
        return [Check("linked-clones", .block, "disks of \(names) are built on its own; delete those first")]
    }

    /// A restore needs a free number, or a stopped guest that it may replace.
    func replaceable() -> [Check] {
        guard let guest, isThere else { return [] }
        guard request.params["overwrite"] == true else {
            return [
                Check(
                    "guest-exists", .block, "\(guest) is there; give overwrite: true to replace it, or take a free id")
            ]
        }
        return unlocked([]) + stopped() + unprotected()
    }

    // MARK: Snapshots

    private func snapshotNames() async throws(HypervisorError) -> [String] {
        (try await readGuest("snapshot").array ?? []).compactMap { $0["name"]?.string }.filter { $0 != "current" }
    }

    func snapshotExists(_ name: String) async throws(HypervisorError) -> [Check] {
        guard let guest, !name.isEmpty else { return [] }
        let names = try await snapshotNames()
        guard !names.contains(name) else { return [] }
        let others = names.isEmpty ? "it has none" : "it has \(names.sorted().joined(separator: ", "))"
        return [Check("snapshot-exists", .block, "\(guest) has no snapshot \(name); \(others)")]
    }

    func snapshotIsNew(_ name: String) async throws(HypervisorError) -> [Check] {
        guard let guest else { return [] }
        guard !["current", "pending"].contains(name) else {
            return [Check("snapshot-name", .block, "\(name) is a name that PVE keeps for itself; take another one")]
        }
        guard try await snapshotNames().contains(name) else { return [] }
        return [Check("snapshot-name", .block, "\(guest) has a snapshot \(name) already; take another name")]
    }

    func noSnapshots() async throws(HypervisorError) -> [Check] {
        guard let guest else { return [] }
        let names = try await snapshotNames()
        guard !names.isEmpty else { return [] }
        return [
            Check("snapshots", .block, "\(guest) has snapshots (\(names.joined(separator: ", "))); delete them first")
        ]
    }

    func snapshotsPossible() async throws(HypervisorError) -> [Check] {
        guard let guest else { return [] }
        let found = try await readGuest("feature", query: ["feature": "snapshot"])
        guard !flag(found, "hasFeature", of: "feature of \(guest)") else { return [] }
        return [Check("snapshots-possible", .block, "a disk of \(guest) is on a storage that takes no snapshots")]
    }

    /// Checks that the safety snapshot can be taken and would be useful.
    func safety() async throws(HypervisorError) -> [Check] {
        guard let name = request.safetyName(in: findings.callContext), let guest else { return [] }
        switch request.definition.changes {
        case .exists(false):
            return [
                Check(
                    "safety-snapshot", .block,
                    "a snapshot goes with its guest; take a backup_\(guest.kind == .vm ? "vm" : "container") first")
            ]
        case .rollback:
            let types = try await storageTypes()
            if let storage = disks().compactMap({ $0.storage }).first(where: { types[$0]?.hasPrefix("zfs") == true }) {
                return [
                    Check(
                        "safety-snapshot", .block,
                        "storage \(storage) goes back to its newest snapshot only, and a safety snapshot would be that")
                ]
            }
        default: break
        }
        return try await snapshotsPossible() + snapshotIsNew(name)
            + [Check("safety-snapshot", .ok, "snapshot \(name) is taken first")]
    }
}
