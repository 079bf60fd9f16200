import StrictJSON

/// Aliases, address sets and groups of a firewall.
extension Firewall {
    var optionsJSON: JSONObject {
        var json: JSONObject = ["digest": .string(optionsDigest)]
        for (key, value) in options.sorted(by: { $0.key < $1.key }) {
            json[key] = Int(value).map { JSON($0) } ?? .string(value)
        }
        return json
    }

    private static func version(_ cidr: String) -> JSON { cidr.contains(":") ? 6 : 4 }

    private var aliasDigest: String {
        Self.digest(aliases.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.cidr) \($0.value.comment ?? "")" })
    }

    /// Only the list tells the digest.
    private func row(_ name: String, _ alias: Alias, digest: String? = nil) -> JSON {
        [
            "cidr": .string(alias.cidr), "comment": alias.comment.map { .string($0) },
            "digest": digest.map { .string($0) }, "ipversion": Self.version(alias.cidr), "name": .string(name),
        ]
    }

    var aliasRows: [JSON] {
        let digest = aliasDigest
        return aliases.sorted { $0.key < $1.key }.map { row($0.key, $0.value, digest: digest) }
    }

    func aliasRow(_ name: String) throws(Failure) -> JSON {
        guard let key = aliasKey(name), let alias = aliases[key] else { throw .parameters(["name": "no such alias"]) }
        return row(key, alias)
    }

    /// The name as it was written when it was made; large and small letters are the same.
    private func aliasKey(_ name: String) -> String? { aliases.keys.first { $0.lowercased() == name.lowercased() } }

    mutating func addAlias(_ call: EndpointCall) throws(Failure) {
        let name = call.text("name")
        guard aliasKey(name) == nil else { throw .parameters(["name": "alias '\(name)' already exists"]) }
        aliases[name] = Alias(cidr: call.text("cidr"), comment: call["comment"])
    }

    mutating func changeAlias(_ call: EndpointCall) throws(Failure) {
        let name = call.text("name")
        guard let key = aliasKey(name) else { throw .parameters(["name": "no such alias"]) }
        try call.checkDigest(aliasDigest)
        aliases[key] = nil
        aliases[call["rename"] ?? name] = Alias(cidr: call.text("cidr"), comment: call["comment"])
    }

    /// One that is not there is removed as well as any other.
    mutating func deleteAlias(_ call: EndpointCall) throws(Failure) {
        try call.checkDigest(aliasDigest)
        if let key = aliasKey(call.text("name")) { aliases[key] = nil }
    }

    func set(_ call: EndpointCall) throws(Failure) -> AddressSet {
        let name = call.text("name")
        guard let set = sets[name] else { throw Failure("no such IPSet '\(name)'") }
        return set
    }

    private var setsDigest: String {
        Self.digest(sets.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.comment ?? "")" })
    }

    var setRows: [JSON] {
        let digest = setsDigest
        return sets.sorted { $0.key < $1.key }.map { name, set in
            ["comment": set.comment.map { .string($0) }, "digest": .string(digest), "name": .string(name)]
        }
    }

    mutating func addSet(_ call: EndpointCall) throws(Failure) {
        let name = call.text("name")
        if let old = call["rename"] {
            try call.checkDigest(setsDigest)
            guard let set = sets[old] else { throw Failure("IPSet '\(old)' does not exist") }
            guard old == name || sets[name] == nil else {
                throw .parameters(["name": "IPSet '\(name)' already exists"])
            }
            sets[old] = nil
            sets[name] = AddressSet(comment: call["comment"] ?? set.comment, entries: set.entries)
            return
        }
        guard sets[name] == nil else { throw .parameters(["name": "IPSet '\(name)' already exists"]) }
        sets[name] = AddressSet(comment: call["comment"])
    }

    mutating func addEntry(_ call: EndpointCall) throws(Failure) {
        var set = try set(call)
        let cidr = call.text("cidr")
        guard !set.entries.contains(where: { $0.cidr == cidr }) else {
            throw .parameters(["cidr": "address '\(cidr)' already exists"])
        }
        set.entries.append(Entry(cidr: cidr, comment: call["comment"], isExcluded: call.flag("nomatch")))
        sets[call.text("name")] = set
    }

    mutating func changeEntry(_ call: EndpointCall) throws(Failure) {
        var set = try set(call)
        try set.check(call["digest"])
        guard let index = set.entries.firstIndex(where: { $0.cidr == call["cidr"] }) else {
            throw .parameters(["cidr": "no such IP/Network"])
        }
        set.entries[index].isExcluded = call.flag("nomatch")
        set.entries[index].comment = call["comment"]
        sets[call.text("name")] = set
    }

    mutating func deleteEntry(_ call: EndpointCall) throws(Failure) {
        var set = try set(call)
        try set.check(call["digest"])
        set.entries.removeAll { $0.cidr == call["cidr"] }
        sets[call.text("name")] = set
    }

    private var groupsDigest: String {
        Self.digest(groups.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.comment ?? "")" })
    }

    /// Adds a group; with `rename` it takes the place of the one named there.
    mutating func addGroup(_ call: EndpointCall) throws(Failure) {
        let name = call.text("group")
        guard let old = call["rename"] else {
            guard groups[name] == nil else { throw .parameters(["group": "Security group '\(name)' already exists"]) }
            groups[name] = Group(comment: call["comment"])
            return
        }
        try call.checkDigest(groupsDigest)
        guard let group = groups[old] else { throw .parameters(["group": "Security group '\(old)' does not exist"]) }
        guard old == name || groups[name] == nil else {
            throw .parameters(["group": "Security group '\(name)' does already exist"])
        }
        groups[old] = nil
        groups[name] = Group(comment: call["comment"] ?? group.comment, rules: group.rules)
    }

    var groupRows: [JSON] {
        let digest = groupsDigest
        return groups.sorted { $0.key < $1.key }.map { name, group in
            ["comment": group.comment.map { .string($0) }, "digest": .string(digest), "group": .string(name)]
        }
    }

    /// What rules may refer to.
    func references(_ type: String?) -> [JSON] {
        let aliasRows: [JSON] = aliases.sorted { $0.key < $1.key }.map { name, alias in
            [
                "comment": alias.comment.map { .string($0) }, "name": .string(name), "ref": .string("dc/\(name)"),
                "scope": "dc", "type": "alias",
            ]
        }
        let setRows: [JSON] = sets.sorted { $0.key < $1.key }.map { name, set in
            [
                "comment": set.comment.map { .string($0) }, "name": .string(name), "ref": .string("+dc/\(name)"),
                "scope": "dc", "type": "ipset",
            ]
        }
        return switch type {
        case "alias": aliasRows
        case "ipset": setRows
        default: aliasRows + setRows
        }
    }
}

extension Firewall.AddressSet {
    private var digest: String { Firewall.digest(entries.map { "\($0.cidr) \($0.isExcluded) \($0.comment ?? "")" }) }

    fileprivate func check(_ digest: String?) throws(Failure) {
        if let digest, digest != self.digest { throw .staleConfig }
    }

    private func row(_ entry: Firewall.Entry) -> JSON {
        [
            "cidr": .string(entry.cidr), "comment": entry.comment.map { .string($0) }, "digest": .string(digest),
            "nomatch": entry.isExcluded ? .some(1) : .none,
        ]
    }

    var rows: [JSON] { entries.map { row($0) } }

    func row(of cidr: String) throws(Failure) -> JSON {
        guard let entry = entries.first(where: { $0.cidr == cidr }) else {
            throw .parameters(["cidr": "no such IP/Network"])
        }
        return row(entry)
    }
}
