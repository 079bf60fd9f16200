import FoundationEssentials
import HTTPMessage
import HTTPTypes
import StrictJSON

/// The header fields in which a request says again what its body says.
struct RequestHeaders {
    let fields: HTTPFields

    static let version = name("MCP-Protocol-Version")
    static let method = name("Mcp-Method")
    static let name = name("Mcp-Name")

    /// The version in the header; `nil` without one, or with several.
    var version: String? { try? single(Self.version) }

    /// Throws unless the headers equal the body. `name` is what `Mcp-Name` must be; `nil` where it is not looked at.
    func check(version: String, method: String, name: String?) throws(RPCError) {
        try check(Self.version, version)
        try check(Self.method, method)
        if let name { try check(Self.name, name, mayBeEncoded: true) }
    }

    private func check(
        _ field: HTTPField.Name, _ wanted: String, mayBeEncoded: Bool = false
    ) throws(RPCError) {
        guard let found = try single(field) else {
            throw .badHeader("the header \(field.rawName) is missing; it must equal the body")
        }
        guard (mayBeEncoded ? Self.decoded(found) : found)?.utf8.elementsEqual(wanted.utf8) == true else {
            throw .badHeader("the header \(field.rawName) does not equal the body")
        }
    }

    private func single(_ field: HTTPField.Name) throws(RPCError) -> String? {
        let values = fields[values: field]
        guard values.count < 2 else { throw .badHeader("the header \(field.rawName) stands twice") }
        return values.first.map(Self.trimmed)
    }

    private static func trimmed(_ text: String) -> String {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        let start = text.utf8.drop(while: isBlank)
        let end = start.lastIndex { !isBlank($0) }.map { start.index(after: $0) } ?? start.startIndex
        return String(text[start.startIndex..<end])
    }

    /// The text behind `=?base64?…?=`, or the text itself; `nil` if the former is not well-formed.
    private static func decoded(_ text: String) -> String? {
        guard text.hasPrefix("=?base64?"), text.hasSuffix("?="), text.utf8.count >= 11 else { return text }
        let payload = String(text.dropFirst(9).dropLast(2))
        guard let data = Data(base64Encoded: payload), data.base64EncodedString() == payload else { return nil }
        return String(validating: data, as: UTF8.self)
    }

    private static func name(_ text: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(text) else { preconditionFailure("\(text) is no field name") }
        return name
    }
}
