/// The string formats of Proxmox VE's schema that the simulator checks, by their words in parameter tables.
enum Format: String, Sendable, CaseIterable {
    case vmid, node, configid, tags, size, iface, cidr, content, url, time, uuid, fingerprint
    case vmids = "vmid-list"
    case nodes = "node-list"
    case configids = "configid-list"
    case storageID = "storage-id"
    case storageIDs = "storage-id-list"
    case storagePairs = "storage-pair-list"
    case volumeID = "volume-id"
    case poolID = "poolid"
    case dnsName = "dns"
    case dnsNames = "dns-list"
    case address = "fw-addr"
    case port = "fw-port"
    case contents = "content-list"
    case urlEncoded = "urlencoded"
    case word
    case replicationID = "replication-id"
    case haNodes = "ha-node-list"
    case haResource = "ha-resource"
    case haResources = "ha-resource-list"
    case startup
    case groupid, roleid, privileges, keys
    case groupids = "groupid-list"
    case roleids = "roleid-list"
    case userids = "userid-list"
    case tokenids = "tokenid-list"
    case volumeSize = "volume-size"
    case path = "storage-path"
    case bootdisk, hotplug, serial, parallel, startdate

    /// What is wrong with `text`, in Proxmox VE's words.
    func error(in text: String) -> String? {
        switch self {
        case .vmid:
            return Int(text).map { $0 >= 100 && $0 <= 999_999_999 } == true
                ? nil : "invalid format - value does not look like a valid VM ID\n"
        case .node: return Self.isNode(text) ? nil : "invalid format - value does not look like a valid node name\n"
        case .configid: return Self.isConfigID(text) ? nil : "invalid format - invalid configuration ID '\(text)'\n"
        case .configids: return Self.list(text).isEmpty ? "invalid format - value is empty\n" : nil
        case .storageID: return Self.storageIDError(text)
        case .vmids: return Self.error(inItemsOf: text, as: .vmid)
        case .nodes: return Self.error(inItemsOf: text, as: .node)
        case .storageIDs: return Self.error(inItemsOf: text, as: .storageID)
        case .dnsNames: return Self.error(inItemsOf: text, as: .dnsName)
        case .haResources: return Self.error(inItemsOf: text, as: .haResource)
        case .storagePairs:
            let ids = Self.list(text).flatMap { $0.split(separator: ":").map { String($0) } }
            return ids.lazy.filter { $0 != "1" }.compactMap { Self.storageIDError($0) }.first
        case .dnsName:
            return Self.isDNSName(text) ? nil : "invalid format - value does not look like a valid DNS name\n"
        case .tags:
            let bad = Self.list(text).contains { !Self.isTag($0) }
            return bad ? "invalid format - invalid characters in tag\n" : nil
        case .address:
            let bad = text.split(separator: ",").first { !Self.isAddress(String($0)) }
            return bad.map { "invalid format - invalid IP address: Invalid chars in IP \($0)\n" }
        case .port:
            let parts = text.split(whereSeparator: { $0 == "," || $0 == ":" })
            let bad = parts.first { Int($0).map { $0 < 0 || $0 > 65535 } ?? false }
            return bad.map { "invalid format - invalid port '\($0)'\n" }
        case .cidr:
            return Self.isAddress(text) ? nil : "invalid format - value does not look like a valid IP address or CIDR\n"
        case .contents, .content:
            let bad = Self.list(text).first { !Self.contentTypes.contains($0) }
            return bad.map { "invalid format - invalid content type '\($0)'\n" }
        case .urlEncoded:
            let unescaped = text.first { !($0.isLetter || $0.isNumber || "-_.!~*'()%".contains($0)) }
            return unescaped == nil ? nil : "invalid format - invalid urlencoded string: \(text)\n"
        default: return rarerError(in: text)
        }
    }

