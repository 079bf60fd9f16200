import AgentTestSupport
import StrictJSON
import Testing

/// The table of facts, and what the simulator does not cover yet.
enum Golden {
    static let table = GoldenFile("pve-facts.jsonl")
    static let uncovered = GoldenFile("pve-uncovered.txt")

    static func derived() throws -> [Fact] {
        let lines = try Reference.text(of: Reference.recordings).split(separator: "\n")
        return FactDerivation.facts(in: try lines.map { try JSON.parse(String($0)) })
    }
}

@Suite(.serialized)
struct RecordedFactsTests {
    @Test(.enabled(if: Reference.has(Reference.recordings), "the recordings are not at hand"))
    func `the committed table is what the recordings say`() throws {
        let derived = try Golden.derived().map(\.json.text)
        if GoldenFile.isWriting { try Golden.table.write(derived) }
        #expect(try Golden.table.lines() == derived)
    }

    @Test(.timeLimit(.minutes(2)))
    func `the simulator answers as the recorded node did, but for the listed cases`() async throws {
        let facts = try Golden.table.lines().map { try #require(Fact(try JSON.parse($0))) }
        let replay = FactReplay()
        var differences: [String: String] = [:]
        for fact in facts {
            let difference = fact.difference(from: try await replay.answer(to: fact))
            if !difference.isEmpty { differences[fact.name] = difference }
        }
        var listed = Set((try? Golden.uncovered.lines()) ?? [])
        if GoldenFile.isWriting {
            listed = listed.isEmpty ? Set(differences.keys) : listed.intersection(differences.keys)
            try Golden.uncovered.write(facts.map(\.name).filter { listed.contains($0) })
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
