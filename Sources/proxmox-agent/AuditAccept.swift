import AgentAudit
import AgentModel
import AgentService
import AgentStorage
import ArgumentParser
import FoundationEssentials
import Glibc
import StrictJSON

extension AuditCommand {
    /// `proxmox-agent audit accept`
    struct Accept: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "accept",
            abstract: "Accept a log that does not continue the one the state knows.",
            discussion: """
                For when the agent does not start because the log is gone, was cut or is another one, and the right file \
                cannot be brought back. Run it as the agent's user while the agent is stopped. The log has to end at the \
                head that is named, and to be whole. Who accepted what is recorded in it. Plans that could still be \
                applied are cancelled: nobody can tell any more whether they were.
                """)

        @Option(
            help: ArgumentHelp(
                "The configuration file; only audit_log_path, audit_origin, agent_name and the state are used.",
                valueName: "file"),
            completion: .file())
        var config: String

        @Option(help: ArgumentHelp("The head of the log, as seq:hash; none for an empty one.", valueName: "seq:hash"))
        var head: String

        @Option(help: ArgumentHelp("Why; recorded.", valueName: "text"))
        var reason: String?

        mutating func run() async throws {
            let accepted = head == "none" ? AuditHead.empty : try AuditHead(option: head)
            let usual = AgentConfig()
            let log = try configuredPath("audit_log_path", in: config) ?? usual.auditLogPath
            let agent = try configuredAgent(in: config)
            let given = try configuredPath("audit_origin", in: config)
            do throws(StoreError) {
                let store = try agent.state.used(by: agent.name ?? "").open()
                let line: String
                let origin = AgentConfig.origin(given, of: agent.name, id: store.installation)
                do throws(AuditError) { line = try await accept(accepted, log, agent.name, store, origin) } catch {
                    await store.close()
                    throw StoreError(error.description)
                }
                await store.close()
                print(quoted(line))
            } catch {
                throw fail(error)
            }
        }

        /// Records that the log is accepted, and then makes the state continue from there.
        private func accept(
            _ accepted: AuditHead, _ log: String, _ agent: String?, _ store: any StateStore, _ origin: String
        ) async throws(AuditError) -> String {
            if accepted != .empty {
                do throws(AuditFinding) { _ = try AuditVerifier.verify(files: [log], ignoringTorn: true) } catch {
                    throw AuditError(
                        "audit log \(error); keep the file as evidence, move it to another directory, and accept none")
                }
            }
            let (saved, signed) = try await Self.naming { () throws(StoreError) in
                try await store.read { ($0.mark, $0.checkpoint(of: origin)) }
            }
            let sink = try FileAuditSink(
                path: log, of: agent, continuing: saved?.head, tree: saved?.tree, signed: signed?.head,
                accepting: accepted)
            let event = AuditEvent(
                kind: .log, actor: "proxmox-agent", principal: "proxmox-agent",
                result: [
                    "event": "accepted", "accepted_by": .string(Self.user),
                    "state_head": .string(saved?.head.description ?? "none"), "log_head": .string(head),
                    "reason": reason.map { .string($0) },
                ])
            let now = Date()
            let made = try await sink.append(event, .now)
            try await sink.close()
            let tree = sink.end.head == made ? sink.end.tree : nil
            let count = try await Self.naming { () throws(StoreError) in
                try await store.write { records -> Int in
                    let plans = records.plans(PlanFilter(isLive: true))
                    for var plan in plans where plan.move(to: .cancelled, at: now) { records.put(plan) }
                    // Whether these were sent is unknown: the next start looks for them at PVE.
                    for var operation in records.operations(OperationFilter(state: .queued))
                    where operation.move(to: .running, at: now) { records.put(operation) }
                    records.put(AuditMark(head: made, settled: made.seq, isOfCopy: true, tree: tree))
                    return plans.count
                }
            }
            return "accepted: the log goes on at \(made); \(count) plans that could still be applied are cancelled"
        }

        private static func naming<T: Sendable>(
            _ body: () async throws(StoreError) -> T
        ) async throws(AuditError) -> T {
            do throws(StoreError) { return try await body() } catch { throw AuditError(error.detail) }
        }

        /// The user who runs this, and who called `sudo`.
        private static var user: String {
            let name = getpwuid(getuid()).map { String(cString: $0.pointee.pw_name) } ?? "uid \(getuid())"
            return environmentVariables()["SUDO_USER"].map { "\($0) as \(name)" } ?? name
        }
    }
}
