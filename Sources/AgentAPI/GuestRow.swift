package import AgentModel
package import AgentService
import HTTPMessage
package import StrictJSON
import Synchronization

/// Which guests a caller asks for.
package struct GuestFilter: Sendable, Hashable {
    package var node: String?
    package var status: String?
    package var tag: String?
    /// A part of the name, in upper or lower case.
    package var name: String?
    package var kind: GuestKind?
    package var pool: String?

    package init() {}

    /// Whether a row of the inventory is one of them.
    package func matches(_ row: GuestRow) -> Bool {
        if let node, !row.isString(.node, node) { return false }
        if let status, !row.isString(.status, status) { return false }
        if let kind, row.guest.kind != kind { return false }
        if let pool, !row.isString(.pool, pool) { return false }
        if let tag, !row.tags.contains(tag) { return false }
        if let name, !(row.text(.name) ?? "").lowercased().contains(name.lowercased()) { return false }
        return true
    }
}

/// A row of the inventory, as the list of an environment has it: a view of the list's bytes.
package struct GuestRow: Sendable {
    package enum Key: Int, CaseIterable, Sendable {
        case environment, type, vmid, name, node, status, tags, pool
    }

    /// A place in the order of rows, for pages: `home:101`.
    package struct Cursor: Sendable, Hashable {
        package let environment: String
        package let id: VMID

        package init?(_ text: String) {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, EnvironmentName(String(parts[0])) != nil, let id = VMID(parts[1]) else {
                return nil
            }
            environment = String(parts[0])
            self.id = id
        }

        package func isBefore(_ row: GuestRow) -> Bool { (environment, id) < (row.environment, row.guest.id) }
    }

    /// The list of an environment: one reference for all its rows.
    private final class List: Sendable {
        let rows: JSONRows
        let environment: String

        init(_ rows: JSONRows, _ environment: String) { (self.rows, self.environment) = (rows, environment) }
    }

    private let list: List
    private let index: Int
    package let guest: GuestRef
    package var environment: String { list.environment }
    private var row: JSONRows.Row { list.rows[index] }

    /// The rows of the list of one environment, by id.
    fileprivate static func all(in list: RenderedRows) throws(JSONError) -> GuestList? {
        let document = Array("{\"data\":[".utf8) + list.bytes + Array("]}".utf8)
        let rows = try JSONRows.scan(document, wanted: Key.allCases.map { "\($0)" })
        guard let environment = rows.first?.json(Key.environment.rawValue)?.string else { return nil }
        let own = List(rows, environment)
        return GuestList(
            environment: environment,
            rows: rows.indices.compactMap { GuestRow(own, $0) }.sorted { $0.guest.id < $1.guest.id })
    }

    private init?(_ list: List, _ index: Int) {
        let row = list.rows[index]
        guard let kind = GuestKind.allCases.first(where: { row.isString(Key.type.rawValue, $0.rawValue) }),
            let digits = row.value(Key.vmid.rawValue),
            let id = VMID(String(decoding: list.rows.bytes[digits], as: UTF8.self))
        else { return nil }
        (self.list, self.index) = (list, index)
        guest = GuestRef(kind: kind, id: id)
    }

    package func isString(_ key: Key, _ text: String) -> Bool { row.isString(key.rawValue, text) }
    package func json(_ key: Key) -> JSON? { row.json(key.rawValue) }
    package func text(_ key: Key) -> String? { json(key)?.string }
    /// The value as it is in the list; `nil` if there is none.
    package func bytes(of key: Key) -> ArraySlice<UInt8>? { row.value(key.rawValue).map { list.rows.bytes[$0] } }

    package var tags: [String] {
        guard let text = text(.tags) else { return [] }
        return text.utf8.split { [UInt8(ascii: ";"), UInt8(ascii: ","), UInt8(ascii: " ")].contains($0) }
            .map { String(Substring($0)) }
    }

    /// All members, as PVE sent them.
    package var whole: JSONObject { (try? row.json())?.object ?? [:] }

    package var cursor: String { "\(environment):\(guest.id)" }
}

