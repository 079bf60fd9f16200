import AgentModel
import AgentService
import StrictJSON

/// The rows of `GET /cluster/resources?type=vm`: scanned in place, never parsed into a tree.
struct GuestRows {
    private enum Key: Int, CaseIterable {
        case type, status, vmid, node, pool, environment
    }

    /// The members of guests and storages that planning uses.
    private static let planned = [
        "id", "type", "vmid", "node", "pool", "status", "template", "tags", "name", "hastate", "lock", "storage",
        "content", "shared", "plugintype", "disk", "maxdisk",
    ]

    private let rows: JSONRows

    /// The rows of a list of resources as a tree, with only the members that planning uses.
    static func tree(_ body: [UInt8]) throws(JSONError) -> JSON {
        let rows = try JSONRows.scan(body, wanted: planned)
        return .array(
            rows.map { row in
                var object = JSONObject()
                for (index, key) in planned.enumerated() { object[key] = row.json(index) }
                return .object(object)
            })
    }

    init(_ body: [UInt8]) throws(JSONError) {
        rows = try JSONRows.scan(body, wanted: Key.allCases.map { "\($0)" })
    }

    /// The rows, each with its environment first, separated by commas.
    func rendered(environment: EnvironmentName, runningOnly: Bool) throws(JSONError) -> RenderedRows {
        let member = JSONRows.member("environment", .string(environment.description))
        var bytes: [UInt8] = []
        bytes.reserveCapacity(rows.bytes.count + rows.count * (member.count + 2))
        var count = 0
        for row in rows where !runningOnly || Self.hasProcess(row) {
            if count > 0 { bytes.append(UInt8(ascii: ",")) }
            if row.value(Key.environment.rawValue) == nil {
                row.write(to: &bytes, first: member)
            } else {
                // PVE has no such member. If a row has one, it must not name another environment.
                var object = try row.json().object ?? [:]
                object["environment"] = .string(environment.description)
                JSON.object(object).write(to: &bytes)
            }
            count += 1
        }
        return RenderedRows(bytes: bytes, count: count)
    }

    /// Whether the guest has a process. PVE also reports states such as `paused`, `prelaunch` and `io-error` for that.
    private static func hasProcess(_ row: JSONRows.Row) -> Bool {
        row.value(Key.status.rawValue) != nil
            && !["stopped", "unknown"].contains { row.isString(Key.status.rawValue, $0) }
    }

    /// The node and pool of a guest; `nil` if it has no row.
    func place(of guest: GuestRef) -> GuestPlace? {
        let spellings = ["\(guest.id)", "\"\(guest.id)\""].map { Array($0.utf8) }
        for row in rows {
            guard let range = row.value(Key.vmid.rawValue),
                spellings.contains(where: { rows.bytes[range].elementsEqual($0) }),
                row.isString(Key.type.rawValue, guest.kind.rawValue)
            else { continue }
            guard let node = row.json(Key.node.rawValue)?.string.flatMap(NodeName.init) else { return nil }
            return GuestPlace(node: node, pool: row.json(Key.pool.rawValue)?.string)
        }
        return nil
    }
}
