import AgentModel
import AgentService
import StrictJSON

/// The rows of `GET /cluster/resources?type=vm`.
struct GuestRows {
    private let rows: [JSON]

    init(_ body: [UInt8]) throws(JSONError) {
        rows = try JSON.parse(body)["data"]?.array ?? []
    }

    func rendered(environment: EnvironmentName, runningOnly: Bool) -> RenderedRows {
        var bytes: [UInt8] = []
        var count = 0
        for row in rows where !runningOnly || row["status"] == "running" {
            if count > 0 { bytes.append(UInt8(ascii: ",")) }
            var shown: JSONObject = ["environment": .string("\(environment)")]
            for member in row.object?.members ?? [] { shown[member.key] = member.value }
            JSON.object(shown).write(to: &bytes)
            count += 1
        }
        return RenderedRows(bytes: bytes, count: count)
    }

    func place(of guest: GuestRef) -> GuestPlace? {
        let wanted = JSON.integer(Int64(guest.id.rawValue))
        guard let row = rows.first(where: { $0["vmid"] == wanted && $0["type"]?.string == guest.kind.rawValue }),
            let node = row["node"]?.string.flatMap(NodeName.init)
        else { return nil }
        return GuestPlace(node: node, pool: row["pool"]?.string)
    }
}
