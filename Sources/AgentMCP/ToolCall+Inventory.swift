import AgentAPI
import AgentModel
import AgentService
import StrictJSON

extension GuestRow {
    /// Members that are shown as the list has them, with what stands before their values.
    private static let shown: [(key: Key, before: [UInt8])] = [Key.name, .node, .status].map {
        ($0, Array(",\"\($0)\":".utf8))
    }

    func write(_ detail: Detail, to text: inout [UInt8]) {
        if detail == .full {
            let own: JSONObject = ["environment": .string(environment), "guest": .string("\(guest)")]
            return JSON.object(own.merging(whole)).write(to: &text)
        }
        // No name of an environment or a guest has a character to escape.
        text.append(contentsOf: "{\"environment\":\"".utf8)
        text.append(contentsOf: environment.utf8)
        text.append(contentsOf: "\",\"guest\":\"".utf8)
        text.append(contentsOf: guest.description.utf8)
        text.append(UInt8(ascii: "\""))
        for (key, before) in Self.shown {
            guard let value = bytes(of: key) else { continue }
            text.append(contentsOf: before)
            text.append(contentsOf: value)
        }
        let tags = tags
        if !tags.isEmpty {
            text.append(contentsOf: ",\"tags\":".utf8)
            JSON(tags).write(to: &text)
        }
        text.append(UInt8(ascii: "}"))
    }
}

extension ToolCall {
    func inventory() async throws(ServiceError) -> ToolResult {
        let (environment, filter, cursor, detail) = try await read { reader throws(ServiceError) in
            let environment = reader.string("environment")
            var filter = GuestFilter()
            filter.node = reader.string("node")
            filter.status = reader.string("status")
            filter.tag = reader.string("tag")
            filter.name = reader.string("name")
            let cursor = reader.parsed("cursor", "next_cursor of an answer", GuestRow.Cursor.init)
            return (environment, filter, cursor, reader.detail())
        }
        let (lists, failed) = try await guests(in: environment)
        let matching = lists.map { $0.matching(filter) }
        var page = Page()
        var (last, isCut): (GuestRow?, Bool) = (nil, false)
        var (guests, text): ([UInt8], [UInt8]) = ([], [])
        for row in matching.lazy.flatMap(\.rows) where cursor?.isBefore(row) ?? true {
            text.removeAll(keepingCapacity: true)
            row.write(detail, to: &text)
            isCut = !page.take(text)
            if isCut { break }
            if last != nil { guests.append(UInt8(ascii: ",")) }
            guests += text
            last = row
        }
        return ToolResult(
            content: [
                "matched": JSON(matching.reduce(0) { $0 + $1.rows.count }), "counts": Self.counts(matching),
                "next_cursor": isCut ? last.map { .string($0.cursor) } : nil,
                "failed": failed.isEmpty ? nil : .array(failed),
            ], listing: "guests", guests)
    }

    /// All guests of one environment, or of all that the caller may see, and which of these did not answer.
    private func guests(in environment: String?) async throws(ServiceError) -> ([GuestList], failed: [JSON]) {
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
        return (try guestLists.lists(of: lists), failed)
    }

    private static func counts(_ lists: [GuestList]) -> JSON {
        func object(_ counts: [(name: String, count: Int)]) -> JSON {
            .object(
                counts.sorted { $0.name < $1.name }.reduce(into: JSONObject()) {
                    $0[$1.name] = JSON($1.count + Int($0[$1.name]?.integer ?? 0))
                })
        }
        return [
            "status": object(lists.flatMap(\.statuses).map { ($0.status, $0.count) }),
            "environment": object(lists.filter { !$0.rows.isEmpty }.map { ($0.environment, $0.rows.count) }),
        ]
    }
}
