import Testing

@testable import proxmox_agent

struct WitnessConfigTests {
    private static let key = "witness.example/w+76d9f8e5+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    private static let ofLog = "log.example/a+d870bab6+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"

    private static func text(_ url: String, _ key: String = key, _ more: String = "") -> String {
        #"{"audit_witnesses":[{"url":"\#(url)","key":"\#(key)"\#(more)}]}"#
    }

    @Test(arguments: [
        ("https://Witness.Example", "https://witness.example:443", ""),
        ("https://witness.example:8090/", "https://witness.example:8090", ""),
        ("https://witness.example/logs/of-ours/", "https://witness.example:443", "/logs/of-ours"),
        ("http://localhost:8090/w", "http://localhost:8090", "/w"),
    ])
    func `a witness is asked at its URL`(url: String, origin: String, path: String) throws {
        let witness = try #require(try AgentConfigTests.config(Self.text(url)).witnesses.first)
        #expect("\(witness.origin)" == origin && witness.path == path)
        #expect("\(witness.key)" == Self.key)
    }

    @Test(arguments: [
        ("http://witness.example", "url: http:// is for loopback only; use https://"),
        ("witness.example", "url: must be https://host[:port][/path]"),
        ("https://witness.example/a?b", "url: has a path with other characters than A-Z a-z 0-9 - . _ ~ /"),
        ("https://user@witness.example/a", "url: must be https://host[:port][/path]"),
        ("ftp://witness.example/a", "url: must be https://host[:port][/path]"),
    ])
    func `a URL that is none of a witness is refused with the cure`(url: String, line: String) {
        #expect(AgentConfigTests.wrong(Self.text(url)) == ["audit_witnesses[0].\(line)"])
    }

    @Test func `a key that is none of a witness, and one that is given twice, are refused`() {
        for key in ["", "w", Self.ofLog] {
            let line = AgentConfigTests.wrong(Self.text("https://w.example", key)).first ?? ""
            #expect(line.hasPrefix("audit_witnesses[0].key: expected a witness's verifier key"), "\(line)")
        }
        let one = #"{"url":"https://w.example","key":"\#(Self.key)"}"#
        let line = AgentConfigTests.wrong(#"{"audit_witnesses":[\#(one),\#(one)]}"#).first ?? ""
        #expect(line.contains("audit_witnesses[1].key: another witness has the name"), "\(line)")
        #expect(AgentConfigTests.wrong(#"{"audit_witnesses":[{}]}"#).count == 2)
        #expect(
            AgentConfigTests.wrong(Self.text("http://localhost", Self.key, #","tls":{"ca_file":"/nope"}"#)).count == 2)
    }

    @Test func `the interval has bounds`() throws {
        #expect(try AgentConfigTests.config("{}").checkpointInterval == .seconds(60))
        #expect(try AgentConfigTests.config(#"{"audit_checkpoint_seconds":1}"#).checkpointInterval == .seconds(1))
        #expect(!AgentConfigTests.wrong(#"{"audit_checkpoint_seconds":0}"#).isEmpty)
    }
}
