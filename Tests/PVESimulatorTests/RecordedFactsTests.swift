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
