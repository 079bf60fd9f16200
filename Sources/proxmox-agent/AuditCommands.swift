import AgentAudit
import AgentStorage
import ArgumentParser
import FoundationEssentials
import StrictJSON
import TransparencyLog

/// `proxmox-agent audit`
struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Verify and read the audit log.",
        subcommands: [Verify.self, Prove.self, Key.self, Tail.self, Accept.self])

    /// `proxmox-agent audit verify`
    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify",
            abstract: "Verify the log: every record, the order and the hash chain.",
            discussion: """
                Takes the rotated files first, the present one last. Names the first bad line and exits with 1 when \
                something is wrong. A tail that was cut off cleanly shows only against a head noted earlier (--head), \
                and records that were replaced by others only against a checkpoint: --checkpoint takes a file with one, \
                as GET /v1/audit/checkpoint answers, and --key the line that proxmox-agent audit key printed when the \
                log could still be trusted. With --witness, the witnesses of these keys must have signed it too.

                Of several agents on one state each has a log of its own, and each tells in its log where those of the \
                others ended. --with takes the files of the others' logs, rotated ones first, and verifies them too: a \
                tail that was cut off one log, and records that were replaced in it, show against what the others tell.
                """)

        @Argument(help: "The log's files, oldest first.", completion: .file())
        var files = ["./data/audit.log"]

        @Option(
            name: .customLong("with"),
            help: ArgumentHelp("A file of another agent's log; repeatable, oldest first.", valueName: "file"),
            completion: .file())
        var others: [String] = []

        @Option(help: ArgumentHelp("A head that the log must contain, as seq:hash.", valueName: "seq:hash"))
        var head: String?

        @Option(help: ArgumentHelp("A checkpoint that the log must continue.", valueName: "file"), completion: .file())
        var checkpoint: String?

        @Option(help: ArgumentHelp("The key that signed it.", valueName: "key"))
        var key: String?

        @Option(
            name: .customLong("witness"),
            help: ArgumentHelp("A witness that must have signed it too; repeatable.", valueName: "key"))
        var witnesses: [String] = []

        func validate() throws {
            guard (checkpoint == nil) == (key == nil) else {
                throw ValidationError(
                    "give --checkpoint and --key together: without its key a checkpoint proves nothing")
            }
            guard witnesses.isEmpty || checkpoint != nil else {
                throw ValidationError("--witness is about a checkpoint: give --checkpoint and --key too")
            }
            if let key { _ = try VerifierKey(option: "--key", key, .log) }
            for witness in witnesses { _ = try VerifierKey(option: "--witness", witness, .witness) }
        }

        func run() throws {
            let saved = try head.map(AuditHead.init(option:))
            let signed = try signedTree()
            do throws(AuditFinding) {
                let (logs, told) = try AuditVerifier.verify(files: files, with: others, saved: saved, signed: signed)
                for log in logs {
                    let lead = others.isEmpty ? "" : "\(log.summary.agents.last ?? log.files.last ?? ""): "
                    for note in log.summary.notes { print(lead + note) }
                    print(lead + log.summary.description)
                }
                for line in told.lines { print(line) }
            } catch {
                throw fail("\(error)")
            }
        }

        /// The tree of the checkpoint, after its signatures were verified.
        private func signedTree() throws -> TreeHead? {
            guard let checkpoint, let key else { return nil }
            let note = try readNote(checkpoint)
            let verifier = try VerifierKey(option: "--key", key, .log)
            let verified: Checkpoint
            do throws(NoteError) { verified = try Checkpoint.verified(note, by: verifier) } catch {
                throw fail("\(checkpoint): \(error)")
            }
            for text in witnesses {
                let witness = try VerifierKey(option: "--witness", text, .witness)
                guard case .good(let time?) = witness.verdict(on: note) else {
                    throw fail("\(checkpoint): has no good signature of the witness \(witness.name)")
                }
                let date = Date(timeIntervalSince1970: Double(time)).formatted(.iso8601)
                print("witness \(witness.name) signed it at \(date)")
            }
            return verified.head
        }
    }

    /// `proxmox-agent audit tail`
    struct Tail: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "tail", abstract: "Show the newest records.")

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
