import AgentAPI
import AgentAudit
import AgentModel
import AgentService
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import Metrics
import MicroHTTPD
import Synchronization

/// What the agent counts while it runs.
final class AgentFigures: Sendable {
    /// What a request to PVE is for.
    enum CallClass: String, CaseIterable {
        case read, change, probe
    }

    /// Why a request to PVE failed.
    enum CallError: String, CaseIterable {
        case unreachable, withheld, timeout, broken, tooLarge = "too_large", cancelled, refused
    }

    let requests: RequestFigures
    let httpRefusals = CounterTable(MetricNames.httpRefusals, RefusalReason.allCases.map { [$0.rawValue] })
    let authFailures = CounterTable(MetricNames.authFailures, [["none"], ["wrong"]])
    let refusals = CounterTable(MetricNames.refusals, ErrorCode.allCases.map { [$0.rawValue] }, hidesZeros: true)
    let decisions = Tally(MetricNames.decisions)
    let operationTime = Tally(
        MetricNames.operationTime, TimeBounds("1.0", "5.0", "15.0", "60.0", "300.0", "1800.0", "7200.0"))
    let noticesSent = Tally(MetricNames.noticesSent)
    let noticeFailures = Tally(MetricNames.noticeFailures)
    let callTime: HistogramTable
    let callErrors: CounterTable
    let auditRecords = CounterTable(
        MetricNames.auditRecords, AuditKind.allCases.filter { $0 != .log }.map { [$0.rawValue] })
    let auditFailures = CounterTable(MetricNames.auditFailures)
    let auditSync = HistogramTable(MetricNames.auditSync, diskTimes)
    let storeCommit = HistogramTable(MetricNames.storeCommit, diskTimes)
    /// The end of the listener's certificate, in seconds since 1970.
    let certificateEnd: Mutex<Int?>
    let startedAt = Date()

    private static let diskTimes = TimeBounds("0.0005", "0.002", "0.01", "0.05", "0.25", "1.0", "5.0")
    private static let codes = indices(of: ErrorCode.allCases)
    private static let kinds = indices(of: AuditKind.allCases.filter { $0 != .log })
    private static let reasons = indices(of: RefusalReason.allCases)

    init(_ config: AgentConfig) {
        requests = RequestFigures(
            and: (config.mcp.isEnabled ? [(.post, Route.mcpPath)] : [])
                + (config.hasConsole ? Route.consolePaths.map { (.get, $0) } : []))
        let names = config.environments.map(\.settings.name.description)
        let classes = names.flatMap { name in CallClass.allCases.map { [name, $0.rawValue] } }
        callTime = HistogramTable(
            MetricNames.callTime, TimeBounds("0.005", "0.025", "0.1", "0.5", "2.5", "10.0", "30.0"), classes)
        callErrors = CounterTable(
            MetricNames.callErrors, classes.flatMap { row in CallError.allCases.map { row + [$0.rawValue] } },
            hidesZeros: true)
        certificateEnd = Mutex(config.tls?.validity.upperBound)
    }

    private static func indices<Value: Hashable>(of values: [Value]) -> [Value: Int] {
        Dictionary(uniqueKeysWithValues: values.enumerated().map { ($1, $0) })
    }

    func count(_ observation: Observation) {
        switch observation {
        case .decided(let action, let decision):
            decisions.add([action.rawValue, decision.risk.rawValue, decision.outcome])
        case .ended(let operation):
            let time = operation.endedAt.map { $0.timeIntervalSince(operation.createdAt) } ?? 0
            operationTime.add(
                [operation.environment.description, operation.action.rawValue, operation.state.rawValue],
                .milliseconds(Int64(max(0, min(time, 1e9)) * 1000)))
        case .refused(let code): Self.codes[code].map { refusals.add(at: $0) }
        case .recorded(let kind): Self.kinds[kind].map { auditRecords.add(at: $0) }
        case .unrecorded: auditFailures.add()
        case .notified(let target, let isDelivered): (isDelivered ? noticesSent : noticeFailures).add([target])
        }
    }

    func count(_ reason: RefusalReason) { Self.reasons[reason].map { httpRefusals.add(at: $0) } }

    /// Counts a request to the environment of that number in the configuration.
    func count(_ kind: CallClass, of environment: Int, _ time: Duration, _ error: CallError?) {
        let row = environment * CallClass.allCases.count + (CallClass.allCases.firstIndex(of: kind) ?? 0)
        callTime.add(time, at: row)
        guard let error, let number = CallError.allCases.firstIndex(of: error) else { return }
        callErrors.add(at: row * CallError.allCases.count + number)
    }
}

extension Decision {
    fileprivate var outcome: String { !allowed ? "denied" : requiresApproval ? "approval_required" : "allowed" }
}

/// Counts answers by route, method and status. Each route has its row from the start.
struct RequestFigures: Sendable {
    /// The statuses that have a column; all others share the last one.
    private static let statuses = [
        200, 201, 202, 204, 304, 308, 400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 431, 500, 502, 503,
        504,
    ]
    private static let methods: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete, .options]
    /// The column of each status up to 599.
    private static let columns = (0..<600).map { statuses.firstIndex(of: $0) ?? statuses.count }

    /// Its rows: each route, then HEAD for each route, then each method without a route, then other methods.
    private let answers: CounterTable
    private let times: HistogramTable
    private let inFlight = AtomicCounters(1)
    /// The number of routes.
    private let count: Int

    /// `others` are the routes that are served after those of ``Route/all``.
    init(and others: [(method: HTTPRequest.Method, path: String)]) {
        let served = Route.all.map { ($0.method, $0.path) } + others
        count = served.count
        let routes =
            served.map { [$1, $0.rawValue] } + served.map { [$1, "HEAD"] }
            + (Self.methods.map(\.rawValue) + ["other"]).map { ["none", $0] }
        let columns = Self.statuses.map(String.init) + ["other"]
        answers = CounterTable(
            MetricNames.requests, routes.flatMap { route in columns.map { route + [$0] } }, hidesZeros: true)
        times = HistogramTable(
            MetricNames.requestTime,
            TimeBounds("0.001", "0.005", "0.025", "0.1", "0.5", "2.5", "10.0", "60.0"), routes)
    }

    func began() { inFlight.add(at: 0) }
    func answered() { inFlight.add(-1, at: 0) }

    func count(_ answer: CountedAnswer) {
        let row = row(of: answer.route, answer.method)
        let column = Self.columns.indices.contains(answer.status) ? Self.columns[answer.status] : Self.statuses.count
        answers.add(at: row * (Self.statuses.count + 1) + column)
        times.add(answer.time, at: row)
    }

    private func row(of route: Int?, _ method: HTTPRequest.Method) -> Int {
        guard let route else { return count * 2 + (Self.methods.firstIndex(of: method) ?? Self.methods.count) }
        return method == .head ? count + route : route
    }

    func write(to text: inout Exposition) {
        answers.write(to: &text)
        times.write(to: &text)
        text.write(MetricNames.inFlight, inFlight[0])
    }
}
