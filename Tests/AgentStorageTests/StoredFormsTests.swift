import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import SQLite
import StrictJSON
import Testing

/// The documents of plans and operations, by themselves: they do not change with the forms of answers or of the log.
struct StoredFormsTests {
    @Test func `the store holds what it always held`() async throws {
        let place = try StateDirectory()
        let store = try place.open()
        let plan = try Plan.whole(secret: "s3cret")
        let notice = Notice(
            .operationEnded, outcome: .failed, at: .sample, environment: .sample, planID: .sample(1),
            operationID: .sample(1, .operation), risk: .high, title: "it failed",
            facts: [Notice.Fact("Name", "web", .guest), Notice.Fact("Asked by", "alice")])
        try await store.write { records in
            records.put(plan)
            records.put(Operation.whole(of: plan))
            _ = records.add(
                QueuedNotice(
                    id: .sample(1, .notification), target: "a", key: "1", notice: notice, queuedAt: .sample))
        }
        await store.close()
        let rows = ["plans", "operations"].map { "SELECT '\($0)', document, summary FROM \($0)" }
        let lines = try rows.flatMap { try place.sql($0) }.flatMap { row in
            zip(["document", "summary"], row.dropFirst()).map { "\(row[0].text ?? "") \($0) \($1.text ?? "")" }
        }
        #expect(lines.count == 4)
        let notices = try place.sql("SELECT document FROM notices").compactMap { $0.first?.text }
        #expect(notices.count == 1)
        try expectGolden(lines + notices.map { "notices document \($0)" }, "stored-forms.txt")
    }
}
