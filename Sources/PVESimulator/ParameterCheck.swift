/// The parameters of one endpoint, written as text: `"newid!:vmid full:bool pos:int(0..) type!:enum(in|out)"`.
///
/// `!` marks required ones, `[n]` stands for a number, and what follows the colon is a ``ParameterType``.
struct ParameterTable: Sendable {
    private(set) var named: [String: ParameterType] = [:]
    private(set) var indexed: [String: ParameterType] = [:]
    private var required: [String] = []
    /// Those that fill a gap in the path.
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

    /// How many there are of what is numbered from 0; 256 where nothing is said.
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
