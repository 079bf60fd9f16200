/// Why the raw client or server of a test gave up.
package enum WireError: Error, Sendable, Hashable {
    /// A system call failed with this `errno`.
    case system(String, errno: Int32)
    /// The other side was silent for too long; what it had sent until then.
    case deadline([UInt8])
    /// The other side closed in the middle of a message; what it had sent until then.
    case endOfStream([UInt8])
    /// What came is no HTTP message.
    case notHTTP(String)
}

/// A message as it came off the wire.
package struct WireMessage: Sendable, Hashable {
    /// The status line or request line, without CRLF.
    package var start: String
    /// Header lines in order, names as sent.
    package var fields: [Field]
    package var body: [UInt8]

    package struct Field: Sendable, Hashable {
        package var name: String
        package var value: String
    }

    /// The status code of a response, 0 in a request.
    package var status: Int {
        let words = start.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        return words.count > 1 ? Int(words[1]) ?? 0 : 0
    }

    /// The text after the status code; for a request, the HTTP version.
    package var reason: String {
        let words = start.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        return words.count > 2 ? String(words[2]) : ""
    }

    package var text: String { String(decoding: body, as: UTF8.self) }

    /// The value of the first field of this name, in any case.
    package func value(of name: String) -> String? { values(of: name).first }

    package func values(of name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }
}
