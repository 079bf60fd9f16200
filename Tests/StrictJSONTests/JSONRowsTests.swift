import AgentTestSupport
import StrictJSON
import Testing

struct JSONRowsTests {
    private static let wanted = ["type", "status", "vmid", "node", "name", "template"]

    private static func scan(_ text: String, wanted: [String] = wanted) throws(JSONError) -> JSONRows {
        try JSONRows.scan(Array(text.utf8), wanted: wanted)
    }

    @Test func `more rows than any cluster has are refused, and cost little`() {
        let text = "{\"data\":[" + String(repeating: "{},", count: 250_000) + "{}]}"
        #expect(throws: JSONError.self) { try Self.scan(text, wanted: []) }
    }

    @Test func `finds rows and the values that are wanted`() throws {
        let rows = try Self.scan(
            #" { "total" : 2, "data" : [ {"vmid":100,"name":"web \"1\"","status":"running","tags":{"name":"x"}} , "#
                + #"{ "status" : "stopped", "template":1, "n\u0061me":null } , {} ] , "more":[1,{"data":[]}] } "#)
        #expect(rows.count == 3)
        #expect(
            try rows.map { try $0.json() } == [
                ["vmid": 100, "name": "web \"1\"", "status": "running", "tags": ["name": "x"]],
                ["status": "stopped", "template": 1, "name": nil as JSON? ?? .null], [:],
            ])
        #expect((0..<6).map { rows[0].json($0) } == [nil, "running", 100, nil, "web \"1\"", nil])
        #expect((0..<6).map { rows[1].json($0) } == [nil, "stopped", nil, nil, .null, 1])
        #expect((0..<6).map { rows[2].value($0) } == [nil, nil, nil, nil, nil, nil])
        #expect(rows[0].isString(1, "running") && !rows[0].isString(1, "runnin") && !rows[0].isString(2, "100"))
        #expect(rows[0].isString(4, "web \"1\"") && !rows[0].isString(4, #"web \"1\""#) && !rows[0].isString(0, ""))
    }

    @Test(arguments: [
        (#"{}"#, "/data", "expected an array, but there is none"),
        (#"{"data":null}"#, "/data", "expected an array"),
        (#"{"data":{}}"#, "/data", "expected an array"),
        (#"{"data":[{},1]}"#, "/data/1", "expected an object"),
        (#"{"data":[[]]}"#, "/data/0", "expected an object"),
        (#"[]"#, "", "expected an object"),
        (#"{"data":[],"data":[]}"#, "/data", "key given twice"),
        (#"{"data":[],"d\u0061ta":[]}"#, "/data", "key given twice"),
        (#"{"data":[{},{"vmid":1,"vmid":2}]}"#, "/data/1/vmid", "key given twice"),
        (#"{"data":[{},{"x":01}]}"#, "/data/1/x", "a number must not start with 0"),
        (#"{"data":[{}],"x":[1}"#, "/x", "expected ',' or ']'"),
        (#"{"data":[{}]} x"#, "", "unexpected text after the end of the document"),
        ("", "", "unexpected end of the document"),
    ])
    func `says why it is no list`(text: String, pointer: String, detail: String) throws {
        let error = try #require(throws: JSONError.self) { try Self.scan(text) }
        #expect(error.path.pointer == pointer)
        #expect(error.detail == detail)
    }

    @Test(arguments: [
        ("{}", #"{"environment":"home"}"#), ("{ }", #"{"environment":"home"}"#),
        (#"{"vmid":1}"#, #"{"environment":"home","vmid":1}"#),
        ("{\n  \"vmid\": 1 }", "{\"environment\":\"home\",\"vmid\": 1 }"),
    ])
    func `writes a row with one more member`(row: String, text: String) throws {
        let rows = try Self.scan(#"{"data":[\#(row)]}"#)
        var out: [UInt8] = []
        rows[0].write(to: &out, first: JSONRows.member("environment", "home"))
        #expect(String(decoding: out, as: UTF8.self) == text)
    }

    @Test(arguments: [62, 63, 64])
    func `nests as deep as the parser does`(levels: Int) {
        for inner in ["1", ""] {
            let nested = String(repeating: "[", count: levels) + inner + String(repeating: "]", count: levels)
            for text in [#"{"data":[],"x":\#(nested)}"#, #"{"data":[{"x":\#(nested)}]}"#] {
                let isParsed = (try? JSON.parse(text)) != nil
                #expect(((try? Self.scan(text)) != nil) == isParsed)
            }
        }
    }

    @Test func `takes and refuses what the parser takes and refuses`() throws {
        var random = RandomJSON(seed: 5)
        var (taken, refused) = (0, 0)
        for _ in 0..<4000 {
            var row = JSONObject()
            for key in Self.wanted where Bool.random(using: &random.generator) { row[key] = random.value(depth: 2) }
            row[random.text()] = random.value()
            var text = JSON.object(["data": [.object(row), [:]], "total": random.value(depth: 2)]).bytes
            for _ in 0..<random.below(3) where !text.isEmpty {
                let place = random.below(text.count)
                switch random.below(4) {
                case 0: text.remove(at: place)
                case 1: text[place] = UInt8(random.below(256))
                case 2: text.insert(Array(#"{}[]",:\0e-"#.utf8).randomElement(using: &random.generator) ?? 0, at: place)
                default: text.removeLast(text.count - place)
                }
            }
            let parsed = Result { () throws(JSONError) in try JSON.parse(text) }
            let rows = Result { () throws(JSONError) in try JSONRows.scan(text, wanted: Self.wanted) }
            switch (parsed, rows) {
            case (.success(let value), .success(let rows)):
                taken += 1
                #expect(value["data"] == .array(try rows.map { try $0.json() }))
                for (row, tree) in zip(rows, value["data"]?.array ?? []) {
                    for (index, key) in Self.wanted.enumerated() { #expect(row.json(index) == tree[key]) }
                }
            case (.failure(let error), .success): #expect(error.detail == "key given twice")
            case (.success(let value), .failure):
                // Well-formed, but no list of objects any more.
                #expect(value["data"]?.array?.allSatisfy { $0.object != nil } != true)
            case (.failure, .failure): refused += 1
            }
        }
        #expect(taken > 500 && refused > 500)
    }

    @Test func `reads ten thousand rows`() throws {
        let rows: [JSON] = (0..<10_000).map { number in
            ["type": "qemu", "vmid": JSON(number), "status": number.isMultiple(of: 2) ? "running" : "stopped"]
        }
        let scanned = try JSONRows.scan((["data": .array(rows)] as JSON).bytes, wanted: ["vmid", "status"])
        #expect(scanned.count == 10_000)
        #expect(scanned.filter { $0.isString(1, "running") }.count == 5000)
        #expect(scanned.last?.json(0) == 9999)
    }
}
