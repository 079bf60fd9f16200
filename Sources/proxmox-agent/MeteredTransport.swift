import HTTPMessage

/// Counts each request to one PVE, and how long it took.
struct MeteredTransport: HTTPTransport {
    private let base: any HTTPTransport
    private let figures: AgentFigures
    /// The number of the environment in the configuration.
    private let environment: Int

    init(_ base: any HTTPTransport, _ figures: AgentFigures, environment: Int) {
        self.base = base
        self.figures = figures
        self.environment = environment
    }

    func send(_ request: OutgoingRequest) async throws(TransportError) -> IncomingResponse {
        let start = ContinuousClock.now
        let kind: AgentFigures.CallClass =
            request.once ? .change : request.target.hasSuffix("/api2/json/version") ? .probe : .read
        do throws(TransportError) {
            let answer = try await base.send(request)
            figures.count(kind, of: environment, start.duration(to: .now), answer.status > 399 ? .refused : nil)
            return answer
        } catch {
            figures.count(kind, of: environment, start.duration(to: .now), error.counted)
            throw error
        }
    }

    func finishWriting() async { await base.finishWriting() }
}

extension TransportError {
    fileprivate var counted: AgentFigures.CallError {
        switch self {
        case .unreachable: .unreachable
        case .withheld: .withheld
        case .timeout: .timeout
        case .broken: .broken
        case .tooLarge: .tooLarge
        case .cancelled: .cancelled
        }
    }
}
