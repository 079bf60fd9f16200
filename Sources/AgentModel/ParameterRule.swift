import StrictJSON

/// A rule about parameters in relation to each other. Each violation is an issue with a pointer.
package enum ParameterRule: Sendable, Hashable {
    /// At most one of them.
    case notTogether(String, String)
    case atLeastOne([String])
    /// No key is both set and in this list.
    case notSetAndListed(String)
    /// The target's kind of guest can have the disk.
    case diskOfKind(String)
    /// No value is in both lists.
    case disjoint(String, String)
    /// The volume is on the target.
    case onTarget(String)
    /// An edit with `op` change gives at least one setting.
    case changesSomething
    case checksumFits
    /// The target has this kind of firewall object, and the object supports the operation.
    case firewallObject
    /// At least one member joins or leaves.
    case membersGiven

    /// Reports each violation of the rule, with a pointer to it.
    func check(_ params: JSONObject, of definition: ActionDefinition, on target: Target, _ reader: inout ObjectReader) {
        func names(_ list: String) -> [String] { (params[list]?.array ?? []).compactMap(\.string) }
        switch self {
        case .notTogether(let one, let other):
            if params[one] != nil, params[other] != nil { reader.report(other, "does not go together with \(one)") }
        case .atLeastOne(let wanted):
            if !params.keys.contains(where: { key in wanted.contains { $0.names(key) } }) {
                reader.report(wanted[0], "is missing; expected one of \(wanted.joined(separator: ", "))")
            }
        case .notSetAndListed(let list):
            for name in names(list) where params[name] != nil {
                reader.report(name, "is set and in \(list) as well; it can only be one")
            }
        case .diskOfKind(let name):
            guard let disk = params[name]?.string, let kind = target.guest?.kind else { return }
            if !TextForm.disk(kind).matches(disk) {
                reader.report(name, "expected a disk of a \(kind.noun), \(TextForm.disk(kind).pattern), got \(disk)")
            }
        case .disjoint(let one, let other):
            for name in names(other) where names(one).contains(name) {
                reader.report(other, "\(name) is in \(one) as well")
            }
        case .onTarget(let name):
            guard case .storage(let storage) = target, let volume = params[name]?.string else { return }
            if !volume.hasPrefix("\(storage):") { reader.report(name, "is not on storage \(storage), the target") }
        case .changesSomething:
            let set = definition.parameters.filter { !$0.agentOnly && !$0.required }
            if params["op"] == "change", !params.keys.contains(where: { key in set.contains { $0.matches(key) } }) {
                reader.report("op", "changes nothing: give what is to be changed, or delete")
            }
        case .checksumFits:
            let digits = ["sha256": 64, "sha384": 96, "sha512": 128][params["checksum-algorithm"]?.string ?? ""]
            if let digits, params["checksum"]?.string?.utf8.count != digits {
                reader.report("checksum", "expected \(digits) hexadecimal digits")
            }
        case .firewallObject: firewallObject(params, target, &reader)
        case .membersGiven:
            guard ["join", "leave"].contains(params["op"]?.string), params["vms"] == nil, params["storage"] == nil
            else { return }
            reader.report("vms", "is missing; expected vms, storage, or both")
        }
    }

    private func firewallObject(_ params: JSONObject, _ target: Target, _ reader: inout ObjectReader) {
        guard let object = params["object"]?.string, let op = params["op"]?.string else { return }
        let known: [String] =
            switch target.form {
            case .firewallCluster: ["rule", "options", "alias", "ipset", "ipset-entry", "group", "group-rule"]
            case .firewallNode: ["rule", "options"]
            default: ["rule", "options", "alias", "ipset", "ipset-entry"]
            }
        if !known.contains(object) {
            reader.report("object", "\(target) has no \(object); it has \(known.joined(separator: ", "))")
        }
        if object == "alias", let cidr = params["cidr"]?.string, !TextForm.network.matches(cidr) {
            reader.report("cidr", "expected an address or a network, got \(JSON.string(cidr).shown)")
        }
        if object == "options" ? op != "change" : (op == "change" && ["ipset", "group"].contains(object)) {
            reader.report("op", "\(object) takes \(object == "options" ? "change" : "add and remove") only")
        }
    }
}
