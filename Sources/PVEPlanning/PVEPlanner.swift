package import AgentModel
package import AgentService
package import FoundationEssentials
package import StrictJSON

/// Plans changes in one Proxmox VE environment with knowledge that its API does not give: reads the state that a plan
/// is made on, reads it again before the plan is applied, and reports the outcome.
package struct PVEPlanner: PlanningEngine {
    let settings: EnvironmentSettings
    let hypervisor: any Hypervisor

    package init(settings: EnvironmentSettings, hypervisor: any Hypervisor) {
        self.settings = settings
        self.hypervisor = hypervisor
    }

    package func preview(
        of request: ActionRequest, watching watched: Set<VMID>, resolving: Bool
    ) async throws(HypervisorError) -> Preview {
        let look = PreviewBuilder(request, at: self)
        look.watched = watched
        if request.definition.effect == .read {
            try await look.findPlace()
            try await look.findReadSubjects(resolving: resolving)
            var preview = Preview(
                observed: look.findings.observed, checks: look.findings.checks, reach: look.findings.reach)
            guard look.findings.isThere else { return preview }
            preview.calls = (try? request.calls(in: look.findings.callContext)) ?? []
            preview.checks += try await look.nodesOnline(for: preview.calls)
            return preview
        }
        do throws(HypervisorError) { return try await change(look) } catch {
            guard let node = look.silentNode, let check = await look.silenceCheck(of: node, error) else { throw error }
            return Preview(
                observed: look.findings.observed, checks: look.findings.checks + [check], reach: look.findings.reach)
        }
    }

    /// What a change would do.
    private func change(_ look: PreviewBuilder) async throws(HypervisorError) -> Preview {
        let request = look.request
        try await look.findTarget()
        try await look.findTagStyle()
        guard look.findings.isThere else {
            // There is no call to make, but policy judges the calls that the request would make.
            look.calls = (try? request.calls(in: look.findings.callContext)) ?? []
            try await look.attempt { () throws(HypervisorError) in try await look.findSubjects() }
            return Preview(observed: look.findings.observed, checks: look.findings.checks, reach: look.findings.reach)
        }
        do throws(EndpointError) { look.calls = try request.calls(in: look.findings.callContext) } catch {
            look.findings.checks.append(Check("endpoint", .block, error.detail))
        }
        try await look.attempt { () throws(HypervisorError) in try await look.findObject() }
        try await look.attempt { () throws(HypervisorError) in try await look.findSubjects() }
        let checks = try await look.checks()
        var preview = Preview(calls: look.calls, observed: look.findings.observed, reach: look.findings.reach)
        // An object's digest is its own; the guest's is that of its configuration.
        preview.digest = (look.findings.object ?? look.findings.config)?["digest"]?.string
        try await look.attempt { () throws(HypervisorError) in preview.changes = try await look.changes() }
        preview.reach.destroyedBytes = PreviewBuilder.destroyedBytes(by: preview.changes)
        preview.noop = !preview.changes.isEmpty && !preview.changes.contains(where: \.changesSomething)
        if !preview.noop, preview.allowsCalls {
            try await look.attempt { () throws(HypervisorError) in preview.undo = try await look.undo() }
        }
        preview.undoLeaves = preview.undo == nil ? look.noUndo.map { [$0] } ?? [] : look.gaps
        preview.irreversible = !preview.noop && (preview.undo == nil || look.losesThePoint)
        // The findings hold the checks that other reads produced on the way.
        preview.checks = look.findings.checks + checks
        return preview
    }

    package func look(again plan: Plan, watching watched: Set<VMID>) async throws(ServiceError) -> Preview {
        let target = plan.request.target
        let preview: Preview
        do throws(HypervisorError) {
            preview = try await self.preview(of: plan.request, watching: watched, resolving: false)
        } catch {
            throw ServiceError(error, settings.name, during: "looking at \(target) again")
        }
        if let silence = preview.checks.first(where: { $0.id == PreviewBuilder.silenceID && $0.level == .block }) {
            throw ServiceError(
                .upstreamUnreachable, "\(settings.name): \(target) cannot be looked at again: \(silence.detail)")
        }
        return preview
    }

    package func newestBackup(of guest: VMID) async throws(HypervisorError) -> Date? {
        let request = ActionRequest(reading: .readInventory, on: .inventoryAll, in: settings.name)
        return try await PreviewBuilder(request, at: self).newestBackup(of: guest).newest.flatMap {
            PreviewBuilder.date($0.time)
        }
    }

    package func reach(of request: ActionRequest, resolving: Bool) async throws(HypervisorError) -> Reach {
        let look = PreviewBuilder(request, at: self)
        try await look.findReadSubjects(resolving: resolving)
        return look.findings.reach
    }

    package func blindness(of request: ActionRequest) async throws(HypervisorError) -> String? {
        try await PreviewBuilder(request, at: self).blindness()
    }

    package func data(
        of request: ActionRequest, _ calls: [Call]
    ) async throws(HypervisorError) -> [(name: String, data: JSON)] {
        let names = request.templates.map { $0.name ?? $0.path }
        var found: [(name: String, data: JSON)] = []
        for (index, call) in calls.enumerated() {
            let name = names.indices.contains(index) ? names[index] : call.shownPath
            do throws(HypervisorError) { found.append((name, try await hypervisor.read(call))) } catch {
                // PVE 8 has groups where PVE 9 has rules.
                guard error.isUnknownPath, call.path == ["cluster", "ha", "rules"] else { throw error }
                found.append(("groups", try await hypervisor.read(Call(.get, ["cluster", "ha", "groups"]))))
            }
        }
        return found
    }
}

extension Preview {
    fileprivate var allowsCalls: Bool { !calls.isEmpty }
}
