import HTTPTypes
import StrictJSON
import Testing

/// Parts of an inventory, and large answers, over HTTP.
@Suite(.timeLimit(.minutes(1)))
struct InventoryPageTests {
    @Test(arguments: [
        ("type=lxc&environment=cloud", "lxc", "type"), ("environment=cloud&node=pve2", "pve2", "node"),
    ])
    func `filters leave what they name, and nothing else`(query: String, value: String, field: String) async throws {
        try await withAgent { agent in
            let whole = try await agent.get("/v1/inventory")["result"]?["data"]?.array ?? []
            let result = try #require(try await agent.get("/v1/inventory?\(query)")["result"])
            let rows = try #require(result["data"]?.array)
            let expected = whole.filter { $0[field]?.string == value && $0["environment"] == "cloud" }
            #expect(!rows.isEmpty && Set(rows) == Set(expected))
            #expect(result["matched"] == JSON(rows.count) && result["next"] == .null)
        }
    }

    @Test func `names are found by a part, in upper or lower case`() async throws {
        try await withAgent { agent in
            let rows = try await agent.get("/v1/inventory?name=WEB")["result"]?["data"]?.array ?? []
            #expect(!rows.isEmpty && rows.allSatisfy { $0["name"]?.string?.contains("web") == true })
            #expect(try await agent.get("/v1/inventory?name=no-such")["result"]?["data"] == [])
        }
    }

    @Test func `pages hold every guest once, in order, with the chosen fields`() async throws {
        try await withAgent { agent in
            let whole = try await agent.get("/v1/inventory")["result"]?["data"]?.array ?? []
            var (found, after): ([JSON], String?) = ([], nil)
            repeat {
                let place = after.map { "&after=\($0)" } ?? ""
                let reply = try await agent.get("/v1/inventory?limit=7&fields=name,nothing\(place)")
                let rows = try #require(reply["result"]?["data"]?.array)
                #expect((1...7).contains(rows.count) && reply["result"]?["matched"] == JSON(whole.count))
                found += rows
                after = reply["result"]?["next"]?.string
            } while after != nil && found.count <= whole.count
            #expect(found.count == whole.count)
            #expect(found.allSatisfy { $0.object?.keys == ["environment", "type", "vmid", "name"] })
            let order = found.map { "\($0["environment"]?.string ?? "") \($0["vmid"]?.integer ?? 0)" }
            #expect(order == order.sorted() && Set(order).count == whole.count)
        }
    }

    @Test(arguments: [
        "type=vm", "node=-a", "pool=../x", "limit=0", "limit=10001", "after=home", "after=home:99", "after=:100",
        "fields=", "fields=a,", "fields=a%20b", "status=running",
    ])
    func `a filter that cannot be read is refused by name`(query: String) async throws {
        try await withAgent { agent in
            let reply = try await agent.get("/v1/inventory?\(query)")
            expectProblem(reply, 400, "invalid_request")
            #expect(reply["detail"]?.string?.contains(query.prefix { $0 != "=" }) == true)
        }
    }

    @Test func `the description is compressed for who takes it, and not sent to who has it`() async throws {
        try await withAgent { agent in
            let plain = try await agent.send(.get, "/openapi.json", fields: [:])
            let packed = try await agent.send(.get, "/openapi.json", fields: [.acceptEncoding: "gzip"])
            #expect(packed.fields[.contentEncoding] == "gzip" && packed.body.count < plain.body.count / 5)
            let tag = try #require(plain.fields[.eTag])
            #expect(packed.fields[.eTag] == tag)
            let known = try await agent.send(.get, "/openapi.json", fields: [.ifNoneMatch: tag])
            #expect(known.status == 304 && known.body.isEmpty)
        }
    }
}
