package import StrictJSON

/// What the calls of a request depend on, apart from the request.
package struct CallContext: Sendable {
    /// The node that the guest is on, or that serves the target.
    package var node: NodeName?
    /// The guest's configuration.
    package var config: JSON?
    /// The guests that a bulk request is for.
    package var guests: [GuestRef] = []
    /// PVE has bulk actions of its own: version 9 and later.
    package var hasBulkActions: Bool
    /// How the cluster writes tags.
    package var tagStyle: TagStyle

    package init(
        node: NodeName? = nil, config: JSON? = nil, guests: [GuestRef] = [], hasBulkActions: Bool = true,
        tagStyle: TagStyle = TagStyle()
    ) {
        self.node = node
        self.config = config
        self.guests = guests
        self.hasBulkActions = hasBulkActions
        self.tagStyle = tagStyle
    }
}

extension ActionRequest {
    /// Like ``calls(in:)``, for requests whose calls depend only on the node.
    package func calls(onNode node: NodeName?) throws(EndpointError) -> [Call] {
        try calls(in: CallContext(node: node))
    }

    /// The exact calls that carry the request out, in order.
    ///
    /// Throws when `params.endpoint` is not below the target.
    package func calls(in place: CallContext) throws(EndpointError) -> [Call] {
        if spellsEndpoint { return [try endpointCall()] }
        return (safetySnapshot(in: place).map { [$0] } ?? []) + templates(in: place).map { call($0, place) }
    }

    private func templates(in place: CallContext) -> [CallTemplate] {
        templates.filter { $0.bulk == nil || $0.bulk == place.hasBulkActions }
    }

    /// Whether PVE carries it out only with a majority of the cluster's votes.
    package func needsQuorum(in place: CallContext) -> Bool {
        spellsEndpoint || safetyName(in: place) != nil
            || templates(in: place).contains { template in
                template.method != .get && template.quorum?.holds(for: params, on: target) == true
            }
    }

    /// The call that takes the safety snapshot, if the request asks for one.
    ///
    /// Its name is derived from the request and the current configuration, so the same plan always gives the same name.
    private func safetySnapshot(in place: CallContext) -> Call? {
        guard let guest = target.guest, let name = safetyName(in: place) else { return nil }
        return Call(
            .post, path("\(guest.kind.path)/snapshot", place),
            [("snapname", .text(name)), ("description", .text("before \(action)"))],
            tasks: guest.kind.tasks("snapshot"),
            taskID: guest.id.description, expectedDrift: ["digest"])
    }

    /// The name of the safety snapshot; `nil` if there is none.
    package func safetyName(in place: CallContext) -> String? {
        guard definition.takesSafetySnapshot, params["safety_snapshot"] == true, target.guest != nil else { return nil }
        let hash = PlanDigest.hash([
            "action": .string(action.rawValue), "target": .string(target.description), "params": .object(params),
            "digest": place.config?["digest"] ?? .null,
        ])
        return "safety-" + hash.prefix(12)
    }

    /// The numbers of guests that the request creates.
    package var claimedIDs: [VMID] {
        var ids: [VMID] = definition.expects == .absent ? [target.guest?.id].compactMap(\.self) : []
        if case .newGuest(let name) = definition.changes, let id = params[name].flatMap({ VMID($0.text) }) {
            ids.append(id)
        }
        return ids
    }

    /// The templates that apply.
    package var templates: [CallTemplate] {
        definition.calls.filter { $0.when.holds(for: params, on: target) }
    }

    /// Whether the request is done only once the guest runs.
    package var endsRunning: Bool { definition.runs?.holds(for: params, on: target) ?? false }

    /// Whether the request ends a shutdown of the same guest that is under way.
    package var overrulesShutdown: Bool { params["overrule-shutdown"] == true }

    /// Whether it starts, stops or moves many guests at once.
    package var isForMany: Bool {
        switch definition.changes {
        case .guestStatus, .guestNode: true
        default: false
        }
    }

    /// Whether the caller spells out the one call.
    package var spellsEndpoint: Bool { definition.takesEndpoint && params["endpoint"] != nil }

    private func call(_ template: CallTemplate, _ place: CallContext) -> Call {
        let own = Set(definition.parameters.filter(\.agentOnly).map(\.name))
        var parameters: [Call.Parameter] = template.fixed.compactMap { fixed in
            let isGiven = params[fixed.name] != nil && !own.contains(fixed.name)
            return isGiven ? nil : (fixed.name, .text(fill(fixed.value, place)))
        }
        let inPath = Set(template.placeholders)
        let replaced = Set(template.fixed.map(\.value).filter { $0.hasPrefix("{") }.map { $0.dropFirst().dropLast() })
        for parameter in definition.parameters where !parameter.agentOnly && !inPath.contains(parameter.name) {
            guard template.forwards?.contains(parameter.name) ?? !replaced.contains(parameter.name[...]) else {
                continue
            }
            for (key, value) in params.members.map({ ($0.key, $0.value) }) where parameter.matches(key) {
                parameters.append((template.renames[key] ?? key, callValue(value, [key], parameter.encoding)))
            }
        }
        for kind in template.computed {
            if let parameter = computed(kind, place) { parameters.append(parameter) }
        }
        if template.digest { parameters.append(("digest", .observedDigest)) }
        return Call(
            template.method, path(template.path, place), parameters, tasks: template.tasks,
            taskID: template.taskID.map { fill($0, place) }, expectedDrift: template.expectedDrift)
    }

