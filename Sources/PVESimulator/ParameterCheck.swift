/// The parameters of one endpoint, written as text: `"newid!:vmid full:bool pos:int(0..) type!:enum(in|out)"`.
///
/// `!` marks required ones, `[n]` is a placeholder for a number, and the part after the colon is a ``ParameterType``.
struct ParameterTable: Sendable {
    private(set) var named: [String: ParameterType] = [:]
    private(set) var indexed: [String: ParameterType] = [:]
    private var required: [String] = []
    /// The parameters of the path.
    private(set) var captured: Set<String> = []

    init(_ text: String, path: String) {
        for segment in path.split(separator: "/") where segment.hasPrefix("{") {
            let name = segment.dropFirst().prefix { $0 != "*" && $0 != "}" }
            named[String(name)] = ParameterType(pathParameter: String(name))
            captured.insert(String(name))
        }
        for word in text.split(whereSeparator: \.isWhitespace) {
            let colon = word.firstIndex(of: ":") ?? word.endIndex
            var name = word[..<colon]
            let type = ParameterType(colon == word.endIndex ? "str" : word[word.index(after: colon)...])
            if name.hasSuffix("!") {
                name = name.dropLast()
                required.append(String(name))
            }
            if name.hasSuffix("[n]") { indexed[String(name.dropLast(3))] = type } else { named[String(name)] = type }
        }
    }

    /// The number of options of each numbered kind, counted from 0; by default 256.
    private static let counts = [
        "ide": 4, "scsi": 31, "sata": 6, "virtio": 16, "net": 32, "ipconfig": 32, "hostpci": 16, "usb": 14, "serial": 4,
        "parallel": 3, "numa": 8, "virtiofs": 10, "acmedomain": 6,
    ]

    func isRequired(_ name: String) -> Bool { captured.contains(name) || required.contains(name) }

    /// The type of `name`, if this endpoint knows it.
    func type(of name: String) -> ParameterType? {
        if let type = named[name] { return type }
        let stem = name.prefix { !$0.isNumber }
        guard let number = Int(name.dropFirst(stem.count)), number < Self.counts[String(stem)] ?? 256 else {
            return nil
        }
        return indexed[String(stem)]
    }

    /// Checks everything at once, as Proxmox VE does: one error text per parameter.
    func check(_ raw: [String: RawValue]) throws(Failure) -> (values: [String: String], lists: [String: [String]]) {
        var errors: [String: String] = [:]
        var values: [String: String] = [:]
        var lists: [String: [String]] = [:]
        for name in required where raw[name] == nil { errors[name] = "property is missing and it is not optional" }
        for (name, value) in raw {
            guard let type = type(of: name) else {
                errors[name] = "property is not defined in schema and the schema does not allow additional properties"
                continue
            }
            switch value {
            case .null: throw Failure("unable to parse value of '\(name)' - got undefined value")
            case .nested: errors[name] = "type check ('\(type.name)') failed - got HASH"
            case .list(let items):
                if type.base == .array {
                    lists[name] = items
                } else {
                    errors[name] = "type check ('\(type.name)') failed - got ARRAY"
                }
            case .text(let text):
                values[name] = text
                if type.base == .array { lists[name] = [text] }
                if let error = type.error(in: text, named: name) { errors[name] = error }
            }
        }
        for name in values.keys {
            guard let other = type(of: name)?.requires, raw[other] == nil else { continue }
            errors[other] = "missing property - '\(name)' requires this property"
        }
        guard errors.isEmpty else { throw .parameters(errors) }
        return (values, lists)
    }
}

/// Type and bounds of a parameter: `bool`, `int(0..5)`, `num`, `str(2..20)`, `enum(a|b)`, `intenum(1|2)`, `array`, or
/// the name of a ``Format``, a ``PropertyFormat`` or a long enumeration. `like(NAME=PATTERN)(2..8)` is a format of the
/// schema that a regular expression defines. A suffix `^other` requires another parameter.
struct ParameterType: Sendable {
    enum Base: String, Sendable { case boolean, integer, number, string, array }

    var base: Base
    /// The bounds of an integer's value or a string's length.
    var minimum: Int?
    var maximum: Int?
    var choices: [String] = []
    var format: Format?
    /// The schema's name for a format, and a pattern that matches the whole value.
    var shape: (name: String, pattern: String)?
    var properties: PropertyFormat?
    /// Another parameter that must also be present.
    var requires: String?

    var name: String { base.rawValue }

