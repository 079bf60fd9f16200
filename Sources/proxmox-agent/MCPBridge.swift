import FoundationEssentials
import HTTPMessage
import HTTPTypes
import StrictJSON
import Synchronization

/// Forwards messages of the Model Context Protocol to an agent's `/mcp`, each as a request of its own, and writes the
/// answers.
final class MCPBridge: Sendable {
    /// The largest message. The agent's own limit is lower.
    static let maximumLine = 16 << 20

    private struct State {
        /// What older revisions agreed on in `initialize`.
        var version: String?
        /// Requests under way, by the text of their id.
        var inFlight: [String: Task<Void, Never>] = [:]
    }

    private let agent: AgentClient
    private let write: @Sendable ([UInt8]) -> Void
    private let state = Mutex(State())
    /// One line at a time.
    private let output = Mutex(())

    /// `write` gets one line with its newline at a time.
    init(_ agent: AgentClient, write: @escaping @Sendable ([UInt8]) -> Void) {
        self.agent = agent
        self.write = write
    }

    /// Forwards every line; returns once all are answered.
    func run(on lines: AsyncStream<[UInt8]?>) async {
        await withDiscardingTaskGroup { group in
            for await line in lines {
                guard let line else {
                    answer(["code": -32600, "message": "a message is larger than \(Self.maximumLine) bytes"], to: nil)
                    continue
                }
                guard line.contains(where: { $0 > 0x20 }) else { continue }
                let message = Message(line)
                if let request = message.cancels {
                    state.withLock { $0.inFlight.removeValue(forKey: request) }?.cancel()
                    continue
                }
                let task = state.withLock { state in
                    let task = Task { await forward(message) }
                    if let id = message.id { state.inFlight[id.text] = task }
                    return task
                }
                group.addTask { await task.value }
            }
        }
    }

    private func forward(_ message: Message) async {
        let version = message.version ?? state.withLock { $0.version }
        let reply: Result<IncomingResponse, ClientError>
        do throws(ClientError) {
            reply = .success(try await agent.forward(message.line, to: "/mcp", message.fields(version)))
        } catch { reply = .failure(error) }
        if let id = message.id { state.withLock { $0.inFlight[id.text] = nil } }
        // Nobody waits for the answer to a request that was cancelled.
        if Task.isCancelled { return }
        switch reply {
        case .success(let response): take(response, to: message)
        case .failure(let error): fail(error.lines, 503, message)
        }
    }

    private func take(_ response: IncomingResponse, to message: Message) {
        if response.status == 202 { return }
        guard let json = try? JSON.parse(response.body), json.object != nil else {
            return fail(["the agent's answer, status \(response.status), is no JSON"], response.status, message)
        }
        guard json["jsonrpc"] != nil else {
            return fail(AgentClient.lines(of: json, status: response.status), response.status, message)
        }
        if message.method == "initialize", let version = json["result"]?["protocolVersion"]?.string {
            state.withLock { $0.version = version }
        }
        send(json)
    }

    /// An answer of the bridge's own: its code is the status that the agent gave, or would have given.
    private func fail(_ lines: [String], _ status: Int, _ message: Message) {
        for line in lines { complain(quoted(line)) }
        if let id = message.id {
            answer(["code": JSON(status), "message": .string(lines.joined(separator: "; "))], to: id)
        }
    }

    private func answer(_ error: JSON, to id: JSON?) { send(["jsonrpc": "2.0", "id": id, "error": error]) }

    private func send(_ message: JSON) {
        output.withLock { _ in write(message.bytes + [UInt8(ascii: "\n")]) }
    }
}

extension MCPBridge {
    /// A message as it came, and what the agent wants to have in header fields as well.
    private struct Message: Sendable {
        let line: [UInt8]
        let id: JSON?
        let method: String?
        private let params: JSON?

        init(_ line: [UInt8]) {
            self.line = line
            // The agent tells what is wrong with a line that is no message.
            let json = try? JSON.parse(line)
            id = json?["id"].flatMap { $0.string != nil || $0.integer != nil ? $0 : nil }
            method = json?["method"]?.string
            params = json?["params"]
        }

        /// The id of the request that this notification gives up.
        var cancels: String? {
            method == "notifications/cancelled" && id == nil ? params?["requestId"]?.text : nil
        }

        /// The version that stands in the message's own metadata.
        var version: String? { params?["_meta"]?["io.modelcontextprotocol/protocolVersion"]?.string }

        func fields(_ version: String?) -> HTTPFields {
            var fields: HTTPFields = [
                .contentType: "application/json", .accept: "application/json, text/event-stream",
            ]
            fields[Self.version] = version.flatMap { Self.isPlain($0) ? $0 : nil }
            guard self.version != nil, let method else { return fields }
            fields[Self.method] = Self.isPlain(method) ? method : nil
            let key = method == "tools/call" ? "name" : method.hasPrefix("tasks/") ? "taskId" : nil
            fields[Self.name] = key.flatMap { params?[$0]?.string }.map(Self.encoded)
            return fields
        }

        private static func isPlain(_ text: String) -> Bool {
            !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } && !text.hasPrefix("=?base64?")
        }

        private static func encoded(_ text: String) -> String {
            isPlain(text) ? text : "=?base64?\(Data(text.utf8).base64EncodedString())?="
        }

        private static let version = name("MCP-Protocol-Version")
        private static let method = name("Mcp-Method")
        private static let name = name("Mcp-Name")

        private static func name(_ text: String) -> HTTPField.Name {
            guard let name = HTTPField.Name(text) else { preconditionFailure("\(text) is no field name") }
            return name
        }
    }
}
