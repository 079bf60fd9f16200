import AgentModel
import FoundationEssentials
import StrictJSON
import Testing

/// Holds `.beads` against the form that `br` reads.
struct BeadsTests {
    @Test func `the folder says how it is to be read`() throws {
        #expect(try Documents.lines(".beads/config.yaml").contains("issue_prefix: br"))
        let metadata = try JSON.parse(Array(try Documents.text(".beads/metadata.json").utf8))
        #expect(metadata == ["database": "beads.db", "jsonl_export": "issues.jsonl"])
    }

    @Test func `every line is a well-formed issue, and they hang together`() throws {
        let beads = try Self.beads()
        let ids = Set(beads.map(\.id))
        #expect(!beads.isEmpty)
        #expect(ids.count == beads.count, "an id is there twice")
        for bead in beads {
            #expect(bead.createdAt <= bead.updatedAt, "\(bead.id)")
            #expect((bead.closedAt != nil) == (bead.status == "closed"), "\(bead.id): closed_at is for what is closed")
            for dependency in bead.dependencies {
                #expect(ids.contains(dependency), "\(bead.id) depends on \(dependency), which is not there")
            }
        }
        #expect(Self.cycle(in: beads).isEmpty)
    }

    @Test func `the roadmap names all that is open, and nothing else`() throws {
        let open = Set(try Self.beads().filter { $0.status != "closed" }.map(\.id))
        let words = try Documents.text("docs/roadmap.md").split { !($0.isLetter || $0.isNumber || $0 == "-") }
        #expect(Set(words.filter { $0.hasPrefix("br-") }.map { String($0) }) == open)
    }

    private static func beads() throws -> [Bead] {
        try Documents.text(".beads/issues.jsonl").split(separator: "\n").map { line in
            try Bead(try #require(try JSON.parse(Array(line.utf8)).object, "a line is no object"))
        }
    }

    /// What is left when all that depends on nothing left is taken away, again and again: the cycles.
    private static func cycle(in beads: [Bead]) -> [String] {
        var left = beads
        while true {
            let ids = Set(left.map(\.id))
            let rest = left.filter { bead in bead.dependencies.contains { ids.contains($0) } }
            if rest.count == left.count { return rest.map(\.id) }
            left = rest
        }
    }
}

/// One issue, read strictly: nothing missing, nothing unknown, every word a known one.
private struct Bead {
    let id: String
    let status: String
    let createdAt: Date
    let updatedAt: Date
    let closedAt: Date?
    let dependencies: [String]

    private static let statuses = ["open", "in_progress", "blocked", "deferred", "closed"]
    private static let types = ["task", "bug", "feature", "epic", "chore", "docs", "question"]
    private static let links = ["blocks", "parent-child", "related", "discovered-from"]
    private static let required = [
        "id", "title", "description", "status", "priority", "issue_type", "created_at", "updated_at", "labels",
        "dependencies",
    ]

    init(_ object: JSONObject) throws {
        var reader = ObjectReader(object)
        for key in Self.required { reader.require(key, "as every issue has it") }
        let id = reader.parsed("id", "br- and a number") { Self.isID($0) ? $0 : nil }
        _ = reader.parsed("title", "1 to 500 characters") { (1...500).contains($0.count) ? $0 : nil }
        _ = reader.parsed("description", "some text") { $0.isEmpty ? nil : $0 }
        let status = reader.parsed("status", "a status") { Self.statuses.contains($0) ? $0 : nil }
        _ = reader.integer("priority", in: 0...4)
        _ = reader.parsed("issue_type", "a type") { Self.types.contains($0) ? $0 : nil }
        let created = reader.parsed("created_at", "a time", Date.init(rfc3339:))
        let updated = reader.parsed("updated_at", "a time", Date.init(rfc3339:))
        closedAt = reader.parsed("closed_at", "a time", Date.init(rfc3339:))
        _ = reader.string("close_reason")
        _ = reader.strings("labels")
        let links = reader.array("dependencies") ?? []
        try reader.finish()
        self.id = try #require(id)
        self.status = try #require(status)
        createdAt = try #require(created)
        updatedAt = try #require(updated)
        dependencies = try links.map { try Self.dependency($0, of: id) }
    }

    private static func dependency(_ link: JSON, of id: String?) throws -> String {
        var reader = ObjectReader(try #require(link.object, "a dependency is no object"))
        for key in ["issue_id", "depends_on_id", "type", "created_at"] {
            reader.require(key, "as every dependency has it")
        }
        _ = reader.parsed("issue_id", "the issue's own id") { $0 == id ? $0 : nil }
        let target = reader.parsed("depends_on_id", "br- and a number") { isID($0) ? $0 : nil }
        _ = reader.parsed("type", "a kind of dependency") { links.contains($0) ? $0 : nil }
        _ = reader.parsed("created_at", "a time", Date.init(rfc3339:))
        try reader.finish()
        return try #require(target)
    }

    private static func isID(_ id: String) -> Bool {
        id.hasPrefix("br-") && Int(id.dropFirst(3)).map { $0 > 0 && "br-\($0)" == id } == true
    }
}
