import AgentModel
import AgentService
import HTTPMessage
import HTTPTypes
package import StrictJSON

/// The OpenAPI 3.1 description of the API, made from the table of routes, the views and the catalogue of actions.
package enum OpenAPI {
    /// The version of the description. It changes with what docs/api-versioning-policy.md calls a change of the API.
    package static let version = "1.0.0"

    package static func document(of routes: [Route]) -> JSON {
        var paths: [(path: String, operations: JSONObject)] = []
        for route in routes {
            let index = paths.firstIndex { $0.path == route.path }
            let place = index ?? paths.count
            if index == nil { paths.append((route.path, parameters(inPath: route.path))) }
            paths[place].operations.append(route.method.rawValue.lowercased(), operation(route))
        }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "proxmox-agent", "version": .string(version),
                "summary": "What automation may do at several Proxmox VE clusters, planned, approved and recorded.",
                "description": .string(introduction), "license": ["name": "Apache-2.0", "identifier": "Apache-2.0"],
            ],
            "servers": [["url": "/"]],
            "security": [["token": []], ["certificate": []], ["session": []]],
            "tags": .array(tags.map { ["name": .string($0.name), "description": .string($0.summary)] }),
            "paths": .object(paths.reduce(into: JSONObject()) { $0.append($1.path, .object($1.operations)) }),
            "components": [
                "schemas": .object(
                    components.reduce(into: JSONObject()) { $0.append($1.name, .object($1.schema.json)) }),
                "securitySchemes": [
                    "token": ["type": "http", "scheme": "bearer", "description": "The token of a principal."],
                    "certificate": ["type": "mutualTLS", "description": "The client certificate of a principal."],
                    "session": [
                        "type": "apiKey", "in": "cookie", "name": .string(Sessions.cookieName),
                        "description":
                            "A session of the console. Changes need `Sec-Fetch-Site: same-origin`, or an `Origin` of the agent.",
                    ],
                ],
                "headers": headers, "parameters": sharedParameters,
            ],
        ]
    }

    private static let introduction = """
        Read what is there, plan an action, let others approve what the plan shows, apply it, and follow the operation. \
        Every error is a problem document with a stable `code`.
        """

    private static let tags = [
        (name: "health", summary: "Whether the agent serves, its figures, and what there is to ask."),
        (name: "reads", summary: "What the environments hold."),
        (name: "plans", summary: "Plan, approve, apply."),
        (name: "operations", summary: "What is, or was, carried out."),
        (name: "agents", summary: "The Model Context Protocol."),
        (name: "control", summary: "Freezes and the audit log."),
        (name: "sessions", summary: "Who is signed in at the console."),
    ]

    private static func tag(_ route: Route) -> String {
        guard route.isVersioned else { return "health" }
        switch route.path.split(separator: "/").dropFirst().first {
        case nil: return "agents"
        case "plans": return "plans"
        case "actions": return route.method == .get ? "reads" : "plans"
        case "operations": return "operations"
        case "freeze", "audit", "policy": return "control"
        case "session", "sessions": return "sessions"
        default: return "reads"
        }
    }

    // MARK: An operation

    private static func operation(_ route: Route) -> JSON {
        var parameters = route.query.map { parameter -> JSON in
            [
                "name": .string(parameter.name), "in": "query", "description": .string(parameter.summary),
                "required": .bool(parameter.isRequired), "schema": .object(parameter.schema.json),
            ]
        }
        let isRepeatable = route.errors.contains(.idempotencyKeyReused)
        if route.access != .open { parameters.append(reference("parameters", "ActorID")) }
        parameters.append(reference("parameters", "RequestID"))
        if isRepeatable { parameters.append(reference("parameters", "IdempotencyKey")) }
        if route.isTagged { parameters.append(reference("parameters", "IfNoneMatch")) }
        if route.name == "apply_plan" { parameters.append(reference("parameters", "Prefer")) }
        if route.name == "call_mcp" { parameters.append(reference("parameters", "ProtocolVersion")) }
        return [
            "operationId": .string(route.name), "summary": .string(route.summary), "tags": [.string(tag(route))],
            "description": route.right.map {
                .string("Requires \(AccessControl.roles(for: $0)), in an environment that the request concerns.")
            },
            "security": security(route.access),
            "parameters": .array(parameters),
            "requestBody": route.body.map {
                ["required": true, "content": ["application/json": ["schema": .object($0.json)]]]
            },
            "responses": .object(responses(route)),
        ]
    }

    /// What differs from the whole API's.
    private static func security(_ access: Route.Access) -> JSON? {
        switch access {
        case .open: []
        case .scrape: [["token": []], [:]]
        case .visitor: [["token": []], ["certificate": []], ["session": []], [:]]
        case .read, .change: nil
        }
    }

    private static func parameters(inPath path: String) -> JSONObject {
        let names = path.split(separator: "/").filter { $0.hasPrefix("{") }.map { String($0.dropFirst().dropLast()) }
        guard !names.isEmpty else { return [:] }
        let kind: RecordID.Kind =
            path.hasPrefix("/v1/operations")
            ? .operation
            : path.hasPrefix("/v1/sessions")
                ? .session : path.hasPrefix("/v1/notifications") ? .notification : .plan
        return [
            "parameters": .array(
                names.map {
                    ["name": .string($0), "in": "path", "required": true, "schema": .object(Schema.id(kind).json)]
                })
        ]
    }

    // MARK: Answers

    private static func responses(_ route: Route) -> JSONObject {
        var responses = JSONObject()
        for answer in route.answers {
            responses.append(
                "\(answer.status.code)",
                [
                    "description": .string(answer.summary), "headers": fields(route, answer.status),
                    "content": answer.schema.map { schema in
                        .object(
                            answer.mediaTypes.reduce(into: JSONObject()) {
                                $0.append($1, ["schema": .object(schema.json)])
                            })
                    },
                    "links": answer.schema == nil ? nil : links(route),
                ])
        }
        var codes = [ErrorCode].everywhere + route.errors
        if [.scrape, .read, .change].contains(route.access) { codes += .withToken }
        if route.isVersioned { codes += .withCookie }
        if route.body != nil { codes += .withBody }
        let byStatus = Dictionary(grouping: ErrorCode.allCases.filter(codes.contains)) { Problem.status(of: $0).code }
        for (status, codes) in byStatus.sorted(by: { $0.key < $1.key }) {
            let problem = problem(HTTPResponse.Status(code: status), codes, route)
            responses["\(status)"] = responses["\(status)"].map { merged($0, problem) } ?? problem
        }
        responses.append("431", problem(.requestHeaderFieldsTooLarge, [.invalidRequest], route))
        return responses
    }

    /// An answer that is an error of another form, or a problem document.
    private static func merged(_ answer: JSON, _ problem: JSON) -> JSON {
        var merged = answer.object ?? [:]
        merged["description"] = .string(
            "\(answer["description"]?.string ?? ""); or \(problem["description"]?.string ?? "")")
        let contents = [answer, problem].flatMap { $0["content"]?.object?.members ?? [] }
        merged["content"] = .object(contents.reduce(into: JSONObject()) { $0[$1.key] = $1.value })
        return .object(merged)
    }

    private static func problem(_ status: HTTPResponse.Status, _ codes: [ErrorCode], _ route: Route) -> JSON {
        let lines = codes.map { "`\($0.rawValue)`: \(Problem.title(of: $0))." }
        return [
            "description": .string(lines.joined(separator: " ")), "headers": fields(route, status),
            "content": ["application/problem+json": ["schema": .object(Schema.named("Problem").json)]],
        ]
    }

    private static func fields(_ route: Route, _ status: HTTPResponse.Status) -> JSON {
        var names = ["X-Request-ID"]
        if route.lane != .health { names += ["RateLimit", "RateLimit-Policy"] }
        if route.isTagged, status.code < 400 { names.append("ETag") }
        switch status {
        case .unauthorized: names.append("WWW-Authenticate")
        case .tooManyRequests, .serviceUnavailable: names.append("Retry-After")
        case .accepted where route.name == "apply_plan": names.append("Location")
        default: break
        }
        if status.kind == .successful, route.errors.contains(.idempotencyKeyReused) {
            names.append("Idempotency-Replayed")
        }
        if status.kind == .successful, route.name == "apply_plan" { names.append("Preference-Applied") }
        return .object(names.reduce(into: JSONObject()) { $0.append($1, reference("headers", $1)) })
    }

    /// What can follow: plan, approval, apply, operation.
    private static func links(_ route: Route) -> JSON? {
        func link(_ name: String, id: String?, body: JSON? = nil, _ summary: String) -> JSON {
            [
                "operationId": .string(name), "parameters": id.map { ["id": .string($0)] }, "requestBody": body,
                "description": .string(summary),
            ]
        }
        let plan = "$response.body#/plan_id"
        switch route.name {
        case "plan_action":
            return [
                "show": link("get_plan", id: plan, "The plan, as it is then."),
                "approve": link(
                    "decide_plan", id: plan,
                    body: ["decision": "approve", "plan_hash": "{$response.body#/plan_hash}"], "Approve what it shows."),
                "apply": link("apply_plan", id: nil, body: ["plan_id": "{\(plan)}"], "Carry it out."),
                "cancel": link("cancel_plan", id: plan, "Give it up."),
            ]
        case "decide_plan":
            return ["apply": link("apply_plan", id: nil, body: ["plan_id": "{\(plan)}"], "Carry it out.")]
        case "apply_plan":
            let operation = "$response.body#/operation/operation_id"
            return [
                "follow": link("get_operation", id: operation, "The operation, as it is then."),
                "log": link("get_operation_log", id: operation, "PVE's log of it."),
            ]
        default: return nil
        }
    }

    private static func reference(_ kind: String, _ name: String) -> JSON {
        ["$ref": .string("#/components/\(kind)/\(name)")]
    }

    // MARK: Components

    /// All schemas that others refer to, in the order of the document.
    static let components: [(name: String, schema: Schema)] =
        [
            Views.plan.component, Views.summary.component, Views.previewSummary.component, Views.unstored.component,
            Views.request.component, Views.followUp.component, Views.decision.component, Views.preview.component,
            Views.change.component, Views.check.component, Views.requirement.component, Views.clause.component,
            Views.closedWindow.component,
            Views.approval.component,
            Views.signed.component,
            Views.subject.component, Views.judged.component, Views.call.component, Views.operation.component,
            Views.step.component, Views.partial.component, Views.cause.component, Views.progress.component,
            Views.drift.component,
            Views.gap.component,
            Views.upstream.component, Views.breakGlass.component, Views.review.component, Views.verdict.component,
            Views.freeze.component, Views.notification.component, Views.identity.component,
            Views.session.component, Views.approvalKey.component, Views.rule.component, Views.window.component,
            Views.period.component, Views.limit.component,
            Views.limitUse.component,
            Views.explanation.component, Views.explainedSubject.component, Views.explainedRule.component,
            Views.reloaded.component,
            Views.action.component, Views.environment.component,
            ("Problem", Problem.schema),
        ] + Envelopes.all.map { ($0.name, $0.form) } + Envelopes.requests

    private static let headers: JSON = {
        func header(_ summary: String, _ schema: Schema = .text) -> JSON {
            ["description": .string(summary), "schema": .object(schema.json)]
        }
        return [
            "X-Request-ID": header("The request's id, as in the access log and in audit records."),
            "RateLimit": header("What is left of the caller's rate limits (draft-ietf-httpapi-ratelimit-headers)."),
            "RateLimit-Policy": header("The caller's rate limits."),
            "ETag": header("Names this form of the answer, for `If-None-Match`."),
            "Retry-After": header("Seconds after which to ask again.", .integer()),
            "WWW-Authenticate": header("`Bearer` (RFC 6750)."),
            "Location": header("Where the operation is found."),
            "Idempotency-Replayed": header("`true` if an earlier answer to the same key was repeated."),
            "Preference-Applied": header("The part of `Prefer` that was followed (RFC 7240)."),
        ]
    }()

    private static let sharedParameters: JSON = {
        func header(_ name: String, _ schema: Schema, _ summary: String) -> JSON {
            [
                "name": .string(name), "in": "header", "required": false, "description": .string(summary),
                "schema": .object(schema.json),
            ]
        }
        return [
            "ProtocolVersion": header(
                "MCP-Protocol-Version", .pattern("^20[0-9]{2}-[0-9]{2}-[0-9]{2}$"),
                "The revision of the protocol; the newest also takes `Mcp-Method` and `Mcp-Name`."),
            "ActorID": header(
                "X-Actor-ID", Schema(TextForm.label), "Who is behind the request; a label, not an identity."),
            "RequestID": header(
                "X-Request-ID", .text, "An id for the request: 1 to 128 of `A-Za-z0-9._-`. Another is replaced."),
            "IdempotencyKey": header(
                "Idempotency-Key", .pattern("^[!-~]{1,255}$"),
                "The same request under the same key gets the same answer for 24 hours."),
            "IfNoneMatch": header(
                "If-None-Match", .text, "The `ETag` of an earlier answer; 304 says that it is still right."),
            "Prefer": header(
                "Prefer", .text, "`wait=N` waits up to N s, at most 60, for the operation's end (RFC 7240)."),
        ]
    }()
}

extension Problem {
    /// The form of a problem document.
    static let schema = Schema.object(
        [
            "type": .text, "title": .text, "status": .integer(400...599), "code": .words(ErrorCode.self),
            "detail": Schema.text.described("This case in words, with a cure if there is one."), "request_id": .text,
            "plan_id": .id(.plan), "operation_id": .id(.operation), "operation": Views.operation.schema,
            "errors": .list(.object(["pointer": .text, "detail": .text])), "moved": .list(Views.drift.schema),
            "upstream": Views.upstream.schema,
        ], optional: ["plan_id", "operation_id", "operation", "errors", "moved", "upstream"]
    ).described("An error (RFC 9457). Programs decide by `code`.")
}
