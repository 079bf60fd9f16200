import StrictJSON

/// The owner of a firewall.
enum FirewallScope: Sendable, Hashable {
    case cluster
    case node(String)
    case guest(Int)
}

/// One firewall file.
struct Firewall: Sendable {
    struct AddressSet: ConfigObject {
        var options: [String: String] = [:]
        var entries = Objects<[String: String]>()
    }

    struct Group: ConfigObject {
        var options: [String: String] = [:]
        var rules: [FirewallRule] = []
    }

    var options: [String: String] = [:]
    var rules: [FirewallRule] = []
    var aliases = Objects<[String: String]>()
    var sets = Objects<AddressSet>()
    var groups = Objects<Group>()
}

/// A rule, by the names of its parameters.
struct FirewallRule: Sendable {
    var fields: [String: String]

    static let names = [
        "action", "comment", "dest", "dport", "enable", "icmp-type", "iface", "log", "macro", "proto", "source",
        "sport", "type",
    ]

    var text: String { fields.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ") }

    /// The place is a number in lists and a string in single rules.
    func json(place: JSON, digest: String) -> JSON {
        var row: JSONObject = ["digest": .string(digest), "pos": place]
        for name in Self.names {
            guard let value = fields[name] else { continue }
            row[name] = name == "enable" ? JSON(Int(value) ?? 0) : .string(value)
        }
        if let address = fields["source"] ?? fields["dest"], let first = address.first, first.isNumber || first == ":" {
            row["ipversion"] = address.contains(":") ? 6 : 4
        }
        return .object(row)
    }

    static func digest(_ rules: [FirewallRule]) -> String { Digest.sha1(rules.map(\.text).joined(separator: "\n")) }
}

/// The rules of a scope or of a group, and the operations on them.
extension [FirewallRule] {
    func list() -> JSON {
        let digest = FirewallRule.digest(self)
        return .array(enumerated().map { $0.element.json(place: JSON($0.offset), digest: digest) })
    }

    func one(_ call: EndpointCall) throws(Failure) -> JSON {
        let place = try place(call)
        return self[place].json(place: .string(String(place)), digest: FirewallRule.digest(self))
    }

    private func place(_ call: EndpointCall) throws(Failure) -> Int {
        let place = call.int("pos") ?? 0
        guard indices.contains(place) else { throw Failure("no rule at position \(place)") }
        return place
    }

    private func checkDigest(_ call: EndpointCall) throws(Failure) { try call.checkDigest(FirewallRule.digest(self)) }

    private static func check(_ fields: [String: String]) throws(Failure) {
        if let macro = fields["macro"], !macros.contains(macro) {
            throw .parameters(["macro": "unknown macro '\(macro)'"])
        }
        if let action = fields["action"], fields["type"] != "group", !["ACCEPT", "DROP", "REJECT"].contains(action) {
            throw .parameters(["action": "unknown action '\(action)'"])
        }
        for port in ["dport", "sport"] where fields[port] != nil && fields["proto"] == nil && fields["macro"] == nil {
            throw .parameters(["proto": "missing property - '\(port)' requires this property"])
        }
    }

    /// Inserts a new rule at `pos` or at the front; the digest is ignored.
    mutating func add(_ call: EndpointCall) throws(Failure) {
        var fields = call.values.filter { FirewallRule.names.contains($0.key) }
        try Self.check(fields)
        fields["enable"] = fields["enable"] ?? "0"
        insert(FirewallRule(fields: fields), at: Swift.min(call.int("pos") ?? 0, count))
    }

    mutating func change(_ call: EndpointCall) throws(Failure) {
        try checkDigest(call)
        let place = try place(call)
        if let target = call.int("moveto") {
            let rule = remove(at: place)
            return insert(rule, at: Swift.min(target > place ? target - 1 : target, count))
        }
        var fields = self[place].fields
        for key in Format.list(call.text("delete")) { fields[key] = nil }
        for (key, value) in call.values where FirewallRule.names.contains(key) { fields[key] = value }
        try Self.check(fields)
        self[place].fields = fields
    }

    mutating func delete(_ call: EndpointCall) throws(Failure) {
        try checkDigest(call)
        remove(at: try place(call))
    }
}

/// Names of services, with their protocol and port.
let macros: Set<String> = [
    "Amanda", "Auth", "BGP", "BitTorrent", "BitTorrent32", "CVS", "Ceph", "Citrix", "DAAP", "DCC", "DHCPfwd", "DHCPv6",
    "DNS", "Distcc", "FTP", "Finger", "GNUnet", "GRE", "Git", "HKP", "HTTP", "HTTP/3", "HTTPS", "ICPV2", "ICQ", "IMAP",
    "IMAPS", "IPIP", "IPP", "IPPbrd", "IPPserver", "IPsec", "IPsecah", "IPsecnat", "IRC", "Jetdirect", "L2TP", "LDAP",
    "LDAPS", "MDNS", "MSNP", "MSSQL", "Mail", "McastDNS", "Munin", "MySQL", "NNTP", "NNTPS", "NTP", "NeighborDiscovery",
    "OSPF", "OpenVPN", "PCA", "PMG", "POP3", "POP3S", "PPtP", "Ping", "PostgreSQL", "Printer", "RDP", "RIP", "RNDC",
    "Razor", "Rdate", "Rsync", "SANE", "SMB", "SMBswat", "SMTP", "SMTPS", "SNMP", "SPAMD", "SSH", "SVN", "SixXS",
    "Squid", "Submission", "Syslog", "TFTP", "Telnet", "Telnets", "Time", "Trcrt", "VNC", "VNCL", "Web", "Webcache",
    "Webmin", "Whois",
]
