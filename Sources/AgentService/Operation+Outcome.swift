import AgentModel

/// What an operation notes about its course.
extension Operation {
    mutating func note(
        _ error: HypervisorError, _ environment: EnvironmentName, _ call: Call, _ redaction: Redaction
    ) {
        note(ServiceError(error, environment, during: "\(call.method.rawValue) \(call.shownPath)"))
        message = redaction(message)
        upstream = upstream.map { redaction($0) }
        if error.mayHaveExecuted { message += "; whether it was carried out is unknown, and it is not sent again" }
    }

    /// Whether another one than that agent carries it out, or did last.
    func isElsewhere(for agent: String?) -> Bool { agent != nil && executor != nil && executor != agent }

    /// A copy with the cancel request, if any, that the store has for this operation.
    func keepingCancel(of stored: Operation?) -> Operation {
        var operation = self
        operation.cancelRequestedBy = stored?.cancelRequestedBy
        operation.isStopAsked = stored?.isStopAsked ?? false
        return operation
    }

    mutating func note(_ error: ServiceError) {
        code = error.code.rawValue
        message = error.detail
        moved = error.moved
        upstream = error.upstream
    }
}

extension Operation {
    /// The text between PVE's message and what was found afterwards.
    static let lookedAgain = "; looked at again: "

    /// PVE's message for the end of the last task, without what was found afterwards.
    var exitText: String {
        let text = partial?.detail ?? message
        guard let cut = text.firstRange(of: Self.lookedAgain) else { return text }
        return String(text[..<cut.lowerBound])
    }
}
