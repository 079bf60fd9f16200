import AgentModel
import AgentService
import StrictJSON

/// Which guests a caller asks for.
struct GuestFilter: Sendable {
    var node: String?
    var status: String?
    var tag: String?
    /// A part of the name, in upper or lower case.
    var name: String?

    /// Whether a row of the inventory is one of them.
    func matches(_ row: GuestRow) -> Bool {
        if let node, !row.isString(.node, node) { return false }
        if let status, !row.isString(.status, status) { return false }
        if let tag, !row.tags.contains(tag) { return false }
        if let name, !(row.text(.name) ?? "").lowercased().contains(name.lowercased()) { return false }
        return true
    }
}

/// A row of the inventory, as the list of an environment has it.
struct GuestRow: Sendable {
    enum Key: Int, CaseIterable {
        case environment, type, vmid, name, node, status, tags
    }

    private let row: JSONRows.Row
    let environment: String
    let guest: GuestRef

    /// All rows of several lists, by environment and id.
    static func all(in lists: [RenderedRows]) throws(JSONError) -> [GuestRow] {
        var found: [GuestRow] = []
        for list in lists {
            let document = Array("{\"data\":[".utf8) + list.bytes + Array("]}".utf8)
            found += try JSONRows.scan(document, wanted: Key.allCases.map { "\($0)" }).compactMap(GuestRow.init)
        }
        return found.sorted { ($0.environment, $0.guest.id) < ($1.environment, $1.guest.id) }
    }

    private init?(_ row: JSONRows.Row) {
        guard let environment = row.json(Key.environment.rawValue)?.string,
            let kind = GuestKind.allCases.first(where: { row.isString(Key.type.rawValue, $0.rawValue) }),
            let number = row.json(Key.vmid.rawValue)?.integer, let id = VMID("\(number)")
        else { return nil }
        self.row = row
        self.environment = environment
        guest = GuestRef(kind: kind, id: id)
    }

    func isString(_ key: Key, _ text: String) -> Bool { row.isString(key.rawValue, text) }
    func text(_ key: Key) -> String? { row.json(key.rawValue)?.string }

    var tags: [String] {
        (text(.tags) ?? "").split { ";, ".contains($0) }.map(String.init)
    }

    func shown(_ detail: Detail) -> JSON {
        let own: JSONObject = ["environment": .string(environment), "guest": .string("\(guest)")]
        if detail == .full { return .object(own.merging((try? row.json())?.object ?? [:])) }
        return .object(
            own.merging([
                "name": row.json(Key.name.rawValue), "node": row.json(Key.node.rawValue),
                "status": row.json(Key.status.rawValue), "tags": tags.isEmpty ? nil : JSON(tags),
            ]))
    }
}

extension ToolCall {
    /// Where a page ended.
    private struct Cursor {
        let environment: String
        let id: VMID

        init?(_ text: String) {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, EnvironmentName(String(parts[0])) != nil, let id = VMID(parts[1]) else {
                return nil
            }
            environment = String(parts[0])
            self.id = id
        }

        func isBefore(_ row: GuestRow) -> Bool { (environment, id) < (row.environment, row.guest.id) }
    }

    func inventory() async throws(ServiceError) -> ToolResult {
        let (environment, filter, cursor, detail) = try await read { reader throws(ServiceError) in
            let environment = reader.string("environment")
            let filter = GuestFilter(
                node: reader.string("node"), status: reader.string("status"), tag: reader.string("tag"),
                name: reader.string("name"))
            let cursor = reader.parsed("cursor", "next_cursor of an answer", Cursor.init)
            return (environment, filter, cursor, reader.detail())
        }
        let (rows, failed) = try await guests(in: environment)
        let matching = rows.filter(filter.matches)
        var page = Page()
        var last: GuestRow?
        let rest = cursor.map { cursor in matching.drop { !cursor.isBefore($0) } } ?? matching[...]
        for row in rest {
            guard page.add(row.shown(detail)) else { break }
            last = row
        }
        let next = page.rows.count < rest.count ? last.map { JSON.string("\($0.environment):\($0.guest.id)") } : nil
        return ToolResult(content: [
            "matched": JSON(matching.count), "counts": Self.counts(matching), "guests": .array(page.rows),
            "next_cursor": next, "failed": failed.isEmpty ? nil : .array(failed),
        ])
    }

    /// All guests of one environment, or of all that the caller may see, and which of these did not answer.
    private func guests(in environment: String?) async throws(ServiceError) -> ([GuestRow], failed: [JSON]) {
        let content: ReadResult.Content
        var failed: [JSON] = []
        if let environment {
            content = try await data(Action.readInventory.rawValue, "\(Target.inventoryAll)", in: environment)
        } else {
            let result = try await service.reads.inventoryOfAll(runningOnly: false, context)
            let errors = result.parts.compactMap(\.error)
            if result.status == .failed, let error = errors.first { throw error }
            failed = result.parts.compactMap { part in
                part.error.map {
                    [
                        "environment": .string("\(part.environment)"), "code": .string($0.code.rawValue),
                        "detail": .string($0.detail),
                    ]
                }
            }
            content = result.content
        }
        guard case .rows(let lists) = content else { return ([], failed) }
        do throws(JSONError) { return (try GuestRow.all(in: lists), failed) } catch {
            throw ServiceError(.upstreamInvalid, "the list of guests is not valid: \(error.detail)")
        }
    }

    private static func counts(_ rows: [GuestRow]) -> JSON {
        var (status, environment) = ([String: Int](), [String: Int]())
        for row in rows {
            status[row.text(.status) ?? "unknown", default: 0] += 1
            environment[row.environment, default: 0] += 1
        }
        func object(_ counts: [String: Int]) -> JSON {
            .object(counts.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { $0[$1.key] = JSON($1.value) })
        }
        return ["status": object(status), "environment": object(environment)]
    }
}
