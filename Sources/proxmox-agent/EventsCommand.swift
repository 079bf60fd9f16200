import AgentModel
import ArgumentParser
import FoundationEssentials
import Glibc
import StrictJSON
import Synchronization
import SystemFile
import SystemPackage
import UnixSignals

/// `proxmox-agent events`
struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Print what happens, as it happens.",
        discussion: """
            One line for each event: its number, or - if it has none, the time, the kind, the environment, and what else it \
            tells. With --json one JSON object a line, with the number as id.

            It goes on until SIGINT (Ctrl-C) or SIGTERM, or until nobody reads its output. When the connection breaks, or the \
            agent restarts, it asks again from the last event on, so that none is lost.
            """)

    @Option(help: ArgumentHelp("Only those of this environment.", valueName: "name"))
    var environment: String?

    @Option(
        help: ArgumentHelp(
            "Only these kinds, or what stands before their dots, with commas: operation,plan.created.",
            valueName: "kinds"))
    var kind: String?

    @Option(help: ArgumentHelp("Only those of this plan.", valueName: "id"), transform: { try Beginning($0, .plan) })
    var plan: Beginning?

    @Option(
        help: ArgumentHelp("Begin behind the event of this number, 0 for the first; else now.", valueName: "number"))
    var after: UInt64?

    @OptionGroup var client: ClientOptions

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        Task { for await _ in signals { _exit(0) } }
        do throws(ClientError) { try await follow(try AgentClient(client)) } catch {
            if client.json, let answer = error.answer { print(escaped(answer.text)) }
            for line in error.lines { complain(quoted(line)) }
            throw ExitCode.failure
        }
    }

    /// Reads one stream after the other; returns when nobody reads the output any more.
    private func follow(_ agent: AgentClient) async throws(ClientError) {
        let id: RecordID? = if let plan { try await agent.id(plan) } else { nil }
        let query = [
            ("environment", environment), ("kind", kind), ("plan", id?.description), ("after", after.map { "\($0)" }),
        ]
        let printer = EventPrinter(json: client.json)
        var failures = 0
        while true {
            let before = printer.last
            let end: AgentClient.StreamEnd
            do throws(ClientError) {
                end = try await agent.events(query, after: before) { printer.take($0) }
            } catch {
                // The agent stops, or is busy: it may take the next one.
                guard before != nil, Self.isBusy(error) else { throw error }
                end = .broken(error.lines.first ?? "")
            }
            if printer.isOver { return }
            if printer.last != before { failures = 0 }
            if case .broken(let why) = end {
                guard let last = printer.last else { throw ClientError([why]) }
                if failures == 0 { complain(quoted("\(why); going on behind event \(last) when it answers")) }
                failures += 1
            }
            let pause = min(30_000, (printer.retry ?? 2000) << min(failures, 4))
            try? await Task.sleep(for: .milliseconds(pause))
        }
    }

    private static func isBusy(_ error: ClientError) -> Bool {
        let code = error.answer?.json["code"]?.string
        return ["shutting_down", "overloaded", "rate_limited", "audit_unavailable"].contains(code)
    }
}

/// Prints events as their bytes come.
private final class EventPrinter: Sendable {
    private struct State {
        var parser = EventParser()
        var isOver = false
    }

    private let json: Bool
    private let state = Mutex(State())

    init(json: Bool) { self.json = json }

    /// The place to resume from.
    var last: String? { state.withLock { $0.parser.last } }
    /// How long to wait before that, in milliseconds.
    var retry: Int? { state.withLock { $0.parser.retry } }
    /// Whether nobody reads the output any more.
    var isOver: Bool { state.withLock { $0.isOver } }

    /// Prints the events that end in `bytes`. False once nobody reads the output any more.
    func take(_ bytes: [UInt8]) -> Bool {
        // Written under the lock, so that an event is only heard once it is printed. Nobody else waits for it.
        state.withLock { state in
            for event in state.parser.take(bytes) {
                let line = json ? event.jsonLine : event.line
                do throws(Errno) { try FileDescriptor.standardOutput.writeWhole(Array((line + "\n").utf8)) } catch {
                    state.isOver = true
                    return false
                }
            }
            // With every sign of life, too.
            state.isOver = Self.isReaderGone
            return !state.isOver
        }
    }

    private static var isReaderGone: Bool {
        var output = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
        return poll(&output, 1, 0) > 0 && output.revents & Int16(POLLERR | POLLHUP) != 0
    }
}

extension EventParser.Event {
    private var members: JSONObject { (try? JSON.parse(Array(data.utf8)))?.object ?? ["data": .string(data)] }

    /// As JSON, with the number first.
    var jsonLine: String {
        var object = JSONObject()
        object["id"] = id.flatMap { Int64($0) }.map { .integer($0) } ?? .null
        for member in members.members where member.key != "id" { object[member.key] = member.value }
        return escaped(JSON.object(object).text)
    }

    /// For people.
    var line: String {
        let members = members
        let first = [
            id ?? "-", members["at"]?.string ?? "", members["kind"]?.string ?? "",
            members["environment"]?.string ?? "-",
        ]
        let rest = members.members.filter { !["at", "kind", "environment"].contains($0.key) }
        return quoted(
            (first + rest.map { "\(quoted($0.key))=\(PlanText.word($0.value))" }).joined(separator: "  "))
    }
}
