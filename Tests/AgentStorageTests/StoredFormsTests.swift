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
        try await store.write { records in
            records.put(plan)
            records.put(Operation.whole(of: plan))
        }
        await store.close()
        let rows = ["plans", "operations"].map { "SELECT '\($0)', document, summary FROM \($0)" }
        let lines = try rows.flatMap { try place.sql($0) }.flatMap { row in
            zip(["document", "summary"], row.dropFirst()).map { "\(row[0].text ?? "") \($0) \($1.text ?? "")" }
        }
        #expect(lines.count == 4)
        try expectGolden(lines, "stored-forms.txt")
    }
}