    init(_ text: some StringProtocol) {
        let halves = text.hasPrefix("like(") ? [text[...]] : text.split(separator: "^", maxSplits: 1)
        let text = String(halves[0])
        requires = halves.count > 1 ? String(halves[1]) : nil
        let word = text.prefix { $0 != "(" }
        var inner = text.dropFirst(word.count + 1).dropLast()
        base = .string
        switch word {
        case "bool": base = .boolean
        case "int": base = .integer
        case "num": base = .number
        case "array": base = .array
        case "intenum":
            base = .integer
            choices = Self.words(inner)
        case "enum": choices = Self.words(inner)
        case "str": break
        case "like":
            let form = inner
            let end = form.ranges(of: ")(").last
            let parts = form[..<(end?.lowerBound ?? form.endIndex)].split(separator: "=", maxSplits: 1)
            if parts.count == 2 { shape = (String(parts[0]), String(parts[1])) }
            inner = form[(end?.upperBound ?? form.endIndex)...]
        case _ where Self.enumerations[String(word)] != nil: choices = Self.enumerations[String(word)] ?? []
        default:
            format = Format.all[String(word)]
            properties = PropertyFormat.all[String(word)]
            if word == "vmid" { base = .integer }
        }
        guard choices.isEmpty else { return }
        let bounds = inner.split(separator: ".", omittingEmptySubsequences: false)
        minimum = bounds.first.flatMap { Int($0) }
        maximum = bounds.last.flatMap { Int($0) }
    }

    private static func words(_ text: some StringProtocol) -> [String] { text.split(separator: "|").map { String($0) } }

    init(pathParameter name: String) { self.init(Self.inPaths[name] ?? "str") }

    private static let inPaths = [
        "vmid": "vmid", "node": "node", "pos": "int(0..)", "snapname": "configid(..40)", "service": "service",
        "storage": "storage-id", "poolid": "poolid", "userid": "str(..64)", "name": "word(2..64)", "groupid": "groupid",
        "roleid": "roleid", "group": "word(2..18)", "rule": "configid", "sid": "ha-resource", "cidr": "fw-addr",
    ]
    private static let attached: [String] =
        (0...3).map { "ide\($0)" } + (0...30).map { "scsi\($0)" } + (0...15).map { "virtio\($0)" }
        + (0...5).map { "sata\($0)" } + ["efidisk0", "tpmstate0"]
    private static let mounted: [String] = ["rootfs"] + (0...255).map { "mp\($0)" }
    private static let unused = (0...255).map { "unused\($0)" }
    /// The names of a node's services.
    static let services = [
        "chrony", "corosync", "cron", "ksmtuned", "lxcfs", "postfix", "proxmox-firewall", "pve-cluster", "pve-firewall",
        "pve-ha-crm", "pve-ha-lrm", "pve-lxc-syscalld", "pvedaemon", "pvefw-logger", "pveproxy", "pvescheduler",
        "pvestatd", "qmeventd", "spiceproxy", "sshd", "syslog", "systemd-journald", "systemd-timesyncd",
    ]
    private static let enumerations = [
        "service": services, "disk": attached, "anydisk": attached + unused, "volume": mounted,
        "anyvolume": mounted + unused,
    ]

    /// The error for `text`, in Proxmox VE's words.
    func error(in text: String, named name: String) -> String? {
        switch base {
        case .array: return nil
        case .boolean: return text == "0" || text == "1" ? nil : "type check ('boolean') failed - got '\(text)'"
        case .integer, .number:
            guard let number = base == .integer ? Int(text).map({ Double($0) }) : Double(text) else {
                return "type check ('\(self.name)') failed - got '\(text)'"
            }
            if let format, let error = format.error(in: text) { return error }
            if let minimum, number < Double(minimum) { return "value must have a minimum value of \(minimum)" }
            if let maximum, number > Double(maximum) { return "value must have a maximum value of \(maximum)" }
        case .string:
            if let format, let error = format.error(in: text) { return error }
            if let shape, let form = try? Regex(shape.pattern), text.wholeMatch(of: form) == nil {
                return "invalid format - value does not look like a valid \(shape.name)\n"
            }
            if let properties, let error = PropertyList.error(in: text, named: name, format: properties) {
                return error
            }
            if let maximum, text.count > maximum { return "value may only be \(maximum) characters long" }
            if let minimum, text.count < minimum { return "value must be at least \(minimum) characters long" }
        }
        guard choices.isEmpty || choices.contains(text) else {
            return "value '\(text)' does not have a value in the enumeration '\(choices.joined(separator: ", "))'"
        }
        return nil
    }
}
