import AgentModel
import AgentService
import HTTPTypes
import StrictJSON

/// A query parameter of a route.
package struct QueryParameter: Sendable {
    package let name: String
    let schema: Schema
    let summary: String
    var isRequired = false

    init(_ name: String, _ schema: Schema, _ summary: String) {
        self.name = name
        self.schema = schema
        self.summary = summary
    }

    /// The same parameter, which the route cannot do without.
    var required: QueryParameter {
        var parameter = self
        parameter.isRequired = true
        return parameter
    }

    static let environment = QueryParameter("environment", Schema(TextForm.environment), "one environment")

    static let target = QueryParameter(
        "target", .pattern("^(\(TargetForm.allCases.map(\.expression).joined(separator: "|")))$"),
        "only those that are about it, or reach it otherwise")

    /// Kinds of events.
    static let kinds: QueryParameter = {
        let kinds = AgentEvent.Kind.allCases
        let names =
            Set(kinds.map { String($0.subject) }).sorted() + kinds.map { $0.rawValue.replacing(".", with: #"\."#) }
        let name = "(\(names.joined(separator: "|")))"
        return QueryParameter(
            "kind", .pattern("^\(name)(,\(name))*$"),
            "only these kinds, or what stands before their dots, with commas between them")
    }()

    static func limit(_ bounds: ClosedRange<Int>, _ standard: Int) -> QueryParameter {
        var schema = Schema.integer(bounds)
        schema.json["default"] = JSON(standard)
        return QueryParameter("limit", schema, "the most rows of the answer")
    }

    static func before(_ kind: RecordID.Kind) -> QueryParameter {
        QueryParameter("before", .id(kind), "`next` of the page before")
    }

    static func state<State: RawRepresentable<String> & CaseIterable>(_ type: State.Type) -> QueryParameter {
        QueryParameter("state", .words(type), "only those in this state")
    }
}

/// An answer of a route that is no error.
struct Answer: Sendable {
    let status: HTTPResponse.Status
    /// Of the body; `nil` for an answer without one.
    let schema: Schema?
    let summary: String
    let mediaTypes: [String]

    static func json(_ schema: Schema, _ summary: String, status: HTTPResponse.Status = .ok) -> Answer {
        Answer(status: status, schema: schema, summary: summary, mediaTypes: ["application/json"])
    }

    /// To a client that has the current form already; see ``Negotiation/tagged(_:for:)``.
    static let unchanged = Answer(
        status: .notModified, schema: nil, summary: "it is as `If-None-Match` says", mediaTypes: [])

    static func nothing(_ summary: String) -> Answer {
        Answer(status: .noContent, schema: nil, summary: summary, mediaTypes: [])
    }

    static func text(_ mediaTypes: [String], _ summary: String) -> Answer {
        Answer(status: .ok, schema: .text, summary: summary, mediaTypes: mediaTypes)
    }
}

/// The codes of errors that several routes share.
extension [ErrorCode] {
    /// A read at PVE.
    static let reading: Self = pve + [.policyDenied, .auditUnavailable]
    static let pve: Self = [
        .unknownEnvironment, .upstreamRefused, .upstreamUnreachable, .upstreamInvalid, .upstreamTimeout,
    ]
    /// A change of what the agent has stored.
    static let storing: Self = [.storeUnavailable, .auditUnavailable, .agentsDisagree]
    static let planning: Self =
        pve + storing + [.invalidTarget, .unknownAction, .idempotencyInProgress, .idempotencyKeyReused]
    /// What every route may answer.
    static let everywhere: Self = [
        .invalidRequest, .bodyTooLarge, .rateLimited, .overloaded, .shuttingDown, .internalError,
    ]
    /// What every route that requires a token may answer.
    static let withToken: Self = [.unauthenticated, .forbidden, .authNotConfigured]
    /// What every route that takes a session may answer.
    static let withCookie: Self = [.foreignOrigin, .tlsRequired, .unsupportedMediaType, .storeUnavailable]
    /// What every route with a body may answer.
    static let withBody: Self = [.unsupportedMediaType]
}
