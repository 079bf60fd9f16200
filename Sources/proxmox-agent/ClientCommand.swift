import AgentModel
import ArgumentParser
import Glibc
import StrictJSON

/// A command that calls an agent and shows the answer.
protocol ClientCommand: AsyncParsableCommand {
    var client: ClientOptions { get }

    func ask(_ agent: AgentClient) async throws(ClientError) -> Shown
}

/// The output of a command.
struct Shown: Sendable {
    let answer: AgentClient.Answer
    /// The same as text for people.
    let lines: [String]
    /// Whether the command exits with 0.
    var isGood = true
}

extension ClientCommand {
    mutating func run() async throws {
        do throws(ClientError) {
            let shown = try await ask(try AgentClient(client))
            print(client.json ? escaped(shown.answer.text) : shown.lines.map(quoted).joined(separator: "\n"))
            if shown.isGood { return }
        } catch {
            if client.json, let answer = error.answer { print(escaped(answer.text)) }
            for line in error.lines { complain(quoted(line)) }
        }
        throw ExitCode.failure
    }
}

/// JSON text with control characters of a terminal as `\uXXXX`: the same value.
func escaped(_ json: String) -> String {
    json.unicodeScalars.reduce(into: "") { out, scalar in
        if scalar.value < 0x7F || quoted(String(scalar)) == String(scalar) {
            out.unicodeScalars.append(scalar)
        } else {
            let digits = String(scalar.value, radix: 16)
            out += "\\u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        }
    }
}

/// The id of a plan or an operation, or its beginning, with or without `pln_` or `op_`.
struct Beginning: Sendable {
    let kind: RecordID.Kind
    /// With the prefix.
    let text: String

    init(_ text: String, _ kind: RecordID.Kind) throws {
        let tail = text.hasPrefix(kind.rawValue) ? text.dropFirst(kind.rawValue.count) : text[...]
        let whole = kind.rawValue + tail + String(repeating: "0", count: max(0, 20 - tail.count))
        guard !tail.isEmpty, RecordID(whole, kind) != nil else {
            throw ValidationError(
                "an id is \(kind.rawValue) and 20 of 0-9 a-z but i l o u; its beginning is enough where no other has it"
            )
        }
        self.kind = kind
        self.text = kind.rawValue + tail
    }
}

extension AgentClient {
    /// The only plan or operation whose id begins with that, among those that the caller may see.
    func id(_ beginning: Beginning) async throws(ClientError) -> RecordID {
        if let whole = RecordID(beginning.text, beginning.kind) { return whole }
        let (name, code) = beginning.kind == .plan ? ("plan", "plan_not_found") : ("operation", "operation_not_found")
        var found: [RecordID] = []
        var before: String?
        repeat {
            let page = try await get("/v1/\(name)s", [("limit", "500"), ("before", before)]).json
            found += (page["\(name)s"]?.array ?? []).compactMap { row in
                row["\(name)_id"]?.string.flatMap { RecordID($0, beginning.kind) }
            }.filter { $0.description.hasPrefix(beginning.text) }
            before = page["next"]?.string
        } while before != nil && found.count < 2
        guard let one = found.first else {
            throw ClientError([
                "\(code): no \(name) that you may see has an id that begins with \(beginning.text); "
                    + "proxmox-agent \(name)s lists them"
            ])
        }
        guard found.count == 1 else {
            let ids = found.prefix(5).map(\.description).joined(separator: ", ")
            throw ClientError(["\(beginning.text) begins the ids of several \(name)s (\(ids)): give more of it"])
        }
        return one
    }
}
