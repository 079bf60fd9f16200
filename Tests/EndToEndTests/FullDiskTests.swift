import AgentTestSupport
import Glibc
import StrictJSON
import Testing

@Suite(.timeLimit(.minutes(2)))
struct FullDiskTests {
    @Test(
        .enabled(if: SmallDisk.isPossible, "mounting a tmpfs is not permitted"),
        arguments: ["audit_log_path", "state_path"], [false, true])
    func `on a full disk it does not start, and one line says what to do`(key: String, isNew: Bool) async throws {
        let disk = try SmallDisk(kilobytes: 512)
        let file = try ConfigFile()
        var document = file.document
        let name = "\(disk.path)/\(key == "state_path" ? "state.db" : "audit.log")"
        document[key] = .string(name)
        let config = try file.write(document)
        func start() async throws -> Program.Result {
            let program = try Program(["serve", "--config", config], variables: file.variables)
            do { _ = try await program.line { $0.contains("listening") } } catch {}
            program.signal(SIGTERM)
            return try await program.end()
        }
        if !isNew { #expect(try await start().status == 0) }
        disk.fill("\(disk.path)/ballast")
        let refused = try await start()
        #expect(refused.status == 1, "\(refused)")
        let lines = refused.err.split(separator: "\n")
        #expect(lines.count == 1, "\(refused)")
        #expect(lines.last?.contains(name.dropLast(3)) == true, "\(refused)")
        #expect(lines.last?.hasSuffix("free space on its file system") == true, "\(refused)")
        #expect(unlink("\(disk.path)/ballast") == 0)
        #expect(try await start().status == 0)
    }
}