    /// A template's path, segment by segment; a value with slashes stays one segment.
    package func path(_ template: String, _ place: CallContext) -> [String] {
        template.split(separator: "/").flatMap { part in
            part == "{firewall}" ? firewallPath(place) : [fill(String(part), place)]
        }
    }

    /// A template's text with its placeholders filled. Unknown placeholders stay as they are.
    package func fill(_ text: String, _ place: CallContext) -> String {
        guard let open = text.firstIndex(of: "{"), let close = text[open...].firstIndex(of: "}") else { return text }
        let name = String(text[text.index(after: open)..<close])
        let value = self.place(name, place) ?? "{\(name)}"
        return text[..<open] + value + fill(String(text[text.index(after: close)...]), place)
    }

    private func place(_ name: String, _ place: CallContext) -> String? {
        switch (name, target) {
        case ("node", .task(let upid)): return upid.node.description
        case ("node", .node(let node)), ("node", .firewall(.node(let node))): return node.description
        case ("node", _): return (node ?? place.node)?.description
        case ("upid", .task(let upid)): return upid.description
        case ("vmid", _): return target.guest?.id.description
        case ("kind", _): return target.guest?.kind.rawValue
        case ("sid", _): return target.guest.map { "\($0.kind == .vm ? "vm" : "ct"):\($0.id)" }
        case ("storage", .storage(let storage)): return storage.description
        case ("pool", .pool(let pool)): return pool.description
        default: return params[name].map { $0.string ?? $0.text }
        }
    }

    private func firewallPath(_ place: CallContext) -> [String] {
        guard case .firewall(let scope) = target else { return ["firewall"] }
        switch scope {
        case .cluster: return ["cluster", "firewall"]
        case .node(let node): return ["nodes", node.description, "firewall"]
        case .guest(let guest):
            return ["nodes", fill("{node}", place), guest.kind.rawValue, guest.id.description, "firewall"]
        }
    }

    func callValue(
        _ value: JSON, _ place: [String], _ encoding: ParameterDefinition.Encoding = .plain
    ) -> Call.Value {
        if let secret = secrets[JSONPath(place.map { .key($0) })] {
            return .secret(encoding == .percent ? Secret(secret.reveal().percentEncoded) : secret)
        }
        switch value {
        case .bool(let flag): return .text(flag ? "1" : "0")
        case .string(let text): return .text(text)
        case .array(let elements) where encoding == .repeated:
            return .list(elements.map { $0.string ?? $0.text })
        case .array(let elements): return .text(elements.map { $0.string ?? $0.text }.joined(separator: ","))
        case .null, .integer, .number, .object: return .text(value.text)
        }
    }

    private func computed(_ kind: CallTemplate.Computed, _ place: CallContext) -> Call.Parameter? {
        switch kind {
        case .tags: return ("tags", .text(tags(in: place).joined(separator: ";")))
        case .disk: return params["disk"]?.string.map { ($0, .text(diskText)) }
        case .guests: return ("vms", .text(place.guests.map(\.id.description).joined(separator: ",")))
        case .guestList: return ("vms", .list(place.guests.map(\.id.description)))
        }
    }

    /// The guest's tags as the call sends them: the current tags without those in `remove`, plus those in `add`.
    package func tags(in place: CallContext) -> [String] {
        func list(_ name: String) -> [String] { (params[name]?.array ?? []).compactMap(\.string) }
        return place.tagStyle.tags(
            TagStyle.list(place.config?["tags"]?.string ?? ""), adding: list("add"), removing: list("remove"))
    }

    /// A slot's value in PVE's syntax: an existing volume, or a new one with its size in GiB.
    private var diskText: String {
        var text = params["volume"]?.string ?? ""
        if text.isEmpty { text = "\(params["storage"]?.string ?? ""):\(params["size"]?.text ?? "")" }
        if let path = params["path"]?.string { text += ",mp=\(path)" }
        for option in ActionCatalog.diskOptions {
            guard let value = params[option.name] else { continue }
            text += ",\(option.name)=" + (value.bool.map { $0 ? "1" : "0" } ?? value.string ?? value.text)
        }
        return text
    }
}

// MARK: Calls that the caller spells out

extension ActionRequest {
    /// The node that `params.endpoint` names for a guest's firewall. It is checked once the guest has been found.
    package var endpointNode: NodeName? {
        guard spellsEndpoint else { return nil }
        return (try? endpoint())?.node
    }

    private func endpoint() throws(EndpointError) -> SpelledEndpoint {
        guard let method = params["method"]?.string.flatMap(CallMethod.init) else {
            throw EndpointError("needs a method")
        }
        return try SpelledEndpoint(
            params["endpoint"]?.string ?? "", method, for: target, params: params["params"]?.object ?? [:])
    }

    private func endpointCall() throws(EndpointError) -> Call {
        let endpoint = try endpoint()
        let method = params["method"]?.string.flatMap(CallMethod.init) ?? .put
        let given = params["params"]?.object ?? [:]
        var parameters = given.members.map { (name: $0.key, value: callValue($0.value, ["params", $0.key])) }
        guard method != .delete || secrets.isEmpty else {
            throw EndpointError("a DELETE takes no secret: its parameters stand in the URL, which PVE logs")
        }
        if endpoint.takesDigest(method), given["digest"] == nil { parameters.append(("digest", .observedDigest)) }
        return Call(method, endpoint.path, parameters)
    }
}