/// The guests of one environment, by id.
package struct GuestList: Sendable {
    package let environment: String
    package let rows: [GuestRow]
    /// How many there are of each status.
    package let statuses: [(status: String, count: Int)]

    fileprivate init(environment: String, rows: [GuestRow]) {
        self.environment = environment
        self.rows = rows
        var statuses: [(status: String, count: Int)] = []
        for row in rows {
            if let place = statuses.firstIndex(where: { row.isString(.status, $0.status) }) {
                statuses[place].count += 1
            } else {
                statuses.append((row.text(.status) ?? "", 1))
            }
        }
        self.statuses = statuses
    }

    package func matching(_ filter: GuestFilter) -> GuestList {
        filter == GuestFilter() ? self : GuestList(environment: environment, rows: rows.filter(filter.matches))
    }
}

/// Keeps the rows found in the last list of each environment while that list stays the same, so that each is taken
/// apart once.
package final class GuestLists: Sendable {
    private let last = Mutex<[String: (list: RenderedRows, guests: GuestList)]>([:])

    package init() {}

    /// What each list holds, by environment; empty ones are left out. Throws if one is no list, though each was checked
    /// when it came.
    package func lists(of rendered: [RenderedRows]) throws(ServiceError) -> [GuestList] {
        var found: [GuestList] = []
        for list in rendered where list.count > 0 {
            if let guests = try guests(of: list) { found.append(guests) }
        }
        return found.sorted { $0.environment < $1.environment }
    }

    private func guests(of list: RenderedRows) throws(ServiceError) -> GuestList? {
        let known = last.withLock { $0.values.first { $0.list.bytes.isSame(as: list.bytes) } }
        if let known { return known.guests }
        let guests: GuestList?
        do throws(JSONError) { guests = try GuestRow.all(in: list) } catch {
            throw ServiceError(.upstreamInvalid, "the list of guests is not valid: \(error.detail)")
        }
        if let guests { last.withLock { $0[guests.environment] = (list, guests) } }
        return guests
    }
}

/// A part of an inventory: the guests that match, from a place on, with some of their members.
struct InventoryPage {
    var filter = GuestFilter()
    var after: GuestRow.Cursor?
    var limit: Int?
    /// The members to show, beside those that name the guest; `nil` for all.
    var fields: [String]?

    var isWhole: Bool { filter == GuestFilter() && after == nil && limit == nil && fields == nil }

    /// Members that every row has.
    private static let naming = ["environment", "type", "vmid"]

    static let fieldsForm = TextForm.shape("[A-Za-z0-9_-]{1,64}(,[A-Za-z0-9_-]{1,64}){0,63}", samples: ["name,node"])
    static let cursorForm = Schema.pattern("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}:[1-9][0-9]{2,8}$")

    /// The answer with the rows of this page in place of all.
    func response(of whole: ReadEnvelope, _ lists: GuestLists) throws(ServiceError) -> Response {
        var envelope = whole
        guard !isWhole, case .rows(let rows) = envelope.result.content else { return envelope.response() }
        let matching = try lists.lists(of: rows).flatMap { $0.matching(filter).rows }
        let rest = after.map { after in matching.drop { !after.isBefore($0) } } ?? matching[...]
        let page = rest.prefix(limit ?? rest.count)
        var bytes: [UInt8] = []
        for (index, row) in page.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            let whole = row.whole
            let names = fields.map { fields in Self.naming + fields.filter { !Self.naming.contains($0) } } ?? whole.keys
            let shown = names.reduce(into: JSONObject()) { $0[$1] = whole[$1] }
            JSON.object(shown).write(to: &bytes)
        }
        envelope.result.content = .rows([RenderedRows(bytes: bytes, count: page.count)])
        envelope.matched = matching.count
        envelope.next = page.count < rest.count ? page.last?.cursor : nil
        return envelope.response()
    }
}
