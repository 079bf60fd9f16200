import AgentAPI
import AgentModel
import AgentService
import StrictJSON

/// What a tool came to.
struct ToolResult: Sendable {
    /// The content as JSON, for text and structured content alike. With an error for the text alone, as it is not of the
    /// tool's schema.
    let text: [UInt8]
    let isError: Bool
    /// What an apply has started; a client that declares tasks follows it as one.
    let operation: AgentModel.Operation?

    init(content: JSONObject, isError: Bool = false, operation: AgentModel.Operation? = nil) {
        text = JSON.object(content).bytes
        self.isError = isError
        self.operation = operation
    }

    /// The content with one more member, a list whose elements are written already, with commas between them.
    init(content: JSONObject, listing key: String, _ elements: [UInt8]) {
        var text = Array("{\"\(key)\":[".utf8) + elements + Array("]".utf8)
        let rest = JSON.object(content).bytes.dropFirst()
        if rest.count > 1 { text.append(UInt8(ascii: ",")) }
        self.text = text + rest
        (isError, operation) = (false, nil)
    }

    /// Appends the members of the result of `tools/call`, without braces.
    func write(to bytes: inout [UInt8]) {
        bytes += Array("\"content\":[{\"type\":\"text\",\"text\":".utf8)
        JSON.string(String(decoding: text, as: UTF8.self)).write(to: &bytes)
        bytes += Array("}],".utf8)
        if !isError { bytes += Array("\"structuredContent\":".utf8) + text + [UInt8(ascii: ",")] }
        bytes += Array("\"isError\":\(isError)".utf8)
    }

    /// The result of `tools/call`.
    var json: JSONObject {
        var bytes = [UInt8(ascii: "{")]
        write(to: &bytes)
        bytes.append(UInt8(ascii: "}"))
        return (try? JSON.parse(bytes))?.object ?? [:]
    }
}

/// One call of a tool, on its way. Each tool is a function of this type, named in the table of tools.
struct ToolCall: Sendable {
    let service: ControlPlane
    let context: Context
    let guestLists: GuestLists
    /// Whether a refusal to read the arguments is recorded.
    let isChange: Bool
    /// Whether an operation is followed as a task, so that nobody waits for it here.
    var declaresTasks = false
    let arguments: JSONObject

    /// Reads the arguments with `read`; refuses unknown ones.
    func read<Value: Sendable>(
        _ read: (inout ObjectReader) throws(ServiceError) -> Value
    ) async throws(ServiceError) -> Value {
        guard isChange else { return try parsed(read) }
        return try await service.recordingRefusals(of: context) { () throws(ServiceError) in try parsed(read) }
    }

    private func parsed<Value>(
        _ read: (inout ObjectReader) throws(ServiceError) -> Value
    ) throws(ServiceError) -> Value {
        var reader = ObjectReader(arguments, at: JSONPath([.key("arguments")]))
        let value = try read(&reader)
        do throws(JSONIssues) { try reader.finish() } catch { throw ServiceError(error) }
        return value
    }

    /// The data of a read, which the service decides on and records like any other.
    func data(
        _ action: String, _ target: String, _ params: JSONObject = [:], in environment: String
    ) async throws(ServiceError) -> ReadResult.Content {
        let name = try await service.environment(named: environment, .view, context)
        let request: ActionRequest
        do throws(RequestError) {
            request = try ActionRequest(FollowUp(environment: name, action: action, target: target, params: params))
        } catch { throw ServiceError(error) }
        return try await service.reads.read(request, context).result.content
    }

    func planID(_ reader: inout ObjectReader) -> RecordID? {
        reader.require("plan_id", "a plan's id, as plan_create gives it")
        return reader.parsed("plan_id", "a plan's id, pln_ and 20 characters") { RecordID($0, .plan) }
    }

    /// Throws if the arguments have a flaw, and says what is missing.
    func needed<Value>(_ value: Value?, _ reader: inout ObjectReader) throws(ServiceError) -> Value {
        if let value { return value }
        do throws(JSONIssues) { try reader.finish() } catch { throw ServiceError(error) }
        throw ServiceError(.internalError, "reading the arguments went wrong")
    }
}

/// How much of a thing an answer shows.
enum Detail: String {
    case concise, full
}

extension ObjectReader {
    mutating func detail() -> Detail { parsed("detail", "concise or full", Detail.init) ?? .concise }

    mutating func environment() -> String? {
        require("environment", "an environment's name; environment_list has them")
        return string("environment")
    }

    /// The number of the first row of a page.
    mutating func offset() -> Int {
        parsed("cursor", "next_cursor of an answer") { Int($0).flatMap { (0...1_000_000).contains($0) ? $0 : nil } }
            ?? 0
    }
}
