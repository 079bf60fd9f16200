import AgentModel
import AgentPolicy
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

@testable import proxmox_agent

/// The policies that the documents offer for copying.
struct PolicyExampleTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "docs/policies")

    private static let names: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".json") && !$0.hasSuffix(".cases.json") }.map { String($0.dropLast(5)) }
            .sorted()
    }()

    private static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appending(path: name + ".json")))
    }

    private static func policy(_ name: String) throws -> Policy {
        try Policy(parsing: try bytes(name), of: name)
    }

    @Test func `there are six, each with cases`() throws {
        #expect(Self.names.count == 6)
        for name in Self.names { #expect(try !Self.bytes(name + ".cases").isEmpty) }
    }

    @Test(arguments: names)
    func `a policy decides as its cases say`(name: String) throws {
        let bytes = try Self.bytes(name + ".cases")
        let object = try #require(try JSON.parse(bytes).object)
        let cases = try PolicyCases(reading: object, in: bytes, of: name)
        let report = PolicyCaseReport(cases, by: try Self.policy(name))
        #expect(report.isGood, "\(report.lines)")
        #expect(cases.cases.count >= 5)
    }

    @Test func `each action is decided as the matrices say`() throws {
        let environments = ["home", "prod"].map { name in
            EnvironmentSettings(
                name: EnvironmentName(name) ?? .sample, baseURL: "https://pve.lan:8006", tokenID: "agent@pve!\(name)",
                trust: "system", labels: ["tier": name == "prod" ? "prod" : "lab"])
        }
        let lines = try Self.names.flatMap { name in
            ["# \(name)"] + PolicyMatrix(try Self.policy(name), environments: environments).lines
        }
        try expectGolden(lines.filter { !$0.isEmpty }, "policy-examples.txt")
    }
}
