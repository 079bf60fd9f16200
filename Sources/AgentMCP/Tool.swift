import AgentService
import StrictJSON

/// One tool: what a client reads of it, and what it does. The table of tools is the face.
struct Tool: Sendable {
    /// What a client may show a person. Policy stays in the service.
    struct Hints {
        var isReadOnly = true
        var isDestructive = false
        var isIdempotent = true
    }

    struct Argument {
        let name: String
        let schema: JSONObject
        let isRequired: Bool

        init(_ name: String, _ schema: JSONObject, required: Bool = false) {
            self.name = name
            self.schema = schema
            isRequired = required
        }
    }

    let name: String
    let summary: String
    let hints: Hints
    let arguments: [Argument]
    /// The members that every result without an error has, with their types.
    let output: [(name: String, type: String)]
    let run: @Sendable (ToolCall) -> () async throws(ServiceError) -> ToolResult

    /// The tool in `tools/list`.
    var json: JSON {
        let required = arguments.filter(\.isRequired).map(\.name)
        return [
            "name": .string(name), "description": .string(summary),
            "inputSchema": [
                "type": "object",
                "properties": .object(arguments.reduce(into: JSONObject()) { $0[$1.name] = .object($1.schema) }),
                "required": required.isEmpty ? nil : JSON(required), "additionalProperties": false,
            ],
            "outputSchema": [
                "type": "object",
                "properties": .object(output.reduce(into: JSONObject()) { $0[$1.name] = ["type": .string($1.type)] }),
                "required": output.isEmpty ? nil : JSON(output.map(\.name)),
            ],
            "annotations": [
                "readOnlyHint": .bool(hints.isReadOnly), "destructiveHint": .bool(hints.isDestructive),
                "idempotentHint": .bool(hints.isIdempotent), "openWorldHint": false,
            ],
        ]
    }
}

extension Tool.Argument {
    private static let text: JSONObject = ["type": "string"]

    static let environment = Tool.Argument("environment", text, required: true)
    static let anyEnvironment = Tool.Argument("environment", text)
    static let plan = Tool.Argument("plan_id", text, required: true)
    static let cursor = Tool.Argument("cursor", text)
    static let detail = Tool.Argument("detail", ["type": "string", "enum": ["concise", "full"]])
    static let wait = Tool.Argument("wait", ["type": "integer", "minimum": 0, "maximum": 30])

    static func text(_ name: String, _ about: String? = nil, required: Bool = false) -> Tool.Argument {
        var schema = text
        schema["description"] = about.map { .string($0) }
        return Tool.Argument(name, schema, required: required)
    }
}

extension Tool {
    /// All tools, in the order in which they are listed.
    static let all: [Tool] = [
        Tool(
            name: "environment_list", summary: "The PVE clusters and how they are", hints: Hints(), arguments: [],
            output: [("environments", "array")], run: ToolCall.environmentList),
        Tool(
            name: "inventory", summary: "Guests, filtered: counts and a page. name: a part of it", hints: Hints(),
            arguments: [
                .anyEnvironment, .text("node"), .text("status"), .text("tag"), .text("name"), .cursor, .detail,
            ], output: [("matched", "integer"), ("counts", "object"), ("guests", "array")], run: ToolCall.inventory),
        Tool(
            name: "guest_get", summary: "Configuration and status of one guest", hints: Hints(),
            arguments: [.environment, .text("guest", "vm/101 or lxc/200", required: true), .detail],
            output: [("config", "object"), ("status", "object")], run: ToolCall.guestGet),
        Tool(
            name: "node_list", summary: "Nodes of a cluster", hints: Hints(),
            arguments: [.environment, .cursor, .detail],
            output: [("nodes", "array")], run: ToolCall.nodeList),
        Tool(
            name: "storage_list", summary: "Storages of a cluster, by node", hints: Hints(),
            arguments: [.environment, .text("node"), .cursor, .detail], output: [("storages", "array")],
            run: ToolCall.storageList),
        Tool(
            name: "task_log", summary: "What a PVE task wrote; without upid the newest tasks", hints: Hints(),
            arguments: [.environment, .text("upid"), .cursor], output: [], run: ToolCall.taskLog),
        Tool(
            name: "action_catalog", summary: "Names of all actions; with action, its targets, risk and parameters",
            hints: Hints(), arguments: [.text("action"), .text("match"), .cursor], output: [],
            run: ToolCall.actionCatalog),
        Tool(
            name: "plan_create", summary: "Plan an action: shows what would happen",
            hints: Hints(isReadOnly: false, isIdempotent: false),
            arguments: [
                .environment, .text("action", required: true), .text("target", "vm/101, node/pve1, …", required: true),
                Argument("params", ["type": "object"]), Argument("dry_run", ["type": "boolean"]),
                .text("reason"), .detail,
            ], output: planned, run: ToolCall.planCreate),
        Tool(
            name: "plan_get", summary: "One plan as it stands", hints: Hints(), arguments: [.plan, .detail],
            output: planned, run: ToolCall.planGet),
        Tool(
            name: "plan_cancel", summary: "Cancel a plan, or ask PVE to stop its operation",
            hints: Hints(isReadOnly: false), arguments: [.plan], output: planned, run: ToolCall.planCancel),
        Tool(
            name: "plan_apply", summary: "Carry out an approved plan, once. wait: seconds",
            hints: Hints(isReadOnly: false, isDestructive: true), arguments: [.plan, .wait],
            output: [("plan_id", "string"), ("status", "string")], run: ToolCall.planApply),
        Tool(
            name: "operation_get", summary: "An operation. wait: seconds, for its end", hints: Hints(),
            arguments: [.text("operation_id", required: true), .wait, .detail], output: [("operation", "object")],
            run: ToolCall.operationGet),
    ]

    private static let planned = [("plan_id", "string"), ("state", "string")]
}
