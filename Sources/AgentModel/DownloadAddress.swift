/// The address of a file to download, in comparable parts: two spellings of one location are equal.
///
/// An address that a server could read in more than one way is refused: dot segments in any encoding, encoded slashes,
/// double encoding, empty segments, a user name.
package struct DownloadAddress: Sendable, Hashable {
    /// `http` or `https`.
    package let scheme: String
    /// In lower case, without the dot of the root.
    package let host: String
    package let port: Int
    /// The path's segments, decoded; none for `/`.
    package let segments: [String]
    /// The path ends with a slash.
    package let isFolder: Bool
    /// What follows the first `?`.
    package let query: String?

    package init?(_ text: String) {
        guard TextForm.url.matches(text), !text.contains("#"), !text.contains("@"), !text.contains("\\"),
            let end = text.firstRange(of: "://")
        else { return nil }
        scheme = String(text[..<end.lowerBound])
        guard let standard = ["http": 80, "https": 443][scheme] else { return nil }
        let rest = text[end.upperBound...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        guard let place = Self.place(authority) else { return nil }
        host = place.host
        port = place.port ?? standard
        let parts = rest.dropFirst(authority.count).split(
            separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        query = parts.count > 1 ? String(parts[1]) : nil
        guard let path = parts.first, path.first == "/" else { return nil }
        var encoded = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        isFolder = encoded.last?.isEmpty ?? true
        if isFolder, !encoded.isEmpty { encoded.removeLast() }
        let decoded = encoded.compactMap(Self.segment)
        guard decoded.count == encoded.count, query.map(Self.isPlain) ?? true else { return nil }
        segments = decoded
    }

    /// Whether a file at this address is the one that `allowed` names, or lies below it.
    package func isBelow(_ allowed: DownloadAddress) -> Bool {
        guard !isFolder, scheme == allowed.scheme, host == allowed.host, port == allowed.port,
            segments.starts(with: allowed.segments, by: { $0.utf8.elementsEqual($1.utf8) })
        else { return false }
        return segments.count > allowed.segments.count || !allowed.isFolder
    }

    /// Host and port of `HOST[:PORT]`.
    private static func place(_ authority: Substring) -> (host: String, port: Int?)? {
        let parts = authority.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let host = parts.first.flatMap(name) else { return nil }
        guard parts.count > 1 else { return (host, nil) }
        guard parts[1].utf8.allSatisfy(TextForm.isDigit), parts[1].first != "0", let port = Int(parts[1]),
            port <= 65_535
        else { return nil }
        return (host, port)
    }

    /// A host name or IPv4 address. Another spelling of an address counts as another host.
    private static func name(_ text: Substring) -> String? {
        let name = text.hasSuffix(".") ? text.dropLast() : text
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        guard name.utf8.count <= 253, labels.allSatisfy({ TextForm.node.matches(String($0)) }) else { return nil }
        return name.lowercased()
    }

    /// A segment, decoded; `nil` if a server could read it in another way.
    private static func segment(_ text: Substring) -> String? {
        guard !text.isEmpty, let decoded = decoded(text), isName(decoded) else { return nil }
        return decoded
    }

    /// Whether a query is safe even on a server that treats it as a path: it has no backslash and no dot segment.
    private static func isPlain(_ query: String) -> Bool {
        decoded(query[...]).map { text in
            !text.utf8.contains(UInt8(ascii: "\\"))
                && text.utf8.split(separator: UInt8(ascii: "/")).allSatisfy { !isDots($0) }
        } ?? false
    }

    /// The text with its `%XX` decoded once; `nil` if that is malformed, not text, or encoded twice.
    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
                value >= 0x20, value != 0x7F, value != UInt8(ascii: "%")
            else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func isName(_ segment: String) -> Bool {
        !segment.utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") } && !isDots(segment.utf8[...])
            && segment.unicodeScalars.allSatisfy { !lookalikes.contains($0) }
    }

    /// Dots and blanks only, alone or before a parameter: `..`, `..;x`, `. `.
    private static func isDots(_ text: Substring.UTF8View) -> Bool {
        text.prefix { $0 != UInt8(ascii: ";") }.allSatisfy { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: " ") }
    }

    /// Characters that some servers convert to dots, slashes and backslashes.
    private static let lookalikes: Set<Unicode.Scalar> = [
        "\u{2024}", "\u{2025}", "\u{2026}", "\u{3002}", "\u{FE52}", "\u{FF0E}", "\u{FF61}", "\u{2044}", "\u{2215}",
        "\u{29F8}", "\u{FF0F}", "\u{29F5}", "\u{FF3C}",
    ]
}
