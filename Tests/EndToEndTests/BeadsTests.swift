import AgentModel
import FoundationEssentials
import StrictJSON
import Testing

/// Holds `.beads` against the form that `br` reads.
struct BeadsTests {
    private struct Bead {
        let id: String
        var dependencies: [String] = []
    }

    private static let statuses: Set<String> = ["open", "in_progress", "blocked", "deferred", "closed"]
    private static let types: Set<String> = ["task", "bug", "feature", "epic", "chore", "docs", "question"]
    private static let links: Set<String> = ["blocks", "parent-child", "related", "discovered-from"]

    @Test func `the folder says how it is to be read`() throws {
        #expect(try Documents.lines(".beads/config.yaml").contains("issue_prefix: br"))
        let metadata = try JSON.parse(Array(try Documents.text(".beads/metadata.json").utf8))
        #expect(metadata == ["database": "beads.db", "jsonl_export": "issues.jsonl"])
    }

    @Test func `every line is a well-formed issue, and they hang together`() throws {
        let lines = try Documents.text(".beads/issues.jsonl").split(separator: "\n")
        let beads = try lines.map { try Self.bead(in: String($0)) }
        let ids = Set(beads.map(\.id))
        #expect(!beads.isEmpty)
        #expect(ids.count == beads.count, "an id is there twice")
        for bead in beads {
            for dependency in bead.dependencies {
                #expect(ids.contains(dependency), "\(bead.id) depends on \(dependency), which is not there")
            }
        }
        #expect(Self.cycle(in: beads).isEmpty)
    }

    @Test func `the roadmap names issues that are there`() throws {
        let ids = Set(
            try Documents.text(".beads/issues.jsonl").split(separator: "\n").map { try Self.bead(in: String($0)).id })
        let roadmap = try Documents.text("docs/roadmap.md")
        let named = roadmap.split { !($0.isLetter || $0.isNumber || $0 == "-") }.filter { $0.hasPrefix("br-") }
        #expect(!named.isEmpty)
        for id in named { #expect(ids.contains(String(id)), "\(id)") }
    }

    /// One line, read strictly: nothing missing, nothing unknown.
    private static func bead(in line: String) throws -> Bead {
        let object = try #require(try JSON.parse(Array(line.utf8)).object, "a line is no object")
        var reader = ObjectReader(object)
        let id = try #require(reader.string("id"))
        #expect(isID(id), "\(id)")
        let title = try #require(reader.string("title"), "\(id)")
        #expect((1...500).contains(title.count), "\(id)")
        #expect(try #require(reader.string("description"), "\(id)").isEmpty == false)
        let status = try #require(reader.string("status"), "\(id)")
        #expect(statuses.contains(status), "\(id): \(status)")
        #expect(reader.integer("priority", in: 0...4) != nil, "\(id)")
        #expect(types.contains(try #require(reader.string("issue_type"))), "\(id)")
        let created = try #require(reader.string("created_at").flatMap(Date.init(rfc3339:)), "\(id)")
        let updated = try #require(reader.string("updated_at").flatMap(Date.init(rfc3339:)), "\(id)")
        let closed = reader.string("closed_at").flatMap(Date.init(rfc3339:))
        #expect(created <= updated, "\(id)")
        #expect((closed != nil) == (status == "closed"), "\(id): closed_at belongs to what is closed")
        #expect((reader.string("close_reason") != nil) == (status == "closed"), "\(id)")
        #expect(reader.strings("labels") != nil, "\(id)")
        var bead = Bead(id: id)
        for link in try #require(reader.array("dependencies"), "\(id)") {
            bead.dependencies.append(try dependency(link, of: id))
        }
        try reader.finish()
        return bead
    }

    private static func dependency(_ link: JSON, of id: String) throws -> String {
        var reader = ObjectReader(try #require(link.object, "\(id)"))
        #expect(reader.string("issue_id") == id, "\(id)")
        let target = try #require(reader.string("depends_on_id"), "\(id)")
        #expect(links.contains(try #require(reader.string("type"))), "\(id)")
        #expect(reader.string("created_at").flatMap(Date.init(rfc3339:)) != nil, "\(id)")
        try reader.finish()
        return target
    }

    private static func isID(_ id: String) -> Bool {
        id.hasPrefix("br-") && Int(id.dropFirst(3)).map { $0 > 0 && "br-\($0)" == id } == true
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
