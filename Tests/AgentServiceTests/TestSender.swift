import AgentModel
import AgentTestSupport
import Foundation
import Synchronization

@testable import AgentService

/// Destinations that answer as a test tells them to, and keep what they got.
final class TestSender: NoticeSender {
    struct Sent: Sendable {
        let target: String
        let id: RecordID
        let notice: Notice
        let result: DeliveryResult
    }

    private struct State {
        var sent: [Sent] = []
        var answers: [String: DeliveryResult] = [:]
        var silent: Set<String> = []
    }

    private let state = Mutex(State())

    var sent: [Sent] { state.withLock { $0.sent } }

    /// What a destination answers from now on.
    func answer(_ result: DeliveryResult, at target: String) { state.withLock { $0.answers[target] = result } }

    /// A destination says nothing until the try is cancelled.
    func silence(_ target: String) { _ = state.withLock { $0.silent.insert(target) } }

    /// It says something again from now on.
    func speak(_ target: String) { _ = state.withLock { $0.silent.remove(target) } }

    func send(_ notice: Notice, _ id: RecordID, at now: Date, to target: String) async -> DeliveryResult {
        if state.withLock({ $0.silent.contains(target) }) {
            _ = try? await Task.sleep(for: .seconds(600))
            return .stopped
        }
        return state.withLock { state in
            let result = state.answers[target] ?? .delivered
            state.sent.append(Sent(target: target, id: id, notice: notice, result: result))
            return result
        }
    }

    /// What a destination has taken, once it is so many.
    func delivered(_ count: Int, to target: String) async throws -> [Sent] {
        try await tries(count, of: target) { $0.result == .delivered }
    }

    func tries(_ count: Int, of target: String, where isMeant: (Sent) -> Bool = { _ in true }) async throws -> [Sent] {
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            let found = sent.filter { $0.target == target && isMeant($0) }
            if found.count >= count { return found }
            guard .now < deadline else { throw Missed(found: found.count, wanted: count) }
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    struct Missed: Error {
        let found: Int
        let wanted: Int
    }
}
