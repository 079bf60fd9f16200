import Crypto
import Gzip
import HTTPMessage
import HTTPTypes

/// What a client's `Accept-Encoding` and `If-None-Match` make of an answer.
enum Negotiation {
    /// Smaller answers are sent as they are: they fit into a few packets anyway.
    private static let smallest = 4096

    /// The answer compressed, if it is large enough and the client takes gzip (RFC 9110, 12.5.3).
    static func encoded(_ response: Response, for request: Request) -> Response {
        guard response.body.count >= smallest, response.fields[.contentEncoding] == nil, isText(response) else {
            return response
        }
        var response = response
        response.fields.append(HTTPField(name: .vary, value: "Accept-Encoding"))
        guard takesGzip(request.fields[.acceptEncoding]), let packed = Gzip.compress(response.body.parts) else {
            return response
        }
        response.body = .init(packed)
        response.fields[.contentEncoding] = "gzip"
        return response
    }

    private static func isText(_ response: Response) -> Bool {
        let type = response.fields[.contentType] ?? ""
        return ["application/json", "application/problem+json", "text/", "application/openmetrics-text"].contains {
            type.hasPrefix($0)
        }
    }

    /// Whether `Accept-Encoding` names gzip, or everything, with a weight above 0.
    static func takesGzip(_ field: String?) -> Bool {
        var other: Bool?
        for item in (field ?? "").split(separator: ",") {
            let parts = item.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
            guard let name = parts.first, ["gzip", "x-gzip", "*"].contains(name) else { continue }
            let weight = parts.dropFirst().first { $0.hasPrefix("q=") }.map { $0.dropFirst(2) } ?? "1"
            let isWanted = Double(weight).map { $0 > 0 && $0 <= 1 } ?? false
            if name != "*" { return isWanted }
            other = isWanted
        }
        return other ?? false
    }

    /// The answer with an `ETag`, or 304 if the client has it already. Other copies than the client's own may not be
    /// made of it.
    static func tagged(_ response: Response, for request: Request) -> Response {
        var hash = SHA256()
        for part in response.body.parts { hash.update(data: part) }
        let digits = hash.finalize().prefix(16).map { byte in
            String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
        // Weak: the same for every encoding.
        let tag = "W/\"\(digits.joined())\""
        var response = response
        response.fields[.eTag] = tag
        response.fields[.cacheControl] = "private, no-cache"
        guard let known = request.fields[.ifNoneMatch], has(known, tag) else { return response }
        response.status = .notModified
        response.fields[.contentType] = nil
        response.body = .init()
        return response
    }

    /// Whether a list of tags has one, in weak comparison (RFC 9110, 8.8.3.2).
    private static func has(_ field: String, _ tag: String) -> Bool {
        func opaque(_ tag: some StringProtocol) -> String {
            let tag = String(tag).filter { $0 != " " && $0 != "\t" }
            return tag.hasPrefix("W/") ? String(tag.dropFirst(2)) : tag
        }
        return field.split(separator: ",").contains { opaque($0) == opaque(tag) || opaque($0) == "*" }
    }
}
