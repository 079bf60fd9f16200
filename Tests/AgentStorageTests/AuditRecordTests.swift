import AgentAudit
import AgentModel
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

/// 2026-11-22T21:16:40.008Z
let moment = Date(timeIntervalSince1970: 1_795_382_200.008)

struct AuditRecordTests {
    // The hashes were made by another program: Python's json and hashlib.
    private static let golden = [
        #"{"v":1,"seq":1,"ts":"2026-11-22T21:16:40.008Z","kind":"approve","actor":"alice","principal":"alice","#
            + #""label":"ops","request_id":"req_1","environment":"home","plan_id":"pln_k3v9q2m7x4tz8w1p6n0d","#
            + #""decision":{"allowed":true,"rules":[]},"result":{"plan_hash":"c90a","assurance":"verified","#
            + #""approvals":"1/1","note":"zwölf \#u{2028} \"x\"\n"},"#
            + #""prev":"0000000000000000000000000000000000000000000000000000000000000000","#
            + #""hash":"0684ddc53d88943e7e677854cf9ce81f6991a01c251628e8a9758162e101741f"}"#,
        #"{"v":1,"seq":2,"ts":"2026-11-22T21:16:40.008Z","kind":"read","actor":"operator","principal":"operator","#
            + #""request_id":null,"environment":null,"#
            + #""prev":"0684ddc53d88943e7e677854cf9ce81f6991a01c251628e8a9758162e101741f","#
            + #""hash":"71187cbcb51d6e0230a1876b3405f95b0543ab300d1b58e002c2af452ce88597"}"#,
        #"{"v":1,"seq":3,"ts":"2026-11-22T21:16:40.008Z","kind":"cancel","actor":"pi-agent","principal":"pi-agent","#
            + #""request_id":"req_3","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","parent_id":"00f067aa0ba902b7","#
            + #""environment":"home","#
            + #""prev":"71187cbcb51d6e0230a1876b3405f95b0543ab300d1b58e002c2af452ce88597","#
            + #""hash":"4c1a1abc2043b87b256f240cc0b9926b8ab5aced359b75cd5aaca5c1f27cabfe"}"#,
        #"{"v":1,"seq":4,"ts":"2026-11-22T21:16:40.008Z","kind":"expire","actor":"proxmox-agent","#
            + #""principal":"proxmox-agent","request_id":"req_4","trace_id":"00000000000000000000000000000001","#
            + #""environment":null,"#
            + #""prev":"4c1a1abc2043b87b256f240cc0b9926b8ab5aced359b75cd5aaca5c1f27cabfe","#
            + #""hash":"ebea5de2de5173cb8a02dfcd8c3c5d5e6803c7bf8a428c7a108e38de767ba5ff"}"#,
        #"{"v":1,"seq":5,"ts":"2026-11-22T21:16:40.008Z","agent":"anna","kind":"read","actor":"operator","#
            + #""principal":"operator","request_id":null,"environment":null,"#
            + #""prev":"ebea5de2de5173cb8a02dfcd8c3c5d5e6803c7bf8a428c7a108e38de767ba5ff","#
            + #""hash":"1c3f784a55fe4e3bd8dd0978f711a440b8f6de72c6fd70968e9f4bdfcd6fb9dc"}"#,
    ]

