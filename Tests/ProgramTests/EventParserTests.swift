import StrictJSON
import Testing

@testable import proxmox_agent

/// Taking an event stream apart, wherever it is cut.
struct EventParserTests {
    private static let stream = """
        retry: 3000
        id: 41

        : 42
        id: 42

        id: 43
        event: plan.created
        data: {"kind":"plan.created","at":"t","environment":null,"reason":"é\\u001b"}

        event: operation.progress
        data:{"kind":"operation.progress","at":"t","environment":"home"}


        """

    @Test(arguments: [1, 2, 7, 1000])
    func `events, their numbers and the place to resume from`(size: Int) throws {
        var parser = EventParser()
        var events: [EventParser.Event] = []
        let bytes = Array(Self.stream.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            events += parser.take(Array(bytes[start..<min(start + size, bytes.count)]))
        }
        #expect(events.map(\.id) == ["43", nil])
        #expect(parser.last == "43" && parser.retry == 3000)
        #expect(events[0].line == "43  t  plan.created  -  reason=\"é\\u001b\"")
        #expect(events[1].line == "-  t  operation.progress  home")
        #expect(
            events[0].jsonLine
                == #"{"id":43,"kind":"plan.created","at":"t","environment":null,"reason":"\u00e9\u001b"}"#
                || events[0].jsonLine
                    == #"{"id":43,"kind":"plan.created","at":"t","environment":null,"reason":"é\u001b"}"#
        )
        #expect(events[1].jsonLine.hasPrefix(#"{"id":null,"kind":"operation.progress""#))
    }

    @Test func `a sign of life moves the place`() {
        var parser = EventParser()
        #expect(parser.take(Array(": 7\nid: 7\n".utf8)).isEmpty && parser.last == nil, "not before its end")
        #expect(parser.take(Array("\n".utf8)).isEmpty && parser.last == "7")
    }
}
