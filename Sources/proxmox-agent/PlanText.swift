import AgentModel
import FoundationEssentials
import StrictJSON

/// A plan from the API, as text for people.
///
/// The code that prints the lines escapes control characters. Quotation marks here separate text from other sources
/// from the agent's own.
struct PlanText {
    private let plan: JSON
    private let now: Date

    init(_ plan: JSON, at now: Date) {
        self.plan = plan
        self.now = now
    }

    private var request: JSON? { plan["request"] }
    private var preview: JSON? { plan["preview"] }
    private var id: String { plan["plan_id"]?.string ?? "" }
    private var needed: Int64 { plan["requires"]?["approvals"]?.integer ?? 0 }
    private var approvals: [JSON] { plan["approvals"]?.array ?? [] }
    private var isAwaiting: Bool { plan["state"]?.string == PlanState.awaitingApproval.rawValue }

    /// All that an approver needs to know.
    var lines: [String] {
        let sections = [head, subjects, changes, checks, calls, words]
        return Array(sections.filter { !$0.isEmpty }.joined(separator: [""]))
    }

    /// As a row of a table.
    var row: [String] {
        [
            id, state, "\(plan["decision"]?["risk_level"]?.string ?? "") risk", what,
            "by \(plan["requester"]?.string ?? "")", expiry ?? "",
        ]
    }

    /// Its status in one line.
    var standing: String {
        let by = approvals.compactMap { $0["approver"]?.string }.joined(separator: ", ")
        let given = needed > 0 ? ", approvals: \(approvals.count) of \(needed)" + (by.isEmpty ? "" : " (\(by))") : ""
        let next = plan["state"]?.string == PlanState.approved.rawValue ? "; \(requester) can apply it now" : ""
        return "\(id)  \(what)  \(state)\(given)\(next)"
    }

    private var requester: String { plan["requester"]?.string ?? "" }

    /// The action and its target, with the target's current name and place.
    private var what: String {
        // In a list, name and place are in the summary.
        let observed = preview?["observed"] ?? plan["summary"]
        let name = observed?["name"]?.string.map { " " + Self.text($0) } ?? ""
        let node = observed?["node"]?.string.map { "/" + $0 } ?? ""
        let action = request?["action"]?.string ?? ""
        let dry = request?["dry_run"] == true ? " (dry run)" : ""
        return
            "\(action)\(dry) \(request?["target"]?.string ?? "")\(name) on \(request?["environment"]?.string ?? "")\(node)"
    }

    private var state: String { Self.spaced(plan["state"]?.string ?? "") }

    /// How long the plan can still be applied; `nil` if it cannot.
    private var expiry: String? {
        guard let live = plan["state"]?.string.flatMap(PlanState.init), live.isLive,
            let end = plan["expires_at"]?.string.flatMap({ Date(rfc3339: $0) })
        else { return nil }
        let seconds = Int(end.timeIntervalSince(now))
        if seconds < 0 { return "expired" }
        return seconds < 120 ? "expires in \(seconds) s" : "expires in \(seconds / 60) min"
    }

    // MARK: Sections

    private var head: [String] {
        let decision = plan["decision"]
        let risk = "\(decision?["risk_level"]?.string ?? "") risk"
        let left = what.padding(to: 64)
        let asked = [
            "asked by \(requester)", request?["reason"]?.string.map(Self.text),
            request?["approval_ticket"]?.string.map { "ticket \(Self.text($0))" },
            "policy \(plan["policy_version"]?.string ?? "")",
        ]
        let rules = (decision?["rules"]?.array ?? []).compactMap(\.string).joined(separator: ", ")
        let why = decision?["allowed"] == false ? "denied" : needed > 0 ? "needs approval" : "needs no approval"
        return [
            "\(left) \(risk) · \(state)\(expiry.map { " (\($0))" } ?? "")",
            asked.compactMap { $0 }.joined(separator: " · "),
            "\(why): \(decision?["reason"]?.string ?? "") (\(rules))",
        ].compactMap { $0 } + clauses + [window, emergency, found].compactMap { $0 }
    }

    /// Who must be among the approvers, rule by rule.
    private var clauses: [String] {
        (plan["requires"]?["clauses"]?.array ?? []).map {
            "approvals: \(Self.text($0["phrase"]?.string ?? "")) (rule:\($0["rule"]?.string ?? ""))"
        }
    }

