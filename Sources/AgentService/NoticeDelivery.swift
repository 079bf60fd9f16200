package import AgentModel
package import FoundationEssentials
import Logging

/// What became of one try to deliver a notice.
package enum DeliveryResult: Sendable, Hashable {
    case delivered
    /// Why it was not taken, without secrets; and after how many seconds the destination wants to be asked again.
    case failed(String, retryAfter: Int? = nil)
    /// The destination is there, and refuses this very notice, as it would the next time.
    case refused(String)
    /// The agent is stopping; the try does not count.
    case stopped
}

/// The port to the destinations of notices.
package protocol NoticeSender: Sendable {
    /// Tries once, within a bounded time. `id` is the same in every try of the same notice.
    func send(_ notice: Notice, _ id: RecordID, at now: Date, to target: String) async -> DeliveryResult
}

/// Delivers the notices of one destination: one after the other, each until it is taken or given up.
///
/// An outage pauses the destination: nothing else is sent until the notice that met it is due again. A refusal pauses
/// that notice alone. So first tries are in order, and no notice silences those behind it.
final class NoticeDelivery: Sendable {
    private let target: String
    private let audited: AuditedStore
    private let schedule: RetrySchedule
    private let sender: @Sendable () -> (any NoticeSender)?
    private let bell = Bell()

    init(
        to target: String, _ audited: AuditedStore, _ schedule: RetrySchedule,
        _ sender: @escaping @Sendable () -> (any NoticeSender)?
    ) {
        self.target = target
        self.audited = audited
        self.schedule = schedule
        self.sender = sender
    }

    private var ports: Ports { audited.ports }

    /// There may be a notice that is due.
    func ring() { bell.ring() }

    /// Returns when the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            do throws(ServiceError) {
                let (target, now) = (target, ports.now())
                guard audited.delivers() else {
                    await bell.wait(atMost: .seconds(5))
                    continue
                }
                guard let next = try await audited.read({ $0.nextNotice(for: target, at: now) }) else {
                    await bell.wait(atMost: .seconds(300))
                    continue
                }
                let pause = next.nextAt.timeIntervalSince(ports.now())
                if pause > 0 {
                    await bell.wait(atMost: .seconds(min(pause, 60)))
                } else if let sender = sender() {
                    try await deliver(next, sender)
                } else {
                    await bell.wait(atMost: .seconds(300))
                }
            } catch {
                ports.log.error("notifications wait for the state: \(error.detail)", metadata: ["target": "\(target)"])
                await bell.wait(atMost: .seconds(5))
            }
        }
    }

    private func deliver(_ queued: QueuedNotice, _ sender: any NoticeSender) async throws(ServiceError) {
        let result = await sender.send(queued.notice, queued.id, at: ports.now(), to: target)
        let now = ports.now()
        var next = queued
        switch result {
        case .stopped: return await bell.wait(atMost: .seconds(1))
        case .delivered:
            next.deliver(at: now)
            ports.observed(.notified(target, isDelivered: true))
        case .failed(let why, let retryAfter): fail(&next, why, retryAfter: retryAfter, isRefusal: false, at: now)
        case .refused(let why): fail(&next, why, retryAfter: nil, isRefusal: true, at: now)
        }
        let outcome = next
        let isStored = try await audited.write { records in
            // Somebody may have asked for another try meanwhile, or it was given up for want of room.
            guard records.notice(outcome.id) == queued else { return false }
            records.put(outcome)
            return true
        }
        guard isStored, outcome.state == .dead else { return }
        try await audited.record(outcome.auditEvent("given_up", by: .agent))
    }

    /// The try was in vain. Says when the next one is, if there is one.
    private func fail(
        _ notice: inout QueuedNotice, _ why: String, retryAfter: Int?, isRefusal: Bool, at now: Date
    ) {
        let pause = schedule.pause(after: notice.attempts + 1, jitter: .random(in: 0...1))
        let asked = Double(min(max(retryAfter ?? 0, 0), Int(schedule.longestPause)))
        let due = now.addingTimeInterval(max(pause, asked))
        let isGivenUp =
            now.timeIntervalSince(notice.queuedAt) >= schedule.patience
            || isRefusal && notice.refusals + 1 >= schedule.refusals
        notice.fail(why.visibleLine(upTo: 400), isRefusal: isRefusal, at: now, next: isGivenUp ? nil : due)
        ports.observed(.notified(target, isDelivered: false))
        ports.log.warning(
            isGivenUp ? "notification given up" : "notification not delivered",
            metadata: ["target": "\(target)", "id": "\(notice.id)", "error": "\(notice.error ?? "")"])
    }
}
