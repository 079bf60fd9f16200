import AgentTestSupport
import StrictJSON
import Testing

struct ObjectReaderTests {
    private let object: JSONObject = [
        "text": "a", "flag": true, "number": 5, "fraction": .number(5.5), "list": ["a", "b"], "inner": ["x": 1],
        "nothing": .null,
    ]

    @Test func `members come out as what they are`() throws {
        var reader = ObjectReader(object)
        #expect(reader.string("text") == "a")
        #expect(reader.bool("flag") == true)
        #expect(reader.integer("number", in: 5...5) == 5)
        #expect(reader.strings("list") == ["a", "b"])
        #expect(reader.object("inner") == ["x": 1])
        #expect(reader.value("fraction") == .number(5.5))
        #expect(reader.value("nothing") == .null)
        #expect(reader.string("absent") == nil)
        #expect(reader.parsed("text", "an a") { $0 == "a" ? 1 : nil } == 1)
        try reader.finish()
    }

    @Test func `what nobody asked for is refused, in the order it came`() {
        var reader = ObjectReader(object, at: JSONPath([.key("params")]))
        _ = reader.string("text")
        _ = reader.string("other")
        #expect {
            try reader.finish()
        } throws: {
            guard let issues = ($0 as? JSONIssues)?.issues else { return false }
            return issues.map(\.path.pointer)
                == ["flag", "number", "fraction", "list", "inner", "nothing"].map { "/params/\($0)" }
                && issues.allSatisfy { $0.detail == "unknown key; known here: other, text" }
        }
    }

    @Test func `a wrong member is an issue with what was expected and what was there`() {
        var reader = ObjectReader(object)
        #expect(reader.string("number") == nil)
        #expect(reader.bool("text") == nil)
        #expect(reader.integer("number", in: 6...9, unit: "s") == nil)
        #expect(reader.integer("fraction", in: 0...9) == nil)
        #expect(reader.array("inner") == nil)
        #expect(reader.object("nothing") == nil)
        #expect(reader.parsed("text", "a b") { $0 == "b" ? 1 : nil } == nil)
        reader.require("absent", "something")
        reader.require("number", "a number")
        #expect(
            reader.issues.map { "\($0.path.pointer): \($0.detail)" } == [
                "/number: expected a string, got 5", "/text: expected true or false, got \"a\"",
                "/number: expected an integer from 6 to 9 (s), got 5",
                "/fraction: expected an integer from 0 to 9, got 5.5", "/inner: expected an array, got an object",
                "/nothing: expected an object, got null", "/text: expected a b, got \"a\"",
                "/absent: is missing; expected something",
            ])
    }

    @Test func `each wrong element of a list is pointed at`() {
        var reader = ObjectReader(["list": ["a", 1, "b", [:]]])
        #expect(reader.strings("list") == ["a", "b"])
        #expect(reader.issues.map(\.path.pointer) == ["/list/1", "/list/3"])
    }

    @Test(
        arguments: [
            ("a", "\"a\""),
            (.string(String(repeating: "x", count: 80)), "\"" + String(repeating: "x", count: 80) + "\""),
            (.string(String(repeating: "x", count: 81)), "a string of 81 bytes"), ("\u{1B}[31m", "\"\\u001b[31m\""),
            ([1], "an array"), ([:], "an object"), (.null, "null"), (true, "true"), (-1, "-1"),
        ] as [(JSON, String)])
    func `an error shows short values only, and those escaped`(value: JSON, text: String) {
        #expect(value.shown == text)
    }
}

struct JSONPathTests {
    @Test(
        arguments: [
            ([], "", ""), ([.key("a")], "/a", "a"), ([.key("a"), .index(0), .key("b")], "/a/0/b", "a[0].b"),
            ([.key("")], "/", ""), ([.key("a/b~c")], "/a~1b~0c", "a/b~c"), ([.key("~1")], "/~01", "~1"),
            ([.key("~\u{301}"), .key("/\u{301}")], "/~0\u{301}/~1\u{301}", "~\u{301}./\u{301}"),
            ([.index(7)], "/7", "[7]"),
        ] as [([JSONPath.Step], String, String)])
    func `a path is written as a pointer and as people write it`(
        steps: [JSONPath.Step], pointer: String, dotted: String
    ) {
        #expect(JSONPath(steps).pointer.unicodeScalars.elementsEqual(pointer.unicodeScalars))
        #expect(JSONPath(steps).dotted.unicodeScalars.elementsEqual(dotted.unicodeScalars))
    }

    @Test(
        arguments: [
            ("5", 5), ("5.0", 5), ("5e0", 5), ("50e-1", 5), ("-0.0", 0), ("5.5", nil), ("1e30", nil), ("11.0", nil),
            ("\"5\"", nil), ("9223372036854775808", nil),
        ] as [(String, Int?)])
    func `an integer is one in any spelling`(text: String, number: Int?) throws {
        let object = try #require(try JSON.parse(Array("{\"n\":\(text)}".utf8)).object)
        var reader = ObjectReader(object)
        #expect(reader.integer("n", in: 0...10) == number)
        #expect(reader.issues.isEmpty == (number != nil))
    }
}
