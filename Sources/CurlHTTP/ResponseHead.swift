internal import HTTPTypes

/// The status line and fields of a response, collected line by line.
struct ResponseHead: Sendable, Hashable {
    /// The most bytes of all lines together.
    static let maximumBytes = 256 << 10

    private(set) var status = 0
    private(set) var reason = ""
    private(set) var fields = HTTPFields()
    private(set) var byteCount = 0
    /// Whether the empty line was received.
    private(set) var isComplete = false

    /// The length of the body by the head, if it has one.
    var contentLength: Int? {
        fields[.contentLength].flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }
    }

    /// Takes one line with its line end. A status line starts over, so an interim response (1xx) leaves nothing behind.
    /// Ignores trailers, which follow a complete head.
    mutating func take(_ line: some Collection<UInt8>) {
        byteCount += line.count
        let isStatus = line.starts(with: "HTTP/".utf8)
        guard !isComplete || (isStatus && (100..<200).contains(status)) else { return }
        let text = String(decoding: line, as: UTF8.self).prefix { !$0.isNewline }
        if isStatus {
            takeStatus(text)
        } else if text.isEmpty {
            isComplete = true
        } else {
            takeField(text)
        }
    }

    private mutating func takeStatus(_ line: Substring) {
        let parts = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        status = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        reason = parts.count > 2 ? String(parts[2]) : ""
        fields = HTTPFields()
        isComplete = false
    }

    private mutating func takeField(_ line: Substring) {
        guard let colon = line.firstIndex(of: ":"), let name = HTTPField.Name(String(line[..<colon])) else { return }
        let value = line[line.index(after: colon)...]
        fields.append(HTTPField(name: name, value: String(value)))
    }

    /// Removes the fields that no longer describe the body after decompression.
    mutating func dropCoding() {
        guard fields[.contentEncoding] != nil else { return }
        fields[.contentEncoding] = nil
        fields[.contentLength] = nil
    }
}
