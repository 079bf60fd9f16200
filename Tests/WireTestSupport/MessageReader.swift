/// Cuts HTTP/1.1 messages out of a byte stream; `more` delivers the next bytes, empty at the end of the stream.
struct MessageReader {
    private var buffer: [UInt8] = []

    /// What was received and not yet handed out.
    var rest: [UInt8] { buffer }

    /// Reads one message. A response without length and coding ends with the stream; `bodyless` is for HEAD.
    mutating func message(
        bodyless: Bool = false, more: () throws(WireError) -> [UInt8]
    ) throws(WireError) -> WireMessage {
        var message = try head(more: more)
        let isResponse = message.start.hasPrefix("HTTP/")
        if bodyless || [100, 204, 304].contains(message.status) { return message }
        if message.value(of: "Transfer-Encoding")?.lowercased() == "chunked" {
            message.body = try chunks(more: more)
        } else if let length = message.value(of: "Content-Length") {
            guard let count = Int(length) else { throw .notHTTP("Content-Length: \(length)") }
            message.body = try take(count, more: more)
        } else if isResponse {
            message.body = try toEnd(more: more)
        }
        return message
    }

    mutating func toEnd(more: () throws(WireError) -> [UInt8]) throws(WireError) -> [UInt8] {
        while true {
            let next = try more()
            if next.isEmpty { break }
            buffer += next
        }
        defer { buffer = [] }
        return buffer
    }

    private mutating func head(more: () throws(WireError) -> [UInt8]) throws(WireError) -> WireMessage {
        let lines = try line(endingWith: Array("\r\n\r\n".utf8), more: more).split(separator: "\r\n")
        guard let start = lines.first else { throw .notHTTP("empty head") }
        var fields: [WireMessage.Field] = []
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw .notHTTP(String(line)) }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            fields.append(.init(name: String(line[..<colon]), value: String(value)))
        }
        return WireMessage(start: String(start), fields: fields, body: [])
    }

    private mutating func chunks(more: () throws(WireError) -> [UInt8]) throws(WireError) -> [UInt8] {
        var body: [UInt8] = []
        while true {
            let size = try line(endingWith: Array("\r\n".utf8), more: more)
            guard let count = Int(size.prefix { $0 != ";" }, radix: 16) else { throw .notHTTP("chunk size \(size)") }
            body += try take(count, more: more)
            _ = try take(2, more: more)
            if count == 0 { return body }
        }
    }

    mutating func line(
        endingWith end: [UInt8], more: () throws(WireError) -> [UInt8]
    ) throws(WireError) -> String {
        while true {
            if let start = buffer.firstIndex(of: end) {
                defer { buffer.removeFirst(start + end.count) }
                return String(decoding: buffer[..<start], as: UTF8.self)
            }
            try fill(more: more)
        }
    }

    mutating func take(_ count: Int, more: () throws(WireError) -> [UInt8]) throws(WireError) -> [UInt8] {
        while buffer.count < count { try fill(more: more) }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    private mutating func fill(more: () throws(WireError) -> [UInt8]) throws(WireError) {
        let next = try more()
        guard !next.isEmpty else { throw .endOfStream(buffer) }
        buffer += next
    }
}

extension [UInt8] {
    fileprivate func firstIndex(of part: [UInt8]) -> Int? {
        guard count >= part.count else { return nil }
        return (0...count - part.count).first { self[$0..<$0 + part.count].elementsEqual(part) }
    }
}
