import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

@Suite(.serialized)
struct RecordedFactsTests {
    @Test(
        .enabled(if: Reference.has(Reference.recordings()), "the recordings are not at hand"),
        arguments: Recording.allCases)
    func `the committed table is what the recording says`(recording: Recording) throws {
        let derived = try recording.derived().map(\.json.text)
        if GoldenFile.isWriting { try recording.table.write(derived) }
        #expect(try recording.table.lines() == derived)
    }

    @Test
    func `what the simulator does not cover is little, and no call that an action makes`() throws {
        var facts = 0
        var uncovered: [RecordedExchange] = []
        for recording in Recording.allCases {
            let listed = Set(try recording.uncovered.lines())
            let all = try recording.facts()
            facts += all.count
            uncovered += all.filter { listed.contains($0.name) }
        }
        #expect(uncovered.count * 20 <= facts, "\(uncovered.count) of \(facts)")
        let calls = Set(ActionCatalog.all.flatMap(\.calls).map { "\($0.method.rawValue) \($0.path)" })
        let patterns = try calls.map { try Self.pattern(of: $0) }
        #expect(patterns.count > 50)
        // What a recorded installation could not do says nothing about Proxmox VE, and the agent has a token, no ticket.
        let own = uncovered.filter { !$0.isNodeLimit && !$0.auth.hasPrefix("ticket") }
        for fact in own {
            let path = fact.path.prefix { $0 != "?" }.replacing("/api2/json", with: "")
            let call = "\(fact.method) \(path)"
            #expect(!patterns.contains { call.wholeMatch(of: $0) != nil }, "\(fact.name): \(call)")
        }
    }

    /// What the calls of a template look like.
    private static func pattern(of call: String) throws -> Regex<AnyRegexOutput> {
        var text = ""
        var rest = call[...]
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            let name = rest[rest.index(after: open)..<close]
            text += rest[..<open] + (name == "kind" ? "(qemu|lxc)" : name == "firewall" ? ".+" : "[^/]+")
            rest = rest[rest.index(after: close)...]
        }
        return try Regex(text + rest)
    }

    @Test(.timeLimit(.minutes(2)), arguments: Recording.allCases)
    func `the simulator answers as the recorded node did, but for the listed cases`(recording: Recording) async throws {
        let facts = try recording.facts()
        #expect(!facts.isEmpty)
        let replay = FactReplay(recording)
        var differences: [String: String] = [:]
        for fact in facts {
            let difference = fact.difference(from: try await replay.answer(to: fact))
            if !difference.isEmpty { differences[fact.name] = difference }
        }
        let committed = (try? recording.uncovered.lines()).map { Set($0) }
        var listed = committed ?? []
        if GoldenFile.isWriting {
            listed = committed?.intersection(differences.keys) ?? Set(differences.keys)
            try recording.uncovered.write(facts.map(\.name).filter { listed.contains($0) })
        }
        for fact in facts {
            let difference = differences[fact.name]
            if listed.contains(fact.name) {
                #expect(difference != nil, "\(fact.name) matches now: take it off the list")
            } else {
                #expect(difference == nil, "\(fact.name)")
            }
        }
    }
}
