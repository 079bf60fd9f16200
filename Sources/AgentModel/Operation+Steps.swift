import FoundationEssentials
import StrictJSON

/// The outcome of one of a plan's calls.
package enum StepState: String, Sendable, Hashable, CaseIterable {
    /// PVE has not received it and never will.
    case notSent = "not_sent"
    case done
    /// PVE refused it, or its task ended with an error.
    case failed
    /// It was sent, or may have been, and its outcome is unknown. While the operation runs, the outcome may still
    /// arrive.
    case unknown
}

/// A call as the steps show it.
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

/// Why an operation stopped after part of it had been carried out, and how to undo that part.
package struct PartialOutcome: Sendable, Hashable {
    /// The code that the operation would have if no call had been carried out; `nil` for a task that failed.
    package let code: String?
    package let detail: String
    /// The effects that remain from the call that failed, as found in PVE afterwards.
    package let left: [StateDrift]
    /// A ready plan request that undoes what was done; `nil` if there is none.
    package let undo: FollowUp?
    /// What ``undo`` does not restore.
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
    /// The code of operations of which only a part was carried out.
    package static let partiallyApplied = "partially_applied"
    /// The code of operations whose command ran in the guest and ended with an exit code other than 0.
    package static let commandFailed = "command_failed"

    /// The outcome of the call with that number in the plan.
    package func state(ofCall index: Int) -> StepState { index < steps.count ? steps[index].state : .notSent }

    /// Marks the operation as partly carried out if a call was carried out, or if a failed call had the effects in
    /// `left`, which `undo` takes back. The operation must then not report that nothing was done.
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

    /// The request that undoes the calls that were carried out.
    private func undo(of done: [Int], in plan: Plan) -> FollowUp? {
        // Another guest has replaced the one that was changed.
        guard !moved.contains(where: { ["kind", "uuid", "ctime", "hwaddrs"].contains($0.field) }) else { return nil }
        let calls = done.filter { $0 < plan.preview.calls.count }.map { plan.preview.calls[$0] }
        guard calls.count == 1, let snapshot = calls.first.flatMap(plan.takesSnapshot) else { return plan.preview.undo }
        return plan.request.followUp(Action.deleteSnapshot.rawValue, ["snapname": .string(snapshot)])
    }
}

extension Plan {
    /// The name of the safety snapshot, if the call takes one.
    fileprivate func takesSnapshot(_ call: Call) -> String? {
        guard request.params["safety_snapshot"] == true, call.method == .post, call.path.last == "snapshot" else {
            return nil
        }
        return call["snapname"]
    }
}

extension Operation {
    /// The form for a caller whom these rules forbid to read the settings of the operation's target.
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
        hidden.progress = progress.map { Progress(percent: $0.percent, text: why) }
        return hidden
    }
}

extension StateDrift {
    /// Without its values.
    fileprivate var hidden: StateDrift { StateDrift(field: field, planned: .null, found: .null) }
}
