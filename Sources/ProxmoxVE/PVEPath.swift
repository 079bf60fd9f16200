import AgentModel

/// The path of one API endpoint below `/api2/json`, built from its parts; each part is percent-encoded as a whole.
package struct PVEPath: Sendable, Hashable, CustomStringConvertible {
    /// Why a text cannot be part of a path.
    package enum Invalid: Error, Sendable, Hashable {
        /// Empty, `.` or `..`, which would name another endpoint.
        case misleading
        /// Proxmox VE decodes `%2F` before it looks up the endpoint, so a slash would begin another part.
        case slash
        /// A control character.
        case control
    }

    /// Begins with a slash: `/nodes/pve1/qemu/100`.
    package let encoded: String

    package var description: String { encoded }

    /// Joins `parts`: `PVEPath("nodes", node, "qemu", vmid, "config")`.
    package init(_ parts: any CustomStringConvertible...) throws(Invalid) {
        encoded = try Self.join(parts.map(\.description))
    }

    /// Joins `parts` and `rest`, for endpoints whose last name may contain slashes: a volume (`local:iso/a.iso`) or a
    /// network (`192.0.2.0/24`).
    package init(_ parts: any CustomStringConvertible..., rest: String) throws(Invalid) {
        for piece in rest.split(separator: "/", omittingEmptySubsequences: false) { try Self.check(piece) }
        encoded = try Self.join(parts.map(\.description)) + "/" + rest.percentEncoded
    }

    /// Joins `segments`; the last one may contain slashes, like the name of a volume or a network.
    init(segments: [String]) throws(Invalid) {
        guard let last = segments.last, last.utf8.contains(UInt8(ascii: "/")) else {
            encoded = try Self.join(segments)
            return
        }
        for piece in last.split(separator: "/", omittingEmptySubsequences: false) { try Self.check(piece) }
        encoded = try Self.join(segments.dropLast()) + "/" + last.percentEncoded
    }

    private static func join(_ parts: [String]) throws(Invalid) -> String {
        var path = ""
        for part in parts {
            guard !part.utf8.contains(UInt8(ascii: "/")) else { throw .slash }
            try check(part[...])
            path += "/" + part.percentEncoded
        }
        guard !path.isEmpty else { throw .misleading }
        return path
    }

    private static func check(_ part: Substring) throws(Invalid) {
        guard !part.isEmpty, part != ".", part != ".." else { throw .misleading }
        guard part.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { throw .control }
    }
}
