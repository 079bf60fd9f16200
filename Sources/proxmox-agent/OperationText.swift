import AgentModel
import FoundationEssentials
import StrictJSON

/// An operation from the API, as text for people.
struct OperationText {
    private let operation: JSON

    init(_ operation: JSON) { self.operation = operation }

    private var id: String { operation["operation_id"]?.string ?? "" }
    private var state: String { PlanText.spaced(operation["state"]?.string ?? "") }

    private var what: String {
        let parts = ["action", "target"].compactMap { operation[$0]?.string }
        return parts.joined(separator: " ") + " on \(operation["environment"]?.string ?? "")"
    }

    /// As a row of a table.
    var row: [String] {
        [id, state, what, "by \(operation["requester"]?.string ?? "")", operation["created_at"]?.string ?? ""]
    }

    /// Its status in one line.
    var standing: String {
        let ending = operation["message"]?.string ?? ""
        return "\(id)  \(what)  \(state)" + (ending.isEmpty ? "" : ": \(PlanText.text(ending))")
    }

    var lines: [String] {
        let approvals = (operation["approvals"]?.array ?? []).map { ["approved by", PlanText.word(of: $0)] }
        let moved = (operation["moved"]?.array ?? []).map { field in
            [
                "moved",
                "\(field["field"]?.string ?? ""): \(PlanText.word(field["planned"])) → \(PlanText.word(field["found"]))",
            ]
        }
        let left = (operation["left"]?.array ?? []).map { field in
            [
                "stayed",
                "\(field["field"]?.string ?? ""): \(PlanText.word(field["planned"])) → \(PlanText.word(field["found"]))",
            ]
        }
        let guests = (operation["data"]?["guests"]?.array ?? []).map { guest in
            [
                "guest",
                "\(guest["guest"]?.string ?? ""): \(PlanText.word(guest["found"])), wanted \(PlanText.word(guest["wanted"]))",
            ]
        }
        let output = ["stdout", "stderr"].compactMap { name in
            operation["data"]?["output"]?[name]?.string.flatMap { $0.isEmpty ? nil : [name, PlanText.text($0)] }
        }
        let leaves = (operation["undo_leaves"]?.array ?? []).map { ["undo leaves", PlanText.gap($0)] }
        let steps = (operation["steps"]?.array ?? []).map { step in
            let call = ["method", "path"].compactMap { step["call"]?[$0]?.string }
            let state = PlanText.spaced(step["state"]?.string ?? "")
            return ["call", call.joined(separator: " ") + ": \(state)"]
        }
        let settings: [(String, String?)] = [
            ("plan", operation["plan_id"]?.string), ("asked by", operation["requester"]?.string),
            ("stands behind", operation["queue_position"]?.integer.map { "\($0) others" }),
            ("task", operation["upid"]?.string), ("created", operation["created_at"]?.string),
            ("started", operation["started_at"]?.string), ("ended", operation["ended_at"]?.string),
            (
                "emergency",
                operation["break_glass"].map { glassText($0, by: operation["requester"]?.string ?? "") }
            ), ("cancel asked by", operation["cancel_requested_by"]?.string), ("code", operation["code"]?.string),
            ("message", operation["message"]?.string.flatMap { $0.isEmpty ? nil : PlanText.text($0) }),
            ("cause", operation["cause"]?["code"]?.string), ("undo", operation["undo"].flatMap(PlanText.undo)),
            ("settle it", operation["state"] == "unknown" ? resolve : nil),
        ]
        let tail = (operation["log_tail"]?.array ?? []).compactMap(\.string)
        return ["\(id)  \(what)  \(state)"]
            + table(
                settings.compactMap { name, value in value.map { ["  \(name)", $0] } }
                    + (steps + approvals + moved + left + leaves + guests + output).map { ["  \($0[0])", $0[1]] })
            + (tail.isEmpty ? [] : ["", "the end of the task's log:"] + tail.map { "  \($0)" })
    }

    private var resolve: String { "look at PVE, then: proxmox-agent operation resolve \(id) --outcome … --reason …" }
}
