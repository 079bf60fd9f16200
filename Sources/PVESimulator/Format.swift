/// The string formats of Proxmox VE's schema that the simulator checks.
enum Format: String, Sendable {
    case vmid
    case node
    case configid
    case configids = "configid-list"
    case storageID = "storage-id"
    case dnsName = "dns"
    case tags
    case memory
    case drive
    case vmNetwork = "net"
    case containerNetwork = "lxcnet"
    case mountPoint = "mp"
    case unusedVolume = "unused"
    case ipConfig = "ipconfig"
    case size
    case address = "fw-addr"
    case port = "fw-port"
    case cidr
    case contents = "content-list"
    case content
    case urlEncoded = "urlencoded"
    case word

    /// What is wrong with `text`, in Proxmox VE's words.
    func error(in text: String, named name: String) -> String? {
        switch self {
        case .vmid:
            return Int(text).map { $0 >= 100 && $0 <= 999_999_999 } == true
                ? nil : "invalid format - value does not look like a valid VM ID\n"
        case .node:
            return Self.isNode(text) ? nil : "invalid format - value does not look like a valid node name\n"
        case .configid:
            return Self.isConfigID(text) ? nil : "invalid format - invalid configuration ID '\(text)'\n"
        case .configids: return Self.list(text).isEmpty ? "invalid format - value is empty\n" : nil
        case .storageID: return Self.storageIDError(text)
        case .dnsName:
            return Self.isDNSName(text) ? nil : "invalid format - value does not look like a valid DNS name\n"
        case .tags:
            let bad = Self.list(text).contains { !Self.isTag($0) }
            return bad ? "invalid format - invalid characters in tag\n" : nil
        case .memory, .drive, .vmNetwork, .containerNetwork, .mountPoint, .unusedVolume, .ipConfig:
            return PropertyList.error(in: text, named: name, format: self)
        case .size: return Self.isSize(text) ? nil : "value does not match the regex pattern"
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
        case .word: return Self.isConfigID(text) ? nil : "value does not match the regex pattern"
        }
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
            return isAlphanumeric(first) && isAlphanumeric(last)
                && label.allSatisfy { isAlphanumeric($0) || $0 == "-" }
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