    /// When the plan can be applied, if a change window keeps it from that; and who applies it.
    private var window: String? {
        let isWaiting = request?["apply_at"]?.string == "window"
        guard let window = plan["decision"]?["window"] else {
            return isWaiting ? "the agent applies it once it is approved" : nil
        }
        let rules = (window["rules"]?.array ?? []).compactMap(\.string).joined(separator: ", ")
        let opens = window["opens_at"]?.string.map { "opens at \($0)" } ?? "does not open within 400 days"
        return "change window of \(rules): closed, \(opens)" + (isWaiting ? "; the agent applies it then" : "")
    }

    /// What its operation passes in an emergency.
    private var emergency: String? {
        plan["break_glass"].map { "emergency: " + glassText($0, by: requester) }
    }

    /// The state of the guest when the plan was made.
    private var found: String? {
        guard let observed = preview?["observed"], let status = observed["status"]?.string else { return nil }
        let tags = (observed["tags"]?.array ?? []).compactMap(\.string).map(Self.word)
        let parts = [
            status, observed["lock"]?.string.map { "locked (\(Self.word($0)))" },
            observed["pool"]?.string.map { "pool \(Self.word($0))" },
            tags.isEmpty ? nil : "tags \(tags.joined(separator: ", "))",
            observed["ha"]?["managed"] == 1 ? "managed by HA" : nil,
        ]
        return "found \(parts.compactMap { $0 }.joined(separator: " · "))"
    }

    /// What the request reaches in addition to its target, by role, each with the rules that matched.
    private var subjects: [String] {
        // The target's node is in the lines above.
        let node = preview?["observed"]?["node"]?.string.map { "node/" + $0 }
        let all = (plan["decision"]?["subjects"]?.array ?? []).filter { subject in
            subject["rules"] != nil || (subject["role"] != "target" && subject["name"]?.string != node)
        }
        return table(
            Subject.Role.allCases.compactMap { role in
                let names = all.filter { $0["role"]?.string == role.rawValue }.map { subject in
                    let rules = (subject["rules"]?.array ?? []).compactMap(\.string)
                    let by = rules.isEmpty ? "" : " (\(rules.joined(separator: ", ")))"
                    return Self.word(subject["name"]?.string ?? "") + by
                }
                guard !names.isEmpty else { return nil }
                return ["  reaches \(role.rawValue)", names.joined(separator: ", ")]
            })
    }

    private var changes: [String] {
        if preview?["noop"] == true { return ["  changes nothing: all is as it would be afterwards"] }
        let rows = (preview?["changes"]?.array ?? []).flatMap { change in
            Self.rows(change["key"]?.string ?? "", from: change["from"] ?? .null, to: change["to"] ?? .null)
        }
        return table(rows)
    }

    /// A change; for two structured values one row for each key that differs.
    private static func rows(_ key: String, from: JSON, to: JSON) -> [[String]] {
        if let before = from.object, let after = to.object {
            let keys = before.keys + after.keys.filter { before[$0] == nil }
            return keys.filter { before[$0] != after[$0] }.flatMap {
                rows("\(key).\($0)", from: before[$0] ?? .null, to: after[$0] ?? .null)
            }
        }
        // `exists` is the one key whose value itself says that something appears or disappears.
        let (goes, comes) = key == "exists" ? (to == false, from == false) : (to.isNull, from.isNull)
        let value = to.isNull ? word(from) : from.isNull ? word(to) : "\(word(from)) → \(word(to))"
        return [["\(goes ? "-" : comes ? "+" : " ") \(word(key))", value]]
    }

    private var checks: [String] {
        table(
            (preview?["checks"]?.array ?? []).map { check in
                let level = check["level"]?.string ?? ""
                return [
                    "  " + (level == Check.Level.block.rawValue ? "BLOCK" : level), check["id"]?.string ?? "",
                    check["detail"]?.string ?? "",
                ]
            })
    }

    private var calls: [String] {
        let calls = (preview?["calls"]?.array ?? []).map { call in
            "  "
                + ([call["method"]?.string, call["path"]?.string].compactMap { $0 } + Self.pairs(call["params"]))
                .joined(separator: " ")
        }
        guard !calls.isEmpty else { return [] }
        let isFinal = preview?["irreversible"] == true
        let leaves = (preview?["undo_leaves"]?.array ?? []).map(Self.gap)
        guard let undo = preview?["undo"].flatMap(Self.undo) else {
            return calls + (isFinal ? ["  irreversible: nothing brings this back"] : []) + leaves.map { "    \($0)" }
        }
        let gaps = leaves.map { "    leaves \($0)" }
        let point = isFinal ? ["  irreversible: the undo does not bring back what this is about"] : []
        return calls + ["  undo: " + undo] + gaps + point
    }