    @Test func `writes the lines that the contract shows`() {
        var chain = AuditChain()
        let first = chain.extend(
            with: AuditEvent(
                kind: .approve, actor: "alice", principal: "alice", label: "ops", requestID: "req_1",
                environment: "home", planID: "pln_k3v9q2m7x4tz8w1p6n0d", decision: ["allowed": true, "rules": []],
                result: [
                    "plan_hash": "c90a", "assurance": "verified", "approvals": "1/1", "note": "zwölf \u{2028} \"x\"\n",
                ]), at: Timestamp(moment))
        let second = chain.extend(
            with: AuditEvent(kind: .read, actor: "operator", principal: "operator"), at: Timestamp(moment))
        let third = chain.extend(
            with: AuditEvent(
                kind: .cancel, actor: "pi-agent", principal: "pi-agent", requestID: "req_3",
                trace: TraceContext(traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
                environment: "home"), at: Timestamp(moment))
        let fourth = chain.extend(
            with: AuditEvent(
                kind: .expire, actor: "proxmox-agent", principal: "proxmox-agent", requestID: "req_4",
                trace: TraceContext(random: 0, 1)), at: Timestamp(moment))
        var named = AuditChain(from: fourth.head, agent: "anna")
        let fifth = named.extend(
            with: AuditEvent(kind: .read, actor: "operator", principal: "operator"), at: Timestamp(moment))
        #expect([first, second, third, fourth, fifth].map { String(decoding: $0.line, as: UTF8.self) } == Self.golden)
    }

    @Test(arguments: golden)
    func `reads back what it wrote`(line: String) throws {
        let record = try AuditRecord(line: Array(line.utf8))
        #expect(String(decoding: record.line, as: UTF8.self) == line)
    }

    @Test(arguments: [
        (#""actor":"alice""#, #""actor":"mallory""#, AuditRecord.Flaw.hash),
        (#""seq":1"#, #""seq":2"#, .hash),
        (#""label":"ops","#, "", .hash),
        (#""c90a""#, #""c90b""#, .hash),
        (#""v":1"#, #""v":2"#, .shape("has version 2; known is 1")),
        (#""seq":1,"#, #""seq": 1,"#, .shape("is not written as the agent writes it")),
        (#""seq":1,"#, #""seq":1.0,"#, .shape("needs an integer in 'seq'")),
        (#""seq":1,"#, #""seq":0,"#, .shape("needs a 'seq' over 0")),
        (#""alice","#, #""\u0061lice","#, .shape("is not written as the agent writes it")),
        (#""kind":"approve""#, #""kind":"bless""#, .shape("has an unknown 'kind'")),
        (#""request_id":"req_1","#, "", .shape("needs a string or null in 'request_id'")),
        (#""label":"ops""#, #""label":7"#, .shape("needs a string in 'label'")),
        (#""label":"ops""#, #""lable":"ops""#, .shape("has the unknown field 'lable'")),
        ("2026-11-22T", "2026-02-30T", .shape("needs a UTC time in 'ts'")),
        ("0684ddc53d", "0684DDC53D", .shape("needs 64 hexadecimal digits in 'hash'")),
        (#""label":"ops""#, #""label":"ops","label":"ops""#, .malformed("is not JSON: key given twice")),
        ("{", "[{", .malformed("is not JSON: unexpected end of the document")),
    ])
    func `refuses a line that was changed`(old: String, new: String, flaw: AuditRecord.Flaw) throws {
        let line = Self.golden[0]
        let changed = line.replacing(old, with: new, maxReplacements: 1)
        try #require(changed != line)
        #expect(throws: flaw) { try AuditRecord(line: Array(changed.utf8)) }
    }

    @Test(arguments: [
        (#""trace_id":"4bf9"#, #""trace_id":"4bf8"#, AuditRecord.Flaw.hash),
        (#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","#, "", .shape("has a 'parent_id' without a 'trace_id'")),
        (#""parent_id":"00f067aa0ba902b7","#, "", .hash),
        (#""trace_id":"4bf9"#, #""trace_id":"4BF9"#, .shape("needs ids of a trace in 'trace_id' and 'parent_id'")),
        (
            #""parent_id":"00f067aa0ba902b7""#, #""parent_id":"0000000000000000""#,
            .shape("needs ids of a trace in 'trace_id' and 'parent_id'")
        ),
        (#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736""#, #""trace_id":7"#, .shape("needs a string in 'trace_id'")),
    ])
    func `refuses a changed trace`(old: String, new: String, flaw: AuditRecord.Flaw) throws {
        let line = Self.golden[2]
        let changed = line.replacing(old, with: new, maxReplacements: 1)
        try #require(changed != line)
        #expect(throws: flaw) { try AuditRecord(line: Array(changed.utf8)) }
    }

    @Test(arguments: [
        (#""agent":"anna","#, #""agent":"bert","#, AuditRecord.Flaw.hash), (#""agent":"anna","#, "", .hash),
        (#""agent":"anna","#, #""agent":"","#, .shape("needs a name in 'agent'")),
        (#""agent":"anna","#, #""agent":null,"#, .shape("needs a string in 'agent'")),
    ])
    func `refuses a changed agent`(old: String, new: String, flaw: AuditRecord.Flaw) throws {
        let line = Self.golden[4]
        #expect(try AuditRecord(line: Array(line.utf8)).agent == "anna")
        let changed = line.replacing(old, with: new)
        try #require(changed != line)
        #expect(throws: flaw) { try AuditRecord(line: Array(changed.utf8)) }
    }

    @Test func `a number and its neighbour beyond 2⁵³ are told apart or the same on the line too`() throws {
        let record = AuditRecord(
            AuditEvent(kind: .plan, actor: "a", principal: "a", request: ["bytes": .integer(9_007_199_254_740_993)]),
            after: .empty, at: Timestamp(moment))
        let line = String(decoding: record.line, as: UTF8.self)
        #expect(line.contains(#""bytes":9007199254740992}"#))
        _ = try AuditRecord(line: record.line)
        let changed = line.replacing("9007199254740992}", with: "9007199254740993}")
        #expect(throws: AuditRecord.Flaw.self) { try AuditRecord(line: Array(changed.utf8)) }
    }

    @Test func `a request as deep as the API takes can be recorded and read again`() throws {
        var request: JSON = 1
        for _ in 0..<JSON.maximumDepth { request = ["in": request] }
        let event = AuditEvent(kind: .plan, actor: "a", principal: "a", request: request)
        #expect(event.isRecordable)
        _ = try AuditRecord(line: AuditRecord(event, after: .empty, at: Timestamp(moment)).line)
    }

    @Test(arguments: [
        ("43:" + String(repeating: "9c", count: 32), true),
        ("0:" + String(repeating: "0", count: 64), true),
        ("43:9c1e", false), ("43", false), (":" + String(repeating: "0", count: 64), false),
        ("+1:" + String(repeating: "0", count: 64), false), ("1:" + String(repeating: "A", count: 64), false),
    ])
    func `reads a saved head`(text: String, isValid: Bool) {
        #expect(AuditHead(text)?.description == (isValid ? text : nil))
    }
}

struct TimestampTests {
    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (1_795_382_200.008, "2026-11-22T21:16:40.008Z"),
        (951_782_399.999, "2000-02-28T23:59:59.999Z"), (951_782_400, "2000-02-29T00:00:00.000Z"),
        (-0.001, "1969-12-31T23:59:59.999Z"), (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        (1e18, "9999-12-31T23:59:59.999Z"), (-1e18, "0000-01-01T00:00:00.000Z"),
    ])
    func `writes and reads a moment`(seconds: Double, text: String) {
        let time = Timestamp(Date(timeIntervalSince1970: seconds))
        #expect(time.description == text)
        #expect(Timestamp(text) == time)
    }

    @Test(arguments: [
        "2026-11-22T21:16:40Z", "2026-11-22T21:16:40.008+00:00", "2026-11-22 21:16:40.008Z", "2026-13-01T00:00:00.000Z",
        "2025-02-29T00:00:00.000Z", "2026-11-22T24:00:00.000Z", "2026-11-22T21:16:60.000Z", "",
    ])
    func `refuses other forms and days that do not exist`(text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test func `agrees with Foundation on any day of its calendar`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let date = Date(
                timeIntervalSince1970: Double(Int.random(in: -11_676_096_000...253_402_300_799, using: &generator)))
            #expect(Timestamp(date).description.prefix(19) == date.formatted(.iso8601).prefix(19))
        }
    }
}
