import AgentModel
import AgentService
import StrictJSON
import Synchronization

/// A row of the inventory, as the list of an environment has it: a view of the list's bytes.
struct GuestRow: Sendable {
    enum Key: Int, CaseIterable {
        case environment, type, vmid, name, node, status, tags
    }

    private let rows: JSONRows
    private let index: Int
    let environment: String
    let guest: GuestRef

    /// The rows of the list of one environment, by id.
    static func all(in list: RenderedRows) throws(JSONError) -> [GuestRow] {
        let document = Array("{\"data\":[".utf8) + list.bytes + Array("]}".utf8)
        let rows = try JSONRows.scan(document, wanted: Key.allCases.map { "\($0)" })
        guard let environment = rows.first?.json(Key.environment.rawValue)?.string else { return [] }
        return rows.indices.compactMap { GuestRow(rows, $0, environment) }.sorted { $0.guest.id < $1.guest.id }
    }

    private init?(_ rows: JSONRows, _ index: Int, _ environment: String) {
        let row = rows[index]
        guard let kind = GuestKind.allCases.first(where: { row.isString(Key.type.rawValue, $0.rawValue) }),
            let digits = row.value(Key.vmid.rawValue),
            let id = VMID(String(decoding: rows.bytes[digits], as: UTF8.self))
        else { return nil }
        (self.rows, self.index, self.environment) = (rows, index, environment)
        guest = GuestRef(kind: kind, id: id)
    }

    func isString(_ key: Key, _ text: String) -> Bool { rows[index].isString(key.rawValue, text) }
    func text(_ key: Key) -> String? { rows[index].json(key.rawValue)?.string }

    var tags: [String] { (text(.tags) ?? "").split { ";, ".contains($0) }.map(String.init) }

    func shown(_ detail: Detail) -> JSON {
        let row = rows[index]
        let own: JSONObject = ["environment": .string(environment), "guest": .string("\(guest)")]
        if detail == .full { return .object(own.merging((try? row.json())?.object ?? [:])) }
        let tags = tags
        return .object(
            own.merging([
                "name": row.json(Key.name.rawValue), "node": row.json(Key.node.rawValue),
                "status": row.json(Key.status.rawValue), "tags": tags.isEmpty ? nil : JSON(tags),
            ]))
    }
}

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

/// Keeps the rows found in the last list of each environment while that list stays the same, as it does for reads that
/// share a fetch.
final class GuestLists: Sendable {
    private let last = Mutex<[String: (list: RenderedRows, rows: [GuestRow])]>([:])

    /// The rows of several lists, by environment and id.
    func rows(of lists: [RenderedRows]) throws(JSONError) -> [GuestRow] {
        var found: [[GuestRow]] = []
        for list in lists where list.count > 0 { found.append(try rows(of: list)) }
        return Array(found.sorted { ($0.first?.environment ?? "") < ($1.first?.environment ?? "") }.joined())
    }

    private func rows(of list: RenderedRows) throws(JSONError) -> [GuestRow] {
        let known = last.withLock { $0.values.first { $0.list == list } }
        if let known { return known.rows }
        let rows = try GuestRow.all(in: list)
        if let environment = rows.first?.environment { last.withLock { $0[environment] = (list, rows) } }
        return rows
    }
}
