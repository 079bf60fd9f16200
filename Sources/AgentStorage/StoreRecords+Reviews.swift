import AgentModel
import AgentService
import FoundationEssentials
internal import SQLite
import StrictJSON

/// The reviews of emergencies.
extension StoreRecords {
    func review(of operation: RecordID) -> Review? {
        reviews("WHERE operation = ?", [Value(operation)]).first
    }

    func reviews(_ filter: ReviewFilter) -> [Review] {
        var (terms, values): ([String], [Value]) = ([], [])
        if let isOpen = filter.isOpen { terms.append("closed_at IS \(isOpen ? "" : "NOT ")NULL") }
        if let environments = filter.environments {
            let marks = environments.map { _ in "?" }.joined(separator: ", ")
            terms.append(environments.isEmpty ? "1 = 0" : "environment IN (\(marks))")
            values += environments.map { Value($0) }
        }
        if let before = filter.before {
            terms.append("number < (SELECT number FROM reviews WHERE operation = ?)")
            values.append(Value(before))
        }
        let condition = terms.isEmpty ? "" : "WHERE " + terms.joined(separator: " AND ")
        return reviews(condition, values, limit: filter.limit)
    }

    private func reviews(_ condition: String, _ values: [Value], limit: Int = 1) -> [Review] {
        let sql = "SELECT operation, document FROM reviews \(condition) ORDER BY number DESC LIMIT ?"
        return records("reviews", sql, values + [.integer(Int64(max(0, limit)))]) { row throws(RowDecodingError) in
            let review = try Self.document(Review.self, row[1])
            guard row[0] == .text(review.operationID.description) else {
                throw RowDecodingError(detail: "holds another review")
            }
            return review
        }
    }

    func put(_ review: Review) {
        upsert(
            "reviews", ["operation", "environment", "opened_at", "closed_at", "document"],
            [
                Value(review.operationID), Value(review.environment), Value(review.glass.at), Value(review.verdict?.at),
                Value(review.stored),
            ])
    }

    /// How many are open, and when the oldest of them was opened.
    func openReviews() -> (count: Int, oldest: Date?) {
        var found: (Int, Date?) = (0, nil)
        run("SELECT count(*), min(opened_at) FROM reviews WHERE closed_at IS NULL") { row in
            found = (Int(clamping: row[0].integer ?? 0), Date(row[1]))
        }
        return failure == nil ? found : (0, nil)
    }
}

extension BreakGlass: Stored {
    var stored: JSON {
        [
            "reason": .string(reason), "at": JSON(at), "windows": JSON(windows), "limits": JSON(limits),
            "freezes": JSON(freezes.map(\.description)),
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            reason: try fields.text("reason"), at: try fields.date("at"), windows: try fields.texts("windows"),
            limits: try fields.list("limits"),
            freezes: try fields.get("freezes") { value -> [RecordID]? in
                guard let texts = StoredFields.texts(value) else { return nil }
                let freezes = texts.compactMap { RecordID($0, .freeze) }
                return freezes.count == texts.count ? freezes : nil
            })
    }
}

extension Review: Stored {
    var stored: JSON {
        [
            "operation": JSON(describing: operationID), "plan": JSON(describing: planID),
            "environment": JSON(describing: environment), "action": .string(action.rawValue),
            "target": JSON(describing: target), "requester": requester.stored, "glass": glass.stored,
            "verdict": verdict?.stored,
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            operationID: try fields.parsed("operation") { RecordID($0, .operation) },
            planID: try fields.parsed("plan") { RecordID($0, .plan) },
            environment: try fields.parsed("environment", EnvironmentName.init),
            action: try fields.parsed("action", Action.init(rawValue:)),
            target: try fields.parsed("target", Target.init), requester: try fields.get("requester"),
            glass: try fields.get("glass"), verdict: try fields.find("verdict"))
    }
}

extension Review.Verdict: Stored {
    var stored: JSON {
        ["by": .string(by), "at": JSON(at), "justified": .bool(isJustified), "comment": .string(comment)]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            by: try fields.text("by"), at: try fields.date("at"), isJustified: try fields.flag("justified"),
            comment: try fields.text("comment"))
    }
}

extension LimitCounter: Stored {
    var stored: JSON {
        [
            "rule": .string(rule), "index": JSON(index), "counted": JSON(counted), "scope": JSON(scope),
            "key": .string(key),
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            rule: try fields.text("rule"), index: try fields.number("index"),
            counted: try fields.parsed("counted", Counted.init), scope: try fields.parsed("scope", Scope.init),
            key: try fields.text("key"))
    }
}
