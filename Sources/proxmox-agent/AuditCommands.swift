import AgentAudit
import AgentStorage
import ArgumentParser
import StrictJSON

/// `proxmox-agent audit`
struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Verify and read the audit log.",
        subcommands: [Verify.self, Tail.self, Accept.self])

    /// `proxmox-agent audit verify`
    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Verify the log: every record, the order and the hash chain.",
            discussion: """
                Takes the rotated files first, the present one last. Names the first bad line and exits with 1 when \
                something is wrong. A tail that was cut off cleanly shows only against a head noted earlier: --head.
                """)

        @Argument(help: "The log's files, oldest first.", completion: .file())
        var files = ["./data/audit.log"]

        @Option(help: ArgumentHelp("A head that the log must contain, as seq:hash.", valueName: "seq:hash"))
        var head: String?

        func run() throws {
            let saved = try head.map(AuditHead.init(option:))
            do throws(AuditFinding) {
                let summary = try AuditVerifier.verify(files: files, saved: saved)
                for note in summary.notes { print(note) }
                print(summary)
            } catch {
                throw fail("\(error)")
            }
        }
    }

    /// `proxmox-agent audit tail`
    struct Tail: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the newest records.")

        @Argument(help: "The log.", completion: .file())
        var file = "./data/audit.log"

        @Option(name: [.customShort("n"), .long], help: ArgumentHelp("The number of records.", valueName: "count"))
        var lines = 20

        @Flag(help: "Print the records as they are in the log.")
        var json = false

        func validate() throws {
            guard (1...100_000).contains(lines) else { throw ValidationError("-n takes 1 to 100000, not \(lines)") }
        }

        func run() throws {
            let bytes: [UInt8]
            do throws(FileError) { bytes = try readFile(file, limit: 1 << 30) } catch {
                throw fail("\(file): \(error.detail)")
            }
            for line in bytes.split(separator: UInt8(ascii: "\n")).suffix(lines) {
                print(json ? String(decoding: line, as: UTF8.self) : Self.readable(Array(line)))
            }
        }

        /// One record on one line: time, caller, action, target, result. Its values are data and are quoted.
        private static func readable(_ line: [UInt8]) -> String {
            guard let record = try? JSON.parse(line) else {
                return "not a record: " + quoted(String(decoding: line, as: UTF8.self))
            }
            let request = record["request"]
            let result = record["result"]
            let what = [
                record["environment"]?.string, request?["action"]?.string, request?["target"]?.string,
                record["plan_id"]?.string, record["operation_id"]?.string, result?["status"]?.string,
                result?["code"]?.string, result?["message"]?.string,
            ]
            let head = [record["seq"]?.text, record["ts"]?.string, record["kind"]?.string, record["actor"]?.string]
            return (head + what).compactMap { $0 }.filter { !$0.isEmpty }.map(quoted).joined(separator: "  ")
        }
    }
}

extension AuditHead {
    /// In the form that operators write; does not accept `none` for an empty log.
    init(option text: String) throws {
        guard let head = AuditHead(text.lowercased()) else {
            throw ValidationError("--head takes seq:hash, a number and 64 hexadecimal digits")
        }
        self = head
    }
}
