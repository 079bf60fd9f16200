import AgentModel
import HTTPMessage
import HTTPTypes
import Synchronization

/// The traces of requests: the caller's, or new ones.
final class TraceSource: Sendable {
    /// SplitMix64, begun at random. The ids need not be secret, and a system call for each would take longer.
    private let state = Atomic(UInt64.random(in: .min ... .max))

    /// The trace in the `traceparent` of a request. A new one if that is missing or malformed.
    func trace(of request: Request) -> TraceContext {
        request.fields[.traceparent].flatMap(TraceContext.init(traceparent:)) ?? TraceContext(random: next(), next())
    }

    private func next() -> UInt64 {
        var z = state.wrappingAdd(0x9E37_79B9_7F4A_7C15, ordering: .relaxed).newValue
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

extension HTTPField.Name {
    fileprivate static let traceparent = constant("traceparent")
}