    /// What an undo does not restore, in one line.
    static func gap(_ gap: JSON) -> String {
        "\(gap["key"]?.string ?? ""): \(text(gap["detail"]?.string ?? ""))"
    }

    /// An undo in one line; `nil` if there is none.
    static func undo(_ undo: JSON) -> String? {
        guard !undo.isNull else { return nil }
        let words = [undo["action"]?.string, undo["target"]?.string].compactMap { $0 }
        return (words + pairs(undo["params"])).joined(separator: " ")
    }

    /// Approvals and a rejection, the plan's outcome, and how to approve it.
    private var words: [String] {
        var lines: [String] = []
        if needed > 0 { lines.append("approvals: \(approvals.count) of \(needed)\(strength.map { ", \($0)" } ?? "")") }
        lines += approvals.map { "  " + Self.word(of: $0) }
        lines += (plan["withdrawn"]?.array ?? []).map { "withdrawn, as its key was taken out: \(Self.word(of: $0))" }
        if let rejection = plan["rejection"] { lines.append("rejected by \(Self.word(of: rejection))") }
        if let operation = plan["operation_id"]?.string {
            lines.append("operation:  proxmox-agent operation show \(operation)")
        }
        guard isAwaiting else { return lines }
        if plan["requires"]?["assurance"]?.string == Assurance.declared.rawValue {
            return lines + ["approve:  \(requester) names another person in approved_by when applying it"]
        }
        let hash = plan["plan_hash"]?.string?.prefix(8) ?? ""
        return lines + ["approve:  proxmox-agent approve \(id) --hash \(hash)\(strength == nil ? "" : " --sign")"]
    }

    /// How approvals must be signed; `nil` if they need no signature.
    private var strength: String? {
        switch plan["requires"]?["assurance"]?.string.flatMap(Assurance.init) {
        case .signed: "signed"
        case .hardware: "signed with a security key"
        case .declared, .verified, nil: nil
        }
    }

    /// One person's decision.
    static func word(of approval: JSON) -> String {
        let parts = [
            "\(approval["approver"]?.string ?? "") (\(approval["assurance"]?.string ?? ""))",
            approval["at"]?.string, approval["reason"]?.string.map(text),
            approval["ticket"]?.string.map { "ticket \(text($0))" },
        ]
        return parts.compactMap { $0 }.joined(separator: " · ")
    }

    // MARK: Values

    /// `key=value` for each member.
    private static func pairs(_ object: JSON?) -> [String] {
        (object?.object?.members ?? []).map { "\(word($0.key))=\(word($0.value))" }
    }

    /// A value in one word: plain text unchanged, other text in quotation marks, members as `key=value`.
    static func word(_ value: JSON?) -> String {
        switch value {
        case .string(let text): word(text)
        case .object(let object):
            object.isEmpty ? "{}" : object.members.map { "\(word($0.key))=\(word($0.value))" }.joined(separator: ", ")
        case .array(let elements): "[\(elements.map { word($0) }.joined(separator: ", "))]"
        case .null, nil: "nothing"
        case .bool, .integer, .number: value?.text ?? ""
        }
    }

    private static func word(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A) || (0x30...0x39).contains(byte)
                || "._:@/,;=+-<>%".utf8.contains(byte)
        }
        return isPlain && !text.isEmpty ? text : Self.text(text)
    }

    /// Text from another source, in quotation marks that it cannot end.
    static func text(_ text: String) -> String { JSON.string(text).text }

    /// A word of the API for people, such as `awaiting_approval` as `awaiting approval`.
    static func spaced(_ word: String) -> String { String(word.map { $0 == "_" ? " " : $0 }) }
}

/// Rows with aligned columns, two blanks apart.
func table(_ rows: [[String]]) -> [String] {
    let count = rows.map(\.count).max() ?? 0
    let widths = (0..<count).map { column in
        rows.map { column < $0.count ? quoted($0[column]).count : 0 }.max() ?? 0
    }
    return rows.map { row in
        var line = zip(row, widths).map { quoted($0).padding(to: $1) }.joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        return line
    }
}

extension String {
    /// Padded with blanks to at least `width` characters.
    fileprivate func padding(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
