import AgentModel
import StrictJSON

/// Checks on the guest as it is.
extension Look {
    func unlocked(_ except: [String]) -> [Check] {
        guard let guest, let lock = findings.observed.shown["lock"]?.string, !except.contains(lock) else { return [] }
        return [Check("locked", .block, "\(guest) is locked (\(lock)); wait until that has ended")]
    }

    func notTemplate() -> [Check] {
        guard let guest, config["template"] == 1 else { return [] }
        return [Check("template", .block, "\(guest) is a template; clone it instead")]
    }

    func unprotected() -> [Check] {
        guard let guest, config["protection"] == 1 else { return [] }
        return [Check("protected", .block, "\(guest) is protected; unset its protection option first")]
    }

    func stopped() -> [Check] {
        guard let guest, status != "stopped" else { return [] }
        return [Check("running", .block, "\(guest) is \(status); stop it first")]
    }

    func notRunningYet() -> [Check] {
        guard let guest, status == "running" else { return [] }
        return [Check("already-running", .warn, "\(guest) runs already")]
    }

    func notStoppedYet() -> [Check] {
        guard let guest, status == "stopped" else { return [] }
        return [Check("already-stopped", .warn, "\(guest) is stopped already")]
    }

    func snapshotIsNew(_ name: String) async throws(HypervisorError) -> [Check] {
        guard let guest else { return [] }
        let taken = try await readGuest("snapshot").array?.contains { $0["name"]?.string == name }
        guard taken == true else { return [] }
        return [Check("snapshot-name", .block, "\(guest) has a snapshot \(name) already; take another name")]
    }
}
