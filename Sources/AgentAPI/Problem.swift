import AgentModel
package import AgentService
package import HTTPMessage
package import HTTPTypes
package import StrictJSON

/// Turns errors into RFC 9457 problem documents. Only this type knows their statuses.
package enum Problem {
    /// The status of a code.
    package static func status(of code: ErrorCode) -> HTTPResponse.Status {
        switch code {
        case .invalidRequest, .invalidTarget, .unknownEnvironment, .unknownAction: .badRequest
        case .unauthenticated: .unauthorized
        case .forbidden, .foreignOrigin, .tlsRequired, .selfApproval, .approvalRequired, .signatureRequired,
            .signatureInvalid, .policyDenied:
            .forbidden
        case .notFound, .planNotFound, .operationNotFound: .notFound
        case .methodNotAllowed: .methodNotAllowed
        case .planExpired: .gone
        case .bodyTooLarge: .contentTooLarge
        case .unsupportedMediaType: .unsupportedMediaType
        case .planRequired, .planConsumed, .planStale, .planRejected, .planCancelled, .planHashMismatch,
            .requestHashMismatch, .alreadyApproved, .idempotencyInProgress, .notCancellable, .eventsGone,
            .windowClosed:
            .conflict
        case .idempotencyKeyReused, .policyInvalid: .unprocessableContent
        case .rateLimited, .limitReached: .tooManyRequests
        case .internalError: .internalServerError
        case .upstreamRefused, .upstreamUnreachable, .upstreamInvalid: .badGateway
        case .upstreamTimeout: .gatewayTimeout
        case .authNotConfigured, .auditUnavailable, .storeUnavailable, .agentsDisagree, .frozen, .shuttingDown,
            .overloaded:
            .serviceUnavailable
        }
    }

    /// What a code means in general, independent of the case.
    package static func title(of code: ErrorCode) -> String {
        switch code {
        case .invalidRequest: "The request is not well-formed"
        case .invalidTarget: "The action does not take this target"
        case .unknownEnvironment: "There is no such environment"
        case .unknownAction: "There is no such action"
        case .unauthenticated: "A valid token is needed"
        case .forbidden: "You may not do this"
        case .foreignOrigin: "A session counts only for pages of this agent"
        case .tlsRequired: "A session needs TLS"
        case .selfApproval: "Nobody approves their own plan"
        case .approvalRequired: "The plan needs an approval"
        case .signatureRequired: "The approval must be signed"
        case .signatureInvalid: "The signature does not count"
        case .policyDenied: "Policy denies this"
        case .windowClosed: "No change window is open"
        case .limitReached: "A limit of policy is used up"
        case .policyInvalid: "The configuration has errors"
        case .notFound: "There is nothing here"
        case .planNotFound: "There is no such plan"
        case .operationNotFound: "There is no such operation"
        case .methodNotAllowed: "This path takes other methods"
        case .planExpired: "The plan has expired"
        case .bodyTooLarge: "The body is too large"
        case .unsupportedMediaType: "The body must be JSON"
        case .planRequired: "A change needs a plan first"
        case .planConsumed: "The plan has been applied already"
        case .planStale: "The machine changed after this plan was made"
        case .planRejected: "The plan was rejected"
        case .planCancelled: "The plan was cancelled"
        case .planHashMismatch: "The plan is not the one that was looked at"
        case .requestHashMismatch: "The request is not the planned one"
        case .alreadyApproved: "The plan takes no further approval"
        case .idempotencyInProgress: "The same request is being carried out"
        case .idempotencyKeyReused: "The key came with another request before"
        case .notCancellable: "The operation cannot be cancelled"
        case .eventsGone: "Events that old are gone"
        case .rateLimited: "Too many requests"
        case .internalError: "The agent failed"
        case .upstreamRefused: "Proxmox VE refused"
        case .upstreamUnreachable: "Proxmox VE was not reached"
        case .upstreamInvalid: "Proxmox VE's answer makes no sense"
        case .upstreamTimeout: "Proxmox VE did not answer in time"
        case .authNotConfigured: "No token is configured"
        case .auditUnavailable: "The audit log cannot be written"
        case .storeUnavailable: "The store of plans does not work"
        case .agentsDisagree: "The agents on this state do not agree"
        case .frozen: "Nothing may change at present"
        case .shuttingDown: "The agent is stopping"
        case .overloaded: "The agent has too much to do"
        }
    }

    /// The response for an error; `given` overrides the status of its code.
    package static func response(
        to error: ServiceError, requestID: String, status given: HTTPResponse.Status? = nil
    ) -> Response {
        let status = given ?? Self.status(of: error.code)
        let body: JSONObject = [
            "type": .string("/docs/errors#\(error.code.rawValue)"), "title": .string(title(of: error.code)),
            "status": JSON(status.code), "code": .string(error.code.rawValue),
            "detail": .string(error.detail), "request_id": .string(requestID),
        ]
        var fields: HTTPFields = [.contentType: "application/problem+json"]
        if error.code == .unauthenticated { fields[.wwwAuthenticate] = "Bearer" }
        if error.code == .forbidden { fields[.wwwAuthenticate] = "Bearer error=\"insufficient_scope\"" }
        if status == .serviceUnavailable || error.code == .rateLimited {
            fields[.retryAfter] = "\(error.retryAfter ?? 5)"
        } else if [.windowClosed, .limitReached].contains(error.code), let seconds = error.retryAfter {
            fields[.retryAfter] = "\(seconds)"
        }
        return Response(status: status, fields: fields, body: .init(JSON.object(adding(to: body, error)).bytes))
    }

    /// `{code, detail, …}`: an error without its place in HTTP.
    package static func summary(of error: ServiceError) -> JSONObject {
        adding(to: ["code": .string(error.code.rawValue), "detail": .string(error.detail)], error)
    }

    /// Adds what an error has beside its text.
    private static func adding(to members: JSONObject, _ error: ServiceError) -> JSONObject {
        var body = members
        body["plan_id"] = error.planID.map { .string($0.description) }
        body["operation_id"] = error.operationID.map { .string($0.description) }
        body["operation"] = error.operation.map { Views.operation($0) }
        if !error.issues.isEmpty {
            body["errors"] = .array(
                error.issues.map { ["pointer": .string($0.path.pointer), "detail": .string($0.detail)] })
        }
        body["oldest_id"] = error.oldestID.map { JSON(Int(clamping: $0)) }
        body["moved"] = Views.moved(error.moved)
        body["upstream"] = error.upstream.map { Views.upstream($0) }
        return body
    }
}
