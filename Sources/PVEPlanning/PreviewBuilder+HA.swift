import AgentModel
import AgentService
import StrictJSON

/// Checks on the HA manager and its rules.
extension PreviewBuilder {
    private var sid: String { request.fill("{sid}", findings.callContext) }

    /// Whether the HA manager has given the guest up (state `error`): it then only accepts a request to disable it.
    func canBeAsked() -> [Check] {
        guard let guest, isManaged, findings.observed.shown["ha"]?["state"] == "error"
        else { return [] }
        let asks = calls.contains { call in
            if case .asked = request.definition.answer { return true }
            if call.taskTypes.contains(where: { $0.hasPrefix("ha") }) { return true }
            let isSetting = call.method == .put && call.path.starts(with: ["cluster", "ha", "resources"])
            return isSetting && call["state"].map { $0 != "disabled" } ?? false
        }
        guard asks else { return [] }
        return [
            Check(
                "ha-error", .block,
                "HA has \(guest) in state error and takes no request for it; mend what made it fail, then set it to "
                    + "disabled with ha_edit, and to started after that")
        ]
    }

    // MARK: Where rules want the guest

    /// The nodes on which HA wants the guest, from a rule or, on PVE 8, from its group.
    private struct Preference {
        let name: String
        /// The nodes with their priorities: HA chooses the highest priority among those online.
        let nodes: [String: Int]
        let isStrict: Bool
        let goesBack: Bool

        init(_ name: String, _ nodes: JSON?, isStrict: Bool, goesBack: Bool) {
            self.name = name
            self.nodes = PreviewBuilder.list(nodes).reduce(into: [:]) { nodes, entry in
                let parts = entry.split(separator: ":")
                guard let node = parts.first else { return }
                nodes[String(node)] = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
            }
            self.isStrict = isStrict
            self.goesBack = goesBack
        }
    }

    /// Warns of rules that would move the guest away from its new place.
    func ruleAllows(_ target: String) async throws(HypervisorError) -> [Check] {
        guard let guest, isManaged else { return [] }
        let preferences: [Preference]
        do throws(HypervisorError) { preferences = try await self.preferences() } catch {
            guard case .refused(let upstream) = error, !upstream.isFromGateway else { throw error }
            return [Check("ha-rule", .warn, "HA's rules cannot be read, which may move \(guest): \(upstream.reason)")]
        }
        let online = Set(
            (try await read(["nodes"]).array ?? []).filter { $0["status"] == "online" }.compactMap {
                $0["node"]?.string
            })
        return preferences.compactMap { preference in
            let able = preference.nodes.filter { online.contains($0.key) }
            guard let best = able.values.max() else { return nil }
            let names = able.filter { $0.value == best }.keys.sorted()
            if preference.isStrict, preference.nodes[target] == nil {
                return Check(
                    "ha-rule", .warn,
                    "HA moves \(guest) back: \(preference.name) allows it on \(preference.nodes.keys.sorted().joined(separator: ", ")) only"
                )
            }
            guard preference.goesBack, !names.contains(target) else { return nil }
            return Check(
                "ha-rule", .warn,
                "HA moves \(guest) back: \(preference.name) prefers \(names.joined(separator: ", "))")
        }
    }

    private func preferences() async throws(HypervisorError) -> [Preference] {
        let resource = try await read(["cluster", "ha", "resources", sid])
        let goesBack = flag(resource, "failback", of: sid, absent: true)
        guard let rules = try await haRules() else {
            guard let name = resource["group"]?.string else { return [] }
            let group = try await read(["cluster", "ha", "groups", name])
            return [
                Preference(
                    "group \(name)", group["nodes"], isStrict: flag(group, "restricted", of: "group \(name)"),
                    goesBack: !flag(group, "nofailback", of: "group \(name)"))
            ]
        }
        return rules.filter { rule in
            rule["type"] == "node-affinity" && !flag(rule, "disable", of: Self.name(of: rule))
                && Self.list(rule["resources"]).contains(sid)
        }.map { rule in
            Preference(
                Self.name(of: rule), rule["nodes"], isStrict: flag(rule, "strict", of: Self.name(of: rule)),
                goesBack: goesBack)
        }
    }

    private static func name(of rule: JSON) -> String { "rule \(rule["rule"]?.string ?? "?")" }

    /// All rules; `nil` where this PVE version has groups instead.
    private func haRules() async throws(HypervisorError) -> [JSON]? {
        do throws(HypervisorError) { return try await read(["cluster", "ha", "rules"]).array ?? [] } catch {
            guard error.isUnknownPath else { throw error }
            return nil
        }
    }

    // MARK: Rules themselves

    /// Checks for what PVE would refuse in a rule.
    func ruleFits() async throws(HypervisorError) -> [Check] {
        guard request.target == .cluster, request.params["op"] != "remove" else { return [] }
        guard let rules = try await haRules() else {
            return [Check("ha-rule", .block, "this PVE has groups of HA and no rules; those came with PVE 9")]
        }
        func value(_ key: String) -> JSON? { request.params[key] ?? findings.object?[key] }
        let resources = Set(Self.list(value("resources")))
        let managed = try await read(["cluster", "ha", "resources"]).array ?? []
        var checks = resources.subtracting(managed.compactMap { $0["sid"]?.string }).sorted().map { sid in
            Check("ha-rule", .block, "HA does not manage \(sid); let it with ha_edit first")
        }
        let nodes = (try await read(["nodes"]).array ?? []).compactMap { $0["node"]?.string }
        let places = Self.list(value("nodes")).map { String($0.prefix { $0 != ":" }) }
        checks += Set(places).subtracting(nodes).sorted().map { name in
            Check("ha-rule", .block, "there is no node \(name); there are \(nodes.sorted().joined(separator: ", "))")
        }
        guard value("type") == "resource-affinity" else { return checks }
        if resources.count < 2 {
            checks.append(Check("ha-rule", .block, "a rule about guests together or apart needs two or more of them"))
        }
        let isApart = value("affinity") == "negative"
        if isApart, resources.count > nodes.count {
            checks.append(
                Check("ha-rule", .block, "\(resources.count) guests cannot be kept apart on \(nodes.count) nodes"))
        }
        return checks + contradictions(to: resources, isApart: isApart, among: rules)
    }

    /// Active rules that require the opposite for two of the guests.
    private func contradictions(to resources: Set<String>, isApart: Bool, among rules: [JSON]) -> [Check] {
        rules.filter { rule in
            rule["type"] == "resource-affinity" && !flag(rule, "disable", of: Self.name(of: rule))
                && rule["rule"]?.string != text("rule") && (rule["affinity"] == "negative") != isApart
                && resources.intersection(Self.list(rule["resources"])).count > 1
        }.map { rule in
            Check("ha-rule", .block, "\(Self.name(of: rule)) wants the opposite for two of these guests")
        }
    }
}

extension HypervisorError {
    /// This PVE version has no such path.
    var isUnknownPath: Bool {
        guard case .refused(let upstream) = self else { return false }
        return upstream.status == 501
    }
}
