import AgentModel
import StrictJSON

/// Reads the state that a plan is made on, and reads it again before it is applied.
struct Observer: Sendable {
    let site: Site

    /// What planning needs to know of a request's target.
    struct Findings: Sendable {
        var node: NodeName?
        var observed = Observed()
        /// The guest's configuration, as PVE has it; `nil` where there is no guest to look at.
        var config: JSON?
        var checks: [Check] = []
        /// The object that an endpoint edit names, as it is now.
        var object: JSON?

        /// What is to be looked at could be found.
        var isThere: Bool { checks.allSatisfy { $0.level != .block } }
        var surroundings: Surroundings { Surroundings(node: node, config: config) }
    }

    /// What `request` would do, from live state.
    ///
    /// - Throws: when PVE cannot be asked. A guest or node that is not there is a finding, not an error.
    func preview(of request: ActionRequest) async throws(HypervisorError) -> Preview {
        guard request.definition.effect == .change else {
            let findings = try await place(of: request)
            var preview = Preview(observed: findings.observed, checks: findings.checks)
            guard findings.isThere else { return preview }
            preview.calls = (try? request.calls(in: findings.surroundings)) ?? []
            return preview
        }
        var findings = Findings()
        if let guest = request.target.guest {
            try await find(guest, named: request.node ?? request.endpointNode, into: &findings)
        }
        if findings.isThere, request.definition.object != .none { try await lookAtObject(of: request, into: &findings) }
        var preview = Preview(
            observed: findings.observed, irreversible: request.definition.irreversible, checks: findings.checks)
        guard findings.isThere else { return preview }
        let look = Look(request, findings, at: site)
        do throws(EndpointError) { look.calls = try request.calls(in: findings.surroundings) } catch {
            preview.checks.append(Check("endpoint", .block, error.detail))
        }
        preview.calls = look.calls
        preview.checks += try await look.checks()
        preview.changes = look.changes()
        preview.noop = !preview.changes.isEmpty && preview.changes.allSatisfy { $0.from == $0.to }
        preview.digest = findings.object?["digest"]?.string
        preview.undo = preview.noop ? nil : look.undo()
        return preview
    }

    /// Only where the request's guest is; for reads, which look at the rest themselves.
    private func place(of request: ActionRequest) async throws(HypervisorError) -> Findings {
        var findings = Findings()
        guard let guest = request.target.guest else { return findings }
        findings.node = request.node
        if findings.node == nil { findings.node = try await site.hypervisor.locate(guest)?.node }
        findings.checks = [
            findings.node.map { Check("guest-exists", .ok, "\(guest) is on node \($0)") } ?? missing(guest)
        ]
        return findings
    }

    /// Finds the guest and reads its configuration and status.
    private func find(
        _ guest: GuestRef, named: NodeName?, into findings: inout Findings
    ) async throws(HypervisorError) {
        var pool: JSON?
        var node = named
        if node == nil {
            guard let place = try await site.hypervisor.locate(guest) else {
                findings.checks.append(missing(guest))
                return
            }
            node = place.node
            pool = place.pool.map { .string($0) } ?? .null
        }
        guard let node else { return }
        findings.node = node
        let base = ["nodes", node.description, guest.kind.rawValue, guest.id.description]
        do throws(HypervisorError) {
            async let current = result(of: Call(.get, base + ["status", "current"]))
            let config = try await site.hypervisor.read(Call(.get, base + ["config"]))
            let status = try await current.get()
            findings.config = config
            findings.observed = GuestView(guest, on: node, config: config, status: status, pool: pool).observed
            findings.checks.append(Check("guest-exists", .ok, "\(guest) is on node \(node)"))
        } catch {
            guard case .refused(let upstream) = error, upstream.status == 500, Self.saysMissing(upstream.reason) else {
                throw error
            }
            let place = try await site.hypervisor.locate(guest)
            findings.observed = Observed(
                shown: ["node": place.map { .string($0.node.description) } ?? .null, "exists": .bool(place != nil)],
                compared: ["node", "exists"])
            findings.checks.append(
                place.map { Check("guest-exists", .block, "\(guest) is on node \($0.node), not on \(node)") }
                    ?? missing(guest))
        }
    }

    /// `async let` forgets the type of an error; a result keeps it.
    private func result(of call: Call) async -> Result<JSON, HypervisorError> {
        do throws(HypervisorError) { return .success(try await site.hypervisor.read(call)) } catch {
            return .failure(error)
        }
    }

    /// PVE's words for a guest, or a node, that is not there.
    private static func saysMissing(_ reason: String) -> Bool {
        reason.contains("does not exist") || reason.contains("hostname lookup")
            || reason.contains("no such cluster node")
    }

    private func missing(_ guest: GuestRef) -> Check {
        Check(
            "guest-exists", .block,
            "\(site.facts.name) shows no \(guest): the id is wrong, or the token lacks VM.Audit on /vms/\(guest.id)")
    }

    /// Reads what an endpoint edit would change: the object itself, or the list that a POST adds to.
    private func lookAtObject(
        of request: ActionRequest, into findings: inout Findings
    ) async throws(HypervisorError) {
        guard let call = (try? request.calls(onNode: findings.node))?.first else { return }
        if call.path.first == "nodes", findings.node == nil { findings.node = NodeName(call.path[1]) }
        var path = call.path
        if path == ["storage"], let name = request.params["params"]?["storage"]?.string { path.append(name) }
        var object = JSONObject()
        do throws(HypervisorError) {
            let found = try await site.hypervisor.read(Call(.get, path))
            findings.object = found
            object = [
                "path": .string(Call(.get, path).shownPath), "exists": true, "hash": .string(Self.stableHash(found)),
            ]
        } catch {
            guard case .refused(let upstream) = error, Self.saysAbsent(upstream) else { throw error }
            object = ["path": .string(Call(.get, path).shownPath), "exists": false]
        }
        findings.observed.shown["object"] = .object(object)
        findings.observed.compared.append("object")
    }

    /// PVE's words for an object that is not there; any other refusal says nothing about that.
    private static func saysAbsent(_ upstream: Upstream) -> Bool {
        let texts = [upstream.reason] + upstream.errors.values
        return (upstream.status == 500 || upstream.status == 400)
            && texts.contains { text in
                ["does not exist", "no rule at position", "no such"].contains { text.lowercased().contains($0) }
            }
    }

    /// A hash that does not move with counters, times and digests.
    private static func stableHash(_ value: JSON) -> String { PlanDigest.hash(stable(value)) }

    private static func stable(_ value: JSON) -> JSON {
        switch value {
        case .array(let elements): return .array(elements.map(stable))
        case .object(let object):
            var kept = JSONObject()
            for member in object.members where member.key != "digest" { kept.append(member.key, stable(member.value)) }
            return .object(kept)
        case .null, .bool, .integer, .number, .string: return value
        }
    }
}

/// A guest's identity and state, out of its configuration and status.
struct GuestView {
    let observed: Observed

    init(_ guest: GuestRef, on node: NodeName, config: JSON, status: JSON, pool: JSON?) {
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
        shown["template"] = .bool(config["template"] == 1)
        shown["protection"] = .bool(config["protection"] == 1)
        shown["tags"] = JSON(
            (config["tags"]?.string ?? "").split(whereSeparator: { ";, ".contains($0) }).map(String.init))
        if let pool { shown["pool"] = pool }
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