    private func rarerError(in text: String) -> String? {
        switch self {
        case .volumeID: text.contains(":") ? nil : "invalid format - unable to parse volume ID '\(text)'\n"
        case .poolID:
            Self.isPoolID(text) ? nil : "invalid format - value '\(text)' does not look like a valid pool name\n"
        case .iface:
            text.wholeMatch(of: /[a-zA-Z][a-zA-Z0-9_]{1,20}([:.]\d+)?/) != nil
                ? nil : "invalid format - invalid network interface name '\(text)'\n"
        case .replicationID:
            text.wholeMatch(of: /[1-9][0-9]{2,8}-\d{1,9}/) != nil
                ? nil : "invalid format - invalid replication job id '\(text)'\n"
        case .haResource:
            text.wholeMatch(of: /\d+|[^:\s]+:[^:\s]+/) != nil
                ? nil : "invalid format - value does not look like a valid ha resource id\n"
        case .haNodes:
            Self.list(text).allSatisfy { $0.wholeMatch(of: /[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(:\d+)?/) != nil }
                ? nil : "invalid format - value does not look like a valid ha node id\n"
        case .startup:
            text.wholeMatch(of: /(order=)?\d+(,(up|down)=\d+)*|(up|down)=\d+(,(order|up|down)=\d+)*/) != nil
                ? nil : "invalid format - unable to parse startup options\n"
        case .path:
            text.hasPrefix("/") ? nil : "invalid format - value '\(text)' does not look like a valid absolute path\n"
        case .privileges:
            Self.list(text).first { !Access.privileges.contains($0) }.map {
                "invalid format - invalid privilege '\($0)'\n"
            }
        case .userids, .tokenids:
            Self.list(text).first { !$0.contains("@") }.map {
                "invalid format - value '\($0)' does not look like a valid user name\n"
            }
        case .groupid, .groupids, .roleid, .roleids:
            Self.list(text).allSatisfy { $0.wholeMatch(of: /[A-Za-z0-9.\-_]+/) != nil }
                ? nil : "invalid format - '\(text)' contains invalid characters\n"
        case .hotplug:
            ["0", "1"].contains(text) || Self.list(text).allSatisfy { Self.hotplugFeatures.contains($0) }
                ? nil : "invalid format - value does not look like a valid hotplug features\n"
        default: matchesPattern(text) ? nil : "value does not match the regex pattern"
        }
    }

    /// Whether `text` is as the schema's regular expression for this format wants it.
    private func matchesPattern(_ text: String) -> Bool {
        switch self {
        case .size: Self.isSize(text)
        case .volumeSize: text.wholeMatch(of: /\d+[MG]?/) != nil
        case .word: text.wholeMatch(of: /[A-Za-z][A-Za-z0-9_-]+/) != nil
        case .keys: text.wholeMatch(of: /[0-9a-zA-Z!=]{0,4096}/) != nil
        case .url: text.wholeMatch(of: /https?:\/\/.*/) != nil
        case .time: text.wholeMatch(of: /\d{1,2}:\d{1,2}/) != nil
        case .uuid: text.wholeMatch(of: /[a-fA-F0-9]{8}(-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01]/) != nil
        case .bootdisk: text.wholeMatch(of: /(ide|sata|scsi|virtio)\d+/) != nil
        case .serial: text.wholeMatch(of: /\/dev\/.+|socket/) != nil
        case .parallel: text.wholeMatch(of: /\/dev\/parport\d+|\/dev\/usb\/lp\d+/) != nil
        case .startdate: text.wholeMatch(of: /now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?/) != nil
        case .fingerprint: text.wholeMatch(of: /([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2}/) != nil
        default: true
        }
    }

    private static let hotplugFeatures = ["cloudinit", "cpu", "disk", "memory", "network", "usb"]

    private static func error(inItemsOf text: String, as format: Format) -> String? {
        list(text).lazy.compactMap { format.error(in: $0) }.first
    }

    static let contentTypes: Set<String> = [
        "images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none",
    ]

    /// The items of a list parameter, which commas, semicolons, blanks and NULs part.
    static func list(_ text: String) -> [String] {
        text.split(whereSeparator: { ",; \0\n\t".contains($0) }).map { String($0) }
    }

    static func isAlphanumeric(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber)
    }

    static func isNode(_ text: String) -> Bool {
        guard let first = text.first, let last = text.last, isAlphanumeric(first), isAlphanumeric(last) else {
            return false
        }
        return text.allSatisfy { isAlphanumeric($0) || $0 == "-" }
    }

    static func isConfigID(_ text: String) -> Bool {
        guard let first = text.first, first.isASCII, first.isLetter, text.count > 1 else { return false }
        return text.allSatisfy { isAlphanumeric($0) || $0 == "-" || $0 == "_" }
    }

    static func isTag(_ text: String) -> Bool {
        guard let first = text.first, isAlphanumeric(first) || first == "_" else { return false }
        return text.allSatisfy { isAlphanumeric($0) || "_-+.".contains($0) }
    }

    static func isDNSName(_ text: String) -> Bool {
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        return labels.allSatisfy { label in
            guard let first = label.first, let last = label.last, label.count <= 63 else { return false }
            return isAlphanumeric(first) && isAlphanumeric(last) && label.allSatisfy { isAlphanumeric($0) || $0 == "-" }
        }
    }

    /// Up to three names, one inside the other.
    static func isPoolID(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count <= 3
            && parts.allSatisfy { part in
                !part.isEmpty && part.allSatisfy { isAlphanumeric($0) || "-_.".contains($0) }
            }
    }

    static func storageIDError(_ text: String) -> String? {
        guard let first = text.first, first.isASCII, first.isLetter, text.count > 1,
            text.allSatisfy({ isAlphanumeric($0) || "-_.".contains($0) }), text.last.map(isAlphanumeric) == true
        else { return "invalid format - storage ID '\(text)' contains illegal characters\n" }
        return nil
    }

    static func isSize(_ text: String) -> Bool {
        var rest = text.first == "+" ? text.dropFirst() : text[...]
        if let unit = rest.last, "KMGT".contains(unit) { rest = rest.dropLast() }
        return !rest.isEmpty && rest.first != "." && rest.last != "." && rest.allSatisfy { $0.isNumber || $0 == "." }
    }

    /// An IPv4 or IPv6 address, network or range, or the name of an alias or set.
    static func isAddress(_ text: String) -> Bool {
        guard let first = text.first else { return false }
        if first == "+" || (first.isLetter && !text.contains(":")) { return isReference(text) }
        let network = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        if network.count == 2, Int(network[1]).map({ (0...128).contains($0) }) != true { return false }
        return network[0].split(separator: "-").allSatisfy { part in
            if part.contains(":") { return part.allSatisfy { $0.isHexDigit || $0 == ":" || $0 == "." } }
            let bytes = part.split(separator: ".", omittingEmptySubsequences: false)
            return bytes.count == 4 && bytes.allSatisfy { UInt8($0) != nil }
        }
    }

    private static func isReference(_ text: String) -> Bool {
        let name = text.first == "+" ? text.dropFirst() : text[...]
        return name.first?.isLetter == true && name.last != "."
            && name.allSatisfy { isAlphanumeric($0) || "-_/.".contains($0) } && !text.contains("..")
    }
}
