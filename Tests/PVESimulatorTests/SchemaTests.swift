import AgentTestSupport
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// Holds the endpoints of the simulator against Proxmox VE's own schema.
@Suite(.serialized, .enabled(if: Reference.has(Reference.schema), "the schema is not at hand"))
struct SchemaTests {
    private static let uncovered = GoldenFile("pve-schema-uncovered.txt")

    @Test
    func `every endpoint and every parameter is as the schema has it`() throws {
        let schema = try Schema()
        var differences: [String] = []
        for method in Simulator.surface {
            let name = "\(method.method) \(method.path)"
            // The root has no entry of its own; recordings show it.
            if name == "GET /" { continue }
            guard let known = schema.methods[name] else {
                differences.append("\(name) is not in the schema")
                continue
            }
            for (parameter, mine) in method.parameters {
                guard let theirs = known[parameter] else {
                    differences.append("\(name) \(parameter) is not in the schema")
                    continue
                }
                let parts = mine.differences(from: theirs, isInPath: method.path.contains("{\(parameter)}"))
                differences += parts.map { "\(name) \(parameter): \($0)" }
            }
        }
        #expect(differences.isEmpty, "\(differences.sorted().joined(separator: "\n"))")
    }

    @Test
    func `every endpoint needs the privileges that the schema names`() throws {
        let schema = try Schema()
        var differences: [String] = []
        for method in Simulator.surface {
            let name = "\(method.method) \(method.path)"
            // Recordings show that everybody may ask, and sees less.
            guard let theirs = schema.needs[name], name != "GET /cluster/options" else { continue }
            let parts = method.needs.split(separator: " ")
            let mine =
                parts.count < 2
                ? "" : "\(parts[0]) \(Set(parts[1].split(separator: "|")).sorted().joined(separator: "|"))"
            if mine != theirs { differences.append("\(name) needs '\(method.needs)', schema '\(theirs)'") }
        }
        #expect(differences.isEmpty, "\(differences.sorted().joined(separator: "\n"))")
    }

    @Test
    func `no endpoint is there twice`() {
        let names = Simulator.surface.map { "\($0.method) \($0.path)" }
        #expect(names.count == Set(names).count)
    }

    @Test
    func `what of the schema is not covered is listed, and the list gets no longer`() throws {
        let schema = try Schema()
        let surface = Simulator.surface.reduce(into: [:]) { $0["\($1.method) \($1.path)"] = $1.parameters }
        var gaps: Set<String> = []
        var offered = 0
        var all = 0
        for (name, theirs) in schema.methods {
            guard let mine = surface[name] else {
                gaps.insert("endpoint \(name)")
                continue
            }
            for (parameter, theirs) in theirs {
                all += 1
                guard let mine = mine[parameter] else {
                    gaps.insert("parameter \(name) \(parameter)")
                    continue
                }
                offered += 1
                if let form = mine.unchecked(theirs, named: parameter) { gaps.insert("form \(form)") }
            }
        }
        print("simulator: \(surface.count) of \(schema.methods.count) endpoints of Proxmox VE's schema, and of their")
        print("\(all) parameters \(offered); \(gaps.count { $0.hasPrefix("form ") }) forms of values are not checked")
        var listed = Set((try? Self.uncovered.lines()) ?? [])
        if GoldenFile.isWriting {
            listed = listed.isEmpty ? gaps : listed.intersection(gaps)
            try Self.uncovered.write(listed.sorted())
        }
        #expect(gaps.subtracting(listed).sorted() == [], "not covered, and not listed")
        #expect(listed.subtracting(gaps).sorted() == [], "covered now: take it off the list")
    }
}
