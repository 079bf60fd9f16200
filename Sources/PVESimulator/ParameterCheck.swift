/// The parameters of one endpoint, written as text: `"newid!:vmid full:bool pos:int(0..) type!:enum(in|out)"`.
///
/// `!` marks required ones, `[n]` stands for a number, and what follows the colon is a ``ParameterType``.
struct ParameterTable: Sendable {
    private var named: [String: ParameterType] = [:]
    private var indexed: [String: ParameterType] = [:]
    private var required: [String] = []

    init(_ text: String, path: String) {
        for segment in path.split(separator: "/") where segment.hasPrefix("{") {
            let name = segment.dropFirst().prefix { $0 != "*" && $0 != "}" }
            named[String(name)] = ParameterType(pathParameter: String(name))
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

    /// The type of `name`, if this endpoint knows it.
    func type(of name: String) -> ParameterType? {
        if let type = named[name] { return type }
        let stem = name.prefix { !$0.isNumber }
        guard stem.count < name.count, name.dropFirst(stem.count).allSatisfy(\.isNumber) else { return nil }
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
                errors[name] =
                    "property is not defined in schema and the schema does not allow additional properties"
                continue
            }
            switch value {
            case .null: throw .plain("unable to parse value of '\(name)' - got undefined value")
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
        guard errors.isEmpty else { throw .parameters(errors) }
        return (values, lists)
    }
}

/// Type and bounds of a parameter: `bool`, `int(0..5)`, `num`, `str(2..20)`, `enum(a|b)`, `array` or a format's name.
struct ParameterType: Sendable {
    enum Base: Sendable, Hashable { case boolean, integer, number, string, array }

    var base: Base
    var minimum: Int?
    var maximum: Int?
    var choices: [String] = []
    var format: Format?

    var name: String {
        switch base {
        case .boolean: "boolean"
        case .integer: "integer"
        case .number: "number"
        case .string: "string"
        case .array: "array"
        }
    }

    init(_ text: some StringProtocol) {
        let word = text.prefix { $0 != "(" }
        let inner = text.dropFirst(word.count + 1).dropLast()
        base = .string
        switch word {
        case "bool": base = .boolean
        case "int": base = .integer
        case "num": base = .number
        case "array": base = .array
        case "enum": choices = inner.split(separator: "|").map { String($0) }
        case "disk": choices = Self.disks
        case "volumes": choices = Self.volumes
        case "str": break
        default:
            format = Format(rawValue: String(word))
            if format == .vmid { base = .integer }
        }
        guard choices.isEmpty else { return }
        let bounds = inner.split(separator: ".", omittingEmptySubsequences: false)
        minimum = bounds.first.flatMap { Int($0) }
        maximum = bounds.last.flatMap { Int($0) }
    }

    init(pathParameter name: String) {
        switch name {
        case "vmid": self.init("vmid")
        case "pos": self.init("int(0..)")
        case "snapname": self.init("configid(..40)")
        default: self.init("str")
        }
    }

    static let disks: [String] =
        (0...3).map { "ide\($0)" } + (0...30).map { "scsi\($0)" } + (0...15).map { "virtio\($0)" }
        + (0...5).map { "sata\($0)" } + ["efidisk0", "tpmstate0"]
    static let volumes: [String] = ["rootfs"] + (0...255).map { "mp\($0)" }

    /// What is wrong with `text`, in Proxmox VE's words.
    func error(in text: String, named name: String) -> String? {
        switch base {
        case .array: return nil
        case .boolean:
            return text == "0" || text == "1" ? nil : "type check ('boolean') failed - got '\(text)'"
        case .integer, .number:
            guard let number = base == .integer ? Int(text).map({ Double($0) }) : Double(text) else {
                return "type check ('\(self.name)') failed - got '\(text)'"
            }
            if let format, let error = format.error(in: text, named: name) { return error }
            if let minimum, number < Double(minimum) { return "value must have a minimum value of \(minimum)" }
            if let maximum, number > Double(maximum) { return "value must have a maximum value of \(maximum)" }
            return nil
        case .string:
            if let format, let error = format.error(in: text, named: name) { return error }
            if let maximum, text.count > maximum { return "value may only be \(maximum) characters long" }
            if let minimum, text.count < minimum { return "value must be at least \(minimum) characters long" }
            guard choices.isEmpty || choices.contains(text) else {
                return "value '\(text)' does not have a value in the enumeration "
                    + "'\(choices.joined(separator: ", "))'"
            }
            return nil
        }
    }
}
