import AgentModel
import FoundationEssentials
import Testing

/// Holds the sources against docs/architecture.md.
struct ArchitectureTests {
    /// What a line of code must not match, by the words of the table.
    private static let foreign: [String: String] = [
        "everything else":
            #"import (Agent|HTTPMessage|MicroHTTPD|CurlHTTP|SQLite|ProxmoxVE|PVE|StrictJSON|System)"#,
        "the agent": #"import (Agent|PVEPlanning|ProxmoxVE)"#,
        "I/O": #"import (Glibc|Dispatch|SQLite|HTTPMessage|System)|FileManager|FileHandle"#,
        "clocks": #"Date\(\)|ContinuousClock|Date\.now|import Glibc"#,
        "files": #"import (Glibc|SQLite|System(File|Package))|FileManager|FileHandle|FilePath"#,
        "HTTP": #"import (HTTP|MicroHTTPD|CurlHTTP)"#,
        "SQL": #"import SQLite|SELECT |INSERT "#,
        "sockets": #"import (Glibc|CCurl|CMicrohttpd)|socket\("#,
        "rules": #"import AgentPolicy"#,
        "plans": #"\bPlan\b|\bPlanStore\b"#,
        "policy": #"import AgentPolicy"#,
        "PVE's paths and words":
            #""(/?nodes|/?cluster|qemu|lxc|access|vzdump)[/"]|"(qm|vz|ha|im)[a-z]{3,}"|"\w+_(vm|container)"|"pending"|"exitstatus""#,
        "PVE": #"import (ProxmoxVE|PVE)"#,
        "changes": #"hypervisor\.(change|stop)\("#,
    ]

    @Test func `no target names what the architecture keeps from it`() throws {
        let rows = try Documents.rows("docs/architecture.md", under: "| target | holds | knows nothing of |")
        #expect(rows.count > 15)
        for row in rows {
            let cells = row.split(separator: "|").map { $0.trimmingBlanks() }
            let (target, unknown) = (cells[0], cells[2])
            guard unknown != "–" else { continue }
            let lines = try Self.code(of: target)
            #expect(!lines.isEmpty, "\(target)")
            for word in unknown.split(separator: ", ").map(String.init) {
                let pattern = try #require(Self.foreign[word], "the table's \(word) is not looked for")
                let regex = try Regex(pattern)
                for line in lines where line.text.contains(regex) {
                    Issue.record("\(target) knows of \(word): \(line.file): \(line.text.trimmingBlanks())")
                }
            }
        }
    }

    @Test(arguments: ["AgentModel", "AgentPolicy", "PVEPlanning", "AgentService"])
    func `nothing but the catalogue goes by the name of an action`(target: String) throws {
        let names = Action.allCases.map(\.rawValue).joined(separator: "|")
        let regex = try Regex(#"action\.rawValue (==|!=)|switch .*action\.rawValue|case \(?"(\#(names))"[,:]"#)
        #expect(#"switch request.action.rawValue {"#.contains(regex) && #"case ("ha_edit", "add"):"#.contains(regex))
        for line in try Self.code(of: target) where line.text.contains(regex) {
            Issue.record("\(line.file): \(line.text.trimmingBlanks())")
        }
    }

    /// Forms that no other target can use: what an answer calls a field says nothing of the log or of the store.
    @Test(arguments: [
        ("AgentService", #"package .*\baudit[A-Z]\w*: JSON"#), ("AgentStorage", #"package .*\bstored: JSON"#),
        ("AgentModel", #"var (json|view|stored|audit\w*): JSON"#),
        ("AgentPolicy", #"var (json|view|stored|audit\w*): JSON"#),
    ])
    func `answers, audit records and stored documents have forms of their own`(target: String, form: String) throws {
        let regex = try Regex(form)
        for line in try Self.code(of: target) where line.text.contains(regex) {
            Issue.record("\(target) has a form that others can use: \(line.file): \(line.text.trimmingBlanks())")
        }
    }

    @Test func `the walk of one change names files that are there, and no more than sixty`() throws {
        let document = try Documents.text("docs/architecture.md")
        let start = try #require(document.firstRange(of: "## One change, file by file"))
        let rest = document[start.upperBound...]
        let walk = rest[..<(rest.firstRange(of: "\n## ")?.lowerBound ?? rest.endIndex)]
        let steps = walk[(try #require(walk.firstRange(of: "\n**"))).lowerBound...]
        let targets = try FileManager.default.contentsOfDirectory(
            atPath: Documents.root.appending(path: "Sources").path)
        let sources = Set(
            try targets.flatMap { target in
                try FileManager.default.contentsOfDirectory(
                    atPath: Documents.root.appending(path: "Sources/\(target)").path)
            })
        var named: Set<String> = []
        for (index, word) in steps.split(separator: "`", omittingEmptySubsequences: false).enumerated()
        where index % 2 == 1 && word.first?.isUppercase == true {
            let file = word.prefix { $0 != "." } + ".swift"
            #expect(sources.contains(String(file)), "there is no \(file)")
            named.insert(String(file))
        }
        #expect((40...60).contains(named.count), "\(named.count) files")
    }

    @Test func `the names of fields are written by the layer that they belong to`() throws {
        // Each is in all three forms; PlanDigest's are those of hashes.
        let names = try Regex(#""(risk_level|undo_leaves|requires_approval|irreversible|log_tail)""#)
        func files(_ target: String) throws -> Set<String> {
            Set(try Self.code(of: target).filter { $0.text.contains(names) }.map(\.file))
        }
        #expect(try files("AgentModel").isEmpty && files("AgentPolicy").isEmpty && files("PVEPlanning").isEmpty)
        #expect(try files("AgentService") == ["AuditForms.swift"])
        #expect(try files("AgentStorage") == ["StoredOperation.swift", "StoredPlan.swift"])
        #expect(try files("AgentAPI") == ["Views+Parts.swift", "Views.swift"])
    }

    @Test(arguments: [
        ("PVE's paths and words", #"read(["nodes", node])"#), ("PVE's paths and words", #"call("/cluster/ha")"#),
        ("PVE's paths and words", #"type == "qmstart""#), ("PVE's paths and words", #"== "stop_vm""#),
        ("clocks", "let now = Date()"), ("SQL", #"run("SELECT 1")"#), ("plans", "func f(_ plan: Plan)"),
    ])
    func `what is kept from a target is found where it is named`(word: String, line: String) throws {
        let pattern = try #require(Self.foreign[word])
        #expect(line.contains(try Regex(pattern)))
    }

    private static func code(of target: String) throws -> [(file: String, text: String)] {
        let folder = "Sources/\(target)/"
        let files = try FileManager.default.contentsOfDirectory(atPath: Documents.root.appending(path: folder).path)
        return try files.filter { $0.hasSuffix(".swift") }.flatMap { file in
            try Documents.lines(folder + file).map { (file: file, text: $0) }
        }.filter { !$0.text.trimmingBlanks().hasPrefix("//") }
    }
}

extension StringProtocol {
    fileprivate func trimmingBlanks() -> String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
