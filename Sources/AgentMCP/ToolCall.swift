import AgentAPI
import AgentModel
import AgentService
import StrictJSON

/// What a tool came to.
struct ToolResult: Sendable {
    /// For text and structured content alike. With an error for the text alone, as it is not of the tool's schema.
    let content: JSONObject
    var isError = false
    /// What an apply has started; a client that declares tasks follows it as one.
    var operation: AgentModel.Operation?

    /// The result of `tools/call`.
    var json: JSONObject {
        let content = JSON.object(content)
        return [
            "content": [["type": "text", "text": .string(content.text)]],
            "structuredContent": isError ? nil : content, "isError": .bool(isError),
        ]
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
