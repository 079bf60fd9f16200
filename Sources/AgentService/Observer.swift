import AgentModel
import StrictJSON

/// Reads the state that a plan is made on, and reads it again before it is applied.
struct Observer: Sendable {
    let site: Site
    /// Guests that rules name: where all are reached, these have to be found.
    var watched: Set<VMID> = []

    /// What planning needs to know of a request's target.
    struct Findings: Sendable {
        var node: NodeName?
        var observed = Observed()
        /// The guest's configuration, as PVE has it; `nil` where there is no guest to look at.
        var config: JSON?
        var checks: [Check] = []
        /// The object that an edit names, as it is now.
        var object: JSON?
        /// The guests that a request for many means.
        var guests: [GuestRef] = []
        /// PVE has actions on many guests of its own.
        var hasBulkActions = true
        /// How the cluster writes tags.
        var tagStyle = TagStyle()
        /// What policy judges.
        var reach = Reach()
        /// What was seen of guests other than the target.
        var guestStates: [String: JSON] = [:]

        /// What is to be looked at could be found.
        var isThere: Bool { checks.allSatisfy { $0.level != .block } }
        var surroundings: Surroundings {
            Surroundings(
                node: node, config: config, guests: guests, hasBulkActions: hasBulkActions, tagStyle: tagStyle)
        }
    }

    /// What `request` would do, from live state. A read looks at the guests that it is about only where `resolving`.
    ///
    /// - Throws: when PVE cannot be asked. A guest or node that is not there is a finding, not an error.
    func preview(of request: ActionRequest, resolving: Bool = false) async throws(HypervisorError) -> Preview {
        let look = Look(request, at: site)
        look.watched = watched
        if request.definition.effect == .read {
            try await look.findPlace()
            try await look.findReadSubjects(resolving: resolving)
            var preview = Preview(
                observed: look.findings.observed, checks: look.findings.checks, reach: look.findings.reach)
            guard look.findings.isThere else { return preview }
            preview.calls = (try? request.calls(in: look.findings.surroundings)) ?? []
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
    private func change(_ look: Look) async throws(HypervisorError) -> Preview {
        let request = look.request
        try await look.findTarget()
        try await look.findTagStyle()
        guard look.findings.isThere else {
            // Nothing would be called; what would be is judged all the same.
            look.calls = (try? request.calls(in: look.findings.surroundings)) ?? []
            try await look.attempt { () throws(HypervisorError) in try await look.findSubjects() }
            return Preview(observed: look.findings.observed, checks: look.findings.checks, reach: look.findings.reach)
        }
        do throws(EndpointError) { look.calls = try request.calls(in: look.findings.surroundings) } catch {
            look.findings.checks.append(Check("endpoint", .block, error.detail))
        }
        try await look.attempt { () throws(HypervisorError) in try await look.findObject() }
        try await look.attempt { () throws(HypervisorError) in try await look.findSubjects() }
        let checks = try await look.checks()
        var preview = Preview(calls: look.calls, observed: look.findings.observed, reach: look.findings.reach)
        // An object's digest is its own; the guest's is that of its configuration.
        preview.digest = (look.findings.object ?? look.findings.config)?["digest"]?.string
        try await look.attempt { () throws(HypervisorError) in preview.changes = try await look.changes() }
        preview.noop = !preview.changes.isEmpty && !preview.changes.contains(where: \.changesSomething)
        if !preview.noop, preview.allowsCalls {
            try await look.attempt { () throws(HypervisorError) in preview.undo = try await look.undo() }
        }
        preview.undoLeaves = preview.undo == nil ? look.noUndo.map { [$0] } ?? [] : look.gaps
        preview.irreversible = !preview.noop && (preview.undo == nil || look.losesThePoint)
        // Those that came up while something else was looked for are among the findings.
        preview.checks = look.findings.checks + checks
        return preview
    }
}

extension Preview {
    fileprivate var allowsCalls: Bool { !calls.isEmpty }
}

/// A guest's identity and state, out of its configuration and status.
struct GuestView {
    let observed: Observed

    init(_ guest: GuestRef, on node: NodeName, config: JSON, status: JSON, pool: String?) {
        var shown: JSONObject = [
            "node": .string(node.description), "kind": .string(guest.kind.targetWord),
            "name": config["name"] ?? config["hostname"] ?? status["name"] ?? .null,
        ]
        var compared = ["node", "kind", "name"]
        func add(_ key: String, _ value: JSON?) {
            shown[key] = value ?? .null
            compared.append(key)
        }
        switch guest.kind {
        case .vm:
            add("uuid", Self.part("uuid", of: config["smbios1"]))
            add("vmgenid", config["vmgenid"])
            add(
                "ctime", Self.part("ctime", of: config["meta"]).flatMap { $0.string.flatMap(Int.init).map { JSON($0) } }
            )
        case .container:
            add("rootfs", config["rootfs"])
            // PVE sends keys in no order.
            let networks = (config.object?.members ?? []).filter { member in
                member.key.hasPrefix("net") && member.key.count > 3 && member.key.dropFirst(3).allSatisfy(\.isNumber)
            }.sorted { $0.key < $1.key }
            add("hwaddrs", .array(networks.compactMap { Self.part("hwaddr", of: $0.value) }))
        }
        add("status", status["qmpstatus"] ?? status["status"])
        add("lock", config["lock"] ?? status["lock"])
        add("digest", config["digest"])
        shown["ha"] = status["ha"] ?? .null
        shown["template"] = config["template"].map { $0.flag.map { .bool($0) } ?? $0 } ?? false
        shown["protection"] = config["protection"].map { $0.flag.map { .bool($0) } ?? $0 } ?? false
        shown["tags"] = JSON(
            (config["tags"]?.string ?? "").split(whereSeparator: { ";, ".contains($0) }).map(String.init))
        shown["pool"] = pool.map { .string($0) } ?? .null
        observed = Observed(shown: shown, compared: compared)
    }

    /// The value of `key` in PVE's `a=1,b=2`.
    private static func part(_ key: String, of value: JSON?) -> JSON? {
        for part in (value?.string ?? "").split(separator: ",") where part.hasPrefix(key + "=") {
            return .string(String(part.dropFirst(key.count + 1)))
        }
        return nil
    }
}
