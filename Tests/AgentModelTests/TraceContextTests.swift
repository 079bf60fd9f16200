import AgentModel
import Testing

/// What is read from a `traceparent`, by W3C Trace Context.
struct TraceContextTests {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let span = "00f067aa0ba902b7"

    @Test(arguments: [
        "00-\(trace)-\(span)-01", "00-\(trace)-\(span)-00", "00-\(trace)-\(span)-ff",
        // Later versions, as far as they are like this one.
        "01-\(trace)-\(span)-01", "cc-\(trace)-\(span)-01-what-the-future-brings", "fe-\(trace)-\(span)-01-",
    ])
    func `a well-formed one is taken`(text: String) throws {
        let context = try #require(TraceContext(traceparent: text))
        #expect(context.traceID == Self.trace)
        #expect(context.parentID == Self.span)
        #expect(TraceContext(traceID: context.traceID, parentID: context.parentID) == context)
    }

    @Test(arguments: [
        "", "00", "00-", "00-\(trace)-\(span)", "00-\(trace)-\(span)-", "00-\(trace)-\(span)-0",
        "00-\(trace)-\(span)-01-", "00-\(trace)-\(span)-01-more", "00-\(trace)-\(span)-011",
        "00-00000000000000000000000000000000-\(span)-01", "00-\(trace)-0000000000000000-01",
        "ff-\(trace)-\(span)-01", "0-\(trace)-\(span)-01", "0g-\(trace)-\(span)-01", "00-\(trace)-\(span)-0x",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-\(span)-01", "00-\(trace)-00F067AA0BA902B7-01",
        "00-\(trace)-\(span)-0A", "00-\(trace.dropLast())-\(span)-01", "00-\(trace)0-\(span)-01",
        "00-\(trace.dropLast())g-\(span)-01", "00_\(trace)_\(span)_01", " 00-\(trace)-\(span)-01",
        "00-\(trace)-\(span)-01, 00-\(trace)-\(span)-01", "01-\(trace)-\(span)-01.", "00-\(trace)-\(span)-é",
        String(repeating: "0", count: 55), String(repeating: "-", count: 100_000),
    ])
    func `any other is none`(text: String) {
        #expect(TraceContext(traceparent: text) == nil)
    }

    @Test func `a new trace has no caller's span, and is never all zeros`() {
        let context = TraceContext(random: 0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210)
        #expect(context.traceID == "0123456789abcdeffedcba9876543210")
        #expect(context.parentID == nil)
        #expect(TraceContext(random: 0, 0).traceID == "00000000000000000000000000000001")
        #expect(TraceContext(traceID: context.traceID, parentID: nil) == context)
    }

    @Test(
        arguments: [("", nil), (trace, ""), (trace, "0000000000000000"), (trace + "0", nil), (span, nil)]
            as [(String, String?)])
    func `ids of another form are none`(id: String, parent: String?) {
        #expect(TraceContext(traceID: id, parentID: parent) == nil)
    }
}
