internal import HTTPTypes

/// Status line and fields of an answer, gathered line by line as they arrive.
struct ResponseHead: Sendable, Hashable {
    /// Bytes that all lines together may have.
    static let maximumBytes = 256 << 10

    private(set) var status = 0
    private(set) var reason = ""
    private(set) var fields = HTTPFields()
    private(set) var byteCount = 0
    /// Whether the empty line has come.
    private(set) var isComplete = false

    /// The length that the answer announces for its body, if it does.
    var contentLength: Int? {
        fields[.contentLength].flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }
    }

    /// Takes one line with its line end. A status line starts over: an interim answer (1xx) leaves nothing behind.
    /// Trailers, which follow a complete head, are not kept.
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

    /// Takes away what no longer describes the body once it has been decompressed.
    mutating func dropCoding() {
        guard fields[.contentEncoding] != nil else { return }
        fields[.contentEncoding] = nil
        fields[.contentLength] = nil
    }
}
