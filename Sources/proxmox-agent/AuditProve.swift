import AgentAudit
import AgentModel
import AgentService
import AgentStorage
import ArgumentParser
import TransparencyLog

extension AuditCommand {
    /// `proxmox-agent audit key`
    struct Key: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "key",
            abstract: "Print the key that verifies checkpoints of the log.",
            discussion: """
                Prints one line, NAME+ID+KEY, for auditors (audit verify --key) and witnesses (witness --log). Keep it \
                where whoever could change the log cannot change it. Reads the state's key; may run beside the agent.
                """)

        @Option(
            help: ArgumentHelp(
                "The configuration file; only audit_origin, agent_name and the state are used.", valueName: "file"),
            completion: .file())
        var config: String

        func run() throws { print(try SigningState(config).key.verifier) }
    }

    /// `proxmox-agent audit prove`
    struct Prove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "prove",
            abstract: "Prove that a record is in the log of a checkpoint.",
            discussion: """
                Prints a proof (c2sp.org/tlog-proof) that anybody can check who has the record, the log's key and \
                nothing else. It reads the log's files, those that were rotated and are beside it too, and may run \
                beside the agent. With --config the checkpoint is the newest that the agent has signed; with \
                --checkpoint it is the one in that file, which is believed only as far as the log bears it out.
                """)

        @Argument(help: "The record's number, its seq.")
        var seq: UInt64

        @Argument(help: "The log; audit_log_path of the configuration, or ./data/audit.log.", completion: .file())
        var file: String?

        @Option(
            help: ArgumentHelp(
                "The configuration file; only audit_log_path, audit_origin, agent_name and the state are used.",
                valueName: "file"),
            completion: .file())
        var config: String?

        @Option(help: ArgumentHelp("Or a file with a checkpoint.", valueName: "file"), completion: .file())
        var checkpoint: String?

        func validate() throws {
            guard (config == nil) != (checkpoint == nil) else { throw ValidationError("give --config or --checkpoint") }
            guard seq > 0 else { throw ValidationError("records are numbered from 1") }
        }

        mutating func run() async throws {
            var log = AgentConfig().auditLogPath
            let note: SignedNote
            if let config {
                log = try configuredPath("audit_log_path", in: config) ?? log
                let state = try SigningState(config)
                guard let newest = state.newest else {
                    throw fail("no checkpoint of \(state.key.verifier.name) has been signed yet")
                }
                note = newest.note
            } else {
                note = try readNote(checkpoint ?? "")
            }
            let head: TreeHead
            do throws(NoteError) { head = try Checkpoint(note).head } catch { throw fail("\(error)") }
            do throws(AuditError) {
                let path = file ?? log
                let proof = try await ProofFile(of: seq, in: note, head) { parts throws(AuditError) in
                    try AuditLogFiles.hashes(of: parts, in: head.size, of: path)
                }
                print(proof, terminator: "")
            } catch {
                throw fail("\(error)")
            }
        }
    }
}

/// What the state and the configuration say of checkpoints, read without disturbing a running agent.
private struct SigningState {
    let key: SigningKey
    let newest: SignedCheckpoint?

    init(_ config: String) throws(ExitCode) {
        let (agent, location) = try configuredAgent(in: config)
        let state: InspectedSigning
        do throws(StoreError) { state = try location.signing() } catch { throw fail(error) }
        let origin = AgentConfig.origin(
            try configuredPath("audit_origin", in: config), of: agent, id: state.installation)
        guard let key = AgentConfig.checkpointKey(state.key, origin) else {
            throw fail("\(config): audit_origin cannot be the name of a key")
        }
        self.key = key
        newest = state.checkpoints.first { $0.origin == origin }
    }
}

extension AgentConfig {
    /// The name of the log, if nothing but that of the configuration is read.
    static func origin(_ given: String?, of agent: String?, id: String) -> String {
        var settings = AgentConfig()
        settings.agentName = agent
        settings.auditOrigin = given
        return settings.installation(id: id).origin
    }
}

/// Reads a file with a note.
func readNote(_ file: String) throws(ExitCode) -> SignedNote {
    let bytes: [UInt8]
    do throws(FileError) { bytes = try readFile(file, limit: SignedNote.maximumBytes) } catch {
        throw fail("\(file): \(error.detail)")
    }
    do throws(NoteError) { return try SignedNote(parsing: bytes) } catch { throw fail("\(file): \(error)") }
}

extension VerifierKey {
    /// In the form that commands print.
    init(option name: String, _ text: String, _ use: NoteKeyUse) throws(ValidationError) {
        guard let key = VerifierKey(text), key.use == use else {
            let command = use == .log ? "proxmox-agent audit key" : "proxmox-agent witness"
            throw ValidationError("\(name) takes the line that \(command) prints: NAME+ID+KEY")
        }
        self = key
    }
}
