import HTTPMessage
import HTTPTypes
import StrictJSON
import Testing

@testable import AgentAPI

struct NegotiationTests {
    @Test(
        arguments: [
            (nil, false), ("", false), ("gzip", true), ("br, gzip", true), ("GZIP", true), ("x-gzip", true),
            ("*", true),
            ("gzip;q=0", false), ("gzip; q=0.5", true), ("*;q=0", false), ("gzip;q=0, *", false), ("*;q=0, gzip", true),
            ("gzip;q=2", false), ("gzip;q=x", false), ("identity", false), ("gzip2", false),
        ] as [(String?, Bool)])
    func `a client gets gzip if it says that it takes it`(field: String?, isTaken: Bool) {
        #expect(Negotiation.takesGzip(field) == isTaken)
    }

    @Test(arguments: [
        ("application/json", 5000, true), ("application/json", 4095, false), ("text/plain; version=0.0.4", 5000, true),
        ("application/problem+json", 5000, true), ("image/png", 5000, false),
    ])
    func `only large texts are compressed`(type: String, size: Int, isCompressed: Bool) {
        let body = [UInt8](repeating: 0x61, count: size)
        let response = Response(status: .ok, fields: [.contentType: type], body: .init(body))
        let request = Request(method: .get, path: "/", fields: [.acceptEncoding: "gzip"])
        let sent = Negotiation.encoded(response, for: request)
        #expect((sent.fields[.contentEncoding] == "gzip") == isCompressed)
        #expect((sent.body.count < size) == isCompressed)
        #expect((sent.fields[.vary] == "Accept-Encoding") == isCompressed)
        // Whoever caches must know that another client would get another form.
        let plain = Negotiation.encoded(response, for: Request(method: .get, path: "/"))
        #expect(plain.body == response.body && plain.fields[.vary] == sent.fields[.vary])
    }

    @Test func `a tag that is known makes an answer without a body, in weak comparison`() throws {
        let response = Response.json(.ok, ["a": 1])
        func ask(_ field: String?) -> Response {
            var request = Request(method: .get, path: "/")
            request.fields[.ifNoneMatch] = field
            return Negotiation.tagged(response, for: request)
        }
        let tag = try #require(ask(nil).fields[.eTag])
        #expect(tag.hasPrefix("W/\"") && ask(nil).status == .ok)
        for known in [tag, String(tag.dropFirst(2)), "\"x\", \(tag)", "*"] {
            #expect(ask(known).status == .notModified && ask(known).body.count == 0, "\(known)")
            #expect(ask(known).fields[.eTag] == tag && ask(known).fields[.contentType] == nil)
        }
        for other in ["\"x\"", "", tag.dropLast(2) + "\""] { #expect(ask(String(other)).status == .ok, "\(other)") }
        #expect(Negotiation.tagged(.json(.ok, ["a": 2]), for: Request(method: .get, path: "/")).fields[.eTag] != tag)
    }
}
