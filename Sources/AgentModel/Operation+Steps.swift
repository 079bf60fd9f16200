import FoundationEssentials
import StrictJSON

/// What became of one of a plan's calls.
package enum StepState: String, Sendable, Hashable, CaseIterable {
    /// PVE has not received it, and will not.
    case notSent = "not_sent"
    case done
    /// PVE refused it, or its task ended with an error.
    case failed
    /// It was sent, or may have been, and its end is not known: not yet, while the operation runs.
    case unknown
}

/// A call as steps name it.
package struct CallName: Sendable, Hashable {
    package let method: CallMethod
    /// The path for people.
    package let path: String

    package init(method: CallMethod, path: String) {
        self.method = method
        self.path = path
    }

    package init(_ call: Call) { self.init(method: call.method, path: call.shownPath) }
}

/// Why an operation stopped after a part of it had been carried out, and the way back.
package struct PartialOutcome: Sendable, Hashable {
    /// The code that the operation would have had if nothing had been done; `nil` for a task that failed.
    package let code: String?
    package let detail: String
    /// What stayed of the call that failed, as PVE was found afterwards.
    package let left: [StateDrift]
    /// A ready plan request that takes back what was done; `nil` where there is none.
    package let undo: FollowUp?
    /// What ``undo`` does not bring back.
    package let undoLeaves: [UndoGap]

    package init(code: String?, detail: String, left: [StateDrift] = [], undo: FollowUp?, undoLeaves: [UndoGap] = []) {
        self.code = code
        self.detail = detail
        self.left = left
        self.undo = undo
        self.undoLeaves = undoLeaves
    }
}

extension Operation {
    /// The code of operations of which a part was carried out and the rest was not.
    package static let partiallyApplied = "partially_applied"
    /// The code of operations whose command ran in the guest and ended with another exit code than 0.
    package static let commandFailed = "command_failed"

    /// What became of the call with that number in the plan.
    package func state(ofCall index: Int) -> StepState { index < steps.count ? steps[index].state : .notSent }

    /// Makes it an operation that was carried out in part, where a call of it was, or where `left` stayed of one that
    /// failed, which `undo` takes back: then nothing may say that nothing was done.
    package mutating func notePartlyDone(_ plan: Plan, left: [StateDrift] = [], undo: FollowUp? = nil) {
        let done = steps.indices.filter { steps[$0].isDone }
        guard !done.isEmpty || !left.isEmpty, partial == nil else { return }
        let names = done.compactMap { index -> String? in
            guard index < plan.preview.calls.count else { return nil }
            let call = plan.preview.calls[index]
            let snapshot = plan.takesSnapshot(call).map { " (the safety snapshot \($0))" } ?? ""
            return "\(call.method.rawValue) \(call.shownPath)\(snapshot)"
        }
        let detail = message
        let back = left.isEmpty ? self.undo(of: done, in: plan) : undo
        let isPlanned = back != nil && back?.action == plan.preview.undo?.action
        partial = PartialOutcome(
            code: code, detail: detail, left: left, undo: back, undoLeaves: isPlanned ? plan.preview.undoLeaves : [])
        code = Self.partiallyApplied
        let stayed = left.map { "\($0.field) was \($0.planned.shown) and is \($0.found.shown)" }
        let parts = names + (stayed.isEmpty ? [] : ["of the call that failed: " + stayed.joined(separator: ", ")])
        message =
            "carried out in part, and not taken back: \(parts.joined(separator: "; ")); "
            + "the rest was not carried out: \(detail)"
    }

    /// The way back from the calls that were carried out.
    private func undo(of done: [Int], in plan: Plan) -> FollowUp? {
        // Another guest has taken the place of the one that was changed.
        guard !moved.contains(where: { ["kind", "uuid", "ctime", "hwaddrs"].contains($0.field) }) else { return nil }
        let calls = done.filter { $0 < plan.preview.calls.count }.map { plan.preview.calls[$0] }
        guard calls.count == 1, let snapshot = calls.first.flatMap(plan.takesSnapshot) else { return plan.preview.undo }
        return plan.request.followUp(Action.deleteSnapshot.rawValue, ["snapname": .string(snapshot)])
    }
}

extension Plan {
    /// The name of the safety snapshot where that is what the call takes.
    fileprivate func takesSnapshot(_ call: Call) -> String? {
        guard request.params["safety_snapshot"] == true, call.method == .post, call.path.last == "snapshot" else {
            return nil
        }
        return call["snapname"]
    }
}

extension Operation {
    /// As it is shown to somebody who may, by these rules, not read the settings of what it is about.
    package func hidingSettings(by rules: [String]) -> Operation {
        let why = "hidden by \(rules.joined(separator: ", "))"
        var hidden = self
        if code != nil || !state.isEnded { hidden.message = why }
        hidden.moved = moved.map(\.hidden)
        hidden.partial = partial.map {
            PartialOutcome(code: $0.code, detail: why, left: $0.left.map(\.hidden), undo: nil)
        }
        hidden.upstream = nil
        hidden.data = nil
        hidden.logTail = []
        return hidden
    }
}

extension StateDrift {
    /// Without its values.
    fileprivate var hidden: StateDrift { StateDrift(field: field, planned: .null, found: .null) }
}
