/// A string format of Proxmox VE's schema that the simulator checks.
struct Format: Sendable {
    /// Its name in parameter tables.
    var word: String
    /// Proxmox VE's error text for an invalid value; `%` is the value.
    private var complaint: String
    /// The separator of the items, each of which is checked; `nil` if the whole text is checked at once.
    private var separators: String?
    private var isValid: @Sendable (String) -> Bool

    private init(
        _ word: String, _ complaint: String, by separators: String? = nil,
        _ isValid: @escaping @Sendable (String) -> Bool
    ) {
        (self.word, self.separators, self.isValid) = (word, separators, isValid)
        self.complaint = "invalid format - \(complaint)\n"
    }

    private init(pattern word: String, _ isValid: @escaping @Sendable (String) -> Bool) {
        self.init(word, "", isValid)
        complaint = "value does not match the regex pattern"
    }

    /// The error for `text`, in Proxmox VE's words.
    func error(in text: String) -> String? {
        let items = separators.map { marks in text.split { marks.contains($0) }.map { String($0) } } ?? [text]
        return items.first { !isValid($0) }.map { complaint.replacing("%", with: $0) }
    }

    static let all: [String: Format] = table.reduce(into: [:]) { $0[$1.word] = $1 }

    private static let blanks = ",; \0\n\t"
    private static let table: [Format] =
        [
            Format("vmid", "value does not look like a valid VM ID", isGuest),
            Format("vmid-list", "value does not look like a valid VM ID", by: blanks, isGuest),
            Format("node", "value does not look like a valid node name", isNode),
            Format("node-list", "value does not look like a valid node name", by: blanks, isNode),
            Format("configid", "invalid configuration ID '%'", isConfigID),
            Format("configid-list", "value is empty") { !list($0).isEmpty },
            Format("storage-id", "storage ID '%' contains illegal characters", isStorage),
            Format("storage-id-list", "storage ID '%' contains illegal characters", by: blanks, isStorage),
            Format("storage-pair-list", "storage ID '%' contains illegal characters", by: blanks + ":") {
                $0 == "1" || isStorage($0)
            }, Format("volume-id", "unable to parse volume ID '%'") { $0.contains(":") },
            Format("dns", "value does not look like a valid DNS name", isDNSName),
            Format("dns-list", "value does not look like a valid DNS name", by: blanks, isDNSName),
            Format("tags", "invalid characters in tag", by: blanks) {
                $0.wholeMatch(of: /[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*/) != nil
            }, Format("fw-addr", "invalid IP address: Invalid chars in IP %", by: ",", isAddress),
            Format("fw-port", "invalid port '%'", by: ",:") { Int($0).map { (0...65535).contains($0) } ?? true },
            Format("cidr", "value does not look like a valid IP address or CIDR", isAddress),
            Format("content", "invalid content type '%'", isContent),
            Format("content-list", "invalid content type '%'", by: blanks, isContent),
            Format("urlencoded", "invalid urlencoded string: %") {
                $0.allSatisfy { $0.isLetter || $0.isNumber || "-_.!~*'()%".contains($0) }
            },
            Format("poolid", "value '%' does not look like a valid pool name") {
                $0.wholeMatch(of: /[a-zA-Z0-9\-_.]+(\/[a-zA-Z0-9\-_.]+){0,2}/) != nil
            },
            Format("iface", "invalid network interface name '%'") {
                $0.wholeMatch(of: /[a-zA-Z][a-zA-Z0-9_]{1,20}([:.]\d+)?/) != nil
            },
            Format("replication-id", "invalid replication job id '%'") {
                $0.wholeMatch(of: /[1-9][0-9]{2,8}-\d{1,9}/) != nil
            }, Format("ha-resource", "value does not look like a valid ha resource id", isHAResource),
            Format("ha-resource-list", "value does not look like a valid ha resource id", by: blanks, isHAResource),
            Format("ha-node-list", "value does not look like a valid ha node id", by: blanks) {
                $0.wholeMatch(of: /[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(:\d+)?/) != nil
            },
            Format("startup", "unable to parse startup options") {
                $0.wholeMatch(of: /(order=)?\d+(,(up|down)=\d+)*|(up|down)=\d+(,(order|up|down)=\d+)*/) != nil
            }, Format("storage-path", "value '%' does not look like a valid absolute path") { $0.hasPrefix("/") },
            Format("privileges", "invalid privilege '%'", by: blanks) { Access.privileges.contains($0) },
            Format("userid-list", "value '%' does not look like a valid user name", by: blanks) { $0.contains("@") },
            Format("tokenid-list", "value '%' does not look like a valid user name", by: blanks) { $0.contains("@") },
            Format("hotplug", "value does not look like a valid hotplug features") { text in
                ["0", "1"].contains(text) || list(text).allSatisfy { hotplugFeatures.contains($0) }
            }, Format(pattern: "size") { $0.wholeMatch(of: /\+?\d+(\.\d+)?[KMGT]?/) != nil },
            Format(pattern: "volume-size") { $0.wholeMatch(of: /\d+[MG]?/) != nil },
            Format(pattern: "word") { $0.wholeMatch(of: /[A-Za-z][A-Za-z0-9_-]+/) != nil },
            Format(pattern: "keys") { $0.wholeMatch(of: /[0-9a-zA-Z!=]{0,4096}/) != nil },
            Format(pattern: "url") { $0.wholeMatch(of: /https?:\/\/.*/) != nil },
            Format(pattern: "time") { $0.wholeMatch(of: /\d{1,2}:\d{1,2}/) != nil },
            Format(pattern: "uuid") {
                $0.wholeMatch(of: /[a-fA-F0-9]{8}(-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01]/) != nil
            }, Format(pattern: "bootdisk") { $0.wholeMatch(of: /(ide|sata|scsi|virtio)\d+/) != nil },
            Format(pattern: "serial") { $0.wholeMatch(of: /\/dev\/.+|socket/) != nil },
            Format(pattern: "parallel") { $0.wholeMatch(of: /\/dev\/parport\d+|\/dev\/usb\/lp\d+/) != nil },
            Format(pattern: "startdate") {
                $0.wholeMatch(of: /now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?/) != nil
            }, Format(pattern: "fingerprint") { $0.wholeMatch(of: /([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2}/) != nil },
        ]
        + ["groupid", "groupid-list", "roleid", "roleid-list"].map { word in
            Format(word, "'%' contains invalid characters", by: blanks) { $0.wholeMatch(of: /[A-Za-z0-9.\-_]+/) != nil }
        }

    private static let hotplugFeatures = ["cloudinit", "cpu", "disk", "memory", "network", "usb"]
    private static let contentTypes: Set<String> = [
        "images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none",
    ]

    /// The items of a list parameter, separated by commas, semicolons, blanks and NULs.
    static func list(_ text: String) -> [String] { text.split { blanks.contains($0) }.map { String($0) } }

    static func isAlphanumeric(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber)
    }

    @Sendable static func isConfigID(_ text: String) -> Bool {
        guard let first = text.first, first.isASCII, first.isLetter, text.count > 1 else { return false }
        return text.allSatisfy { isAlphanumeric($0) || $0 == "-" || $0 == "_" }
    }

    @Sendable private static func isGuest(_ text: String) -> Bool {
        Int(text).map { (100...999_999_999).contains($0) } ?? false
    }

    @Sendable private static func isNode(_ text: String) -> Bool {
        guard let first = text.first, let last = text.last else { return false }
        return isAlphanumeric(first) && isAlphanumeric(last) && text.allSatisfy { isAlphanumeric($0) || $0 == "-" }
    }

    @Sendable private static func isStorage(_ text: String) -> Bool {
        guard let first = text.first, let last = text.last, first.isASCII, first.isLetter else { return false }
        return text.count > 1 && isAlphanumeric(last) && text.allSatisfy { isAlphanumeric($0) || "-_.".contains($0) }
    }

    @Sendable private static func isDNSName(_ text: String) -> Bool {
        text.wholeMatch(
            of: /[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*/) != nil
    }

    @Sendable private static func isContent(_ text: String) -> Bool { contentTypes.contains(text) }

    @Sendable private static func isHAResource(_ text: String) -> Bool {
        text.wholeMatch(of: /\d+|[^:\s]+:[^:\s]+/) != nil
    }

    /// An IPv4 or IPv6 address, network or range, or the name of an alias or set.
    @Sendable static func isAddress(_ text: String) -> Bool {
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
