import FoundationEssentials
import StrictJSON
import Testing

/// The table of facts, the recordings it comes from, and what the simulator does not cover yet.
enum Golden {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
    static let table = folder.appending(path: "pve-facts.jsonl")
    static let uncovered = folder.appending(path: "pve-uncovered.txt")
    /// Beside the package, where they are at hand.
    static let recordings = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "shared/pve-recordings/pve-9.2-exchanges.jsonl")

    static var isWriting: Bool { ProcessInfo.processInfo.environment["PROXMOX_AGENT_GOLDEN"] == "write" }
    static var hasRecordings: Bool { FileManager.default.fileExists(atPath: recordings.path) }

    static func lines(of url: URL) throws -> [String] {
        String(decoding: try Data(contentsOf: url), as: UTF8.self).split(separator: "\n").map { String($0) }
    }

    static func derived() throws -> [Fact] {
        FactDerivation.facts(in: try lines(of: recordings).map { try JSON.parse($0) })
    }

    static func write(_ lines: [String], to url: URL) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: url)
    }
}

@Suite(.serialized)
struct RecordedFactsTests {
    @Test(.enabled(if: Golden.hasRecordings, "the recordings are not at hand"))
    func `the committed table is what the recordings say`() throws {
        let derived = try Golden.derived().map(\.json.text)
        if Golden.isWriting { try Golden.write(derived, to: Golden.table) }
        #expect(try Golden.lines(of: Golden.table) == derived)
    }

    @Test(.timeLimit(.minutes(2)))
    func `the simulator answers as the recorded node did, but for the listed cases`() async throws {
        let facts = try Golden.lines(of: Golden.table).map { try #require(Fact(try JSON.parse($0))) }
        let replay = FactReplay()
        var differences: [String: String] = [:]
        for fact in facts {
            let difference = fact.difference(from: try await replay.answer(to: fact))
            if !difference.isEmpty { differences[fact.name] = difference }
        }
        var listed = Set((try? Golden.lines(of: Golden.uncovered)) ?? [])
        if Golden.isWriting {
            listed = listed.isEmpty ? Set(differences.keys) : listed.intersection(differences.keys)
            try Golden.write(facts.map(\.name).filter { listed.contains($0) }, to: Golden.uncovered)
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
