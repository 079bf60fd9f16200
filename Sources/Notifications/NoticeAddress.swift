/// Where a destination listens: an origin, and what stands behind it. It may be a secret as a whole, as the addresses of
/// incoming webhooks are, so it prints as its origin alone.
package struct NoticeAddress: Sendable, Hashable, CustomStringConvertible {
    /// `https://hooks.example`, for the check of host and port.
    package let origin: String
    /// Path and query, percent-encoded: `/services/T0/B0/x`.
    package let target: String

    /// Splits a URL behind its host. `nil` if path or query are not as they can stand in a request.
    package init?(_ text: String) {
        guard let start = text.firstRange(of: "://")?.upperBound else { return nil }
        let end = text[start...].firstIndex { "/?#".contains($0) } ?? text.endIndex
        let rest = text[end...]
        origin = String(text[..<end])
        target = rest.hasPrefix("/") ? String(rest) : "/" + rest
        let isWhole = target.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") }
        guard isWhole, target.utf8.count <= 2048 else { return nil }
    }

    package var description: String { origin + "/…" }

    /// The same address with this path behind its own.
    func appending(_ path: String) -> String { (target.hasSuffix("/") ? String(target.dropLast()) : target) + path }

    /// The last part of the path, and what stands before it; `nil` if there is none, or a query.
    package var lastPart: (parent: String, name: String)? {
        guard !target.contains("?"), let slash = target.lastIndex(of: "/") else { return nil }
        let name = target[target.index(after: slash)...]
        return name.isEmpty ? nil : (String(target[...slash]), String(name))
    }
}
