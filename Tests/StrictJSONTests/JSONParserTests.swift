import StrictJSON
import Testing

struct JSONParserTests {
    @Test(
        arguments: [
            ("null", .null), ("true", true), (" \t\r\nfalse \n", false), ("0", 0), ("-1", -1), ("42", 42),
            ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
            ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("-0", .number(-0.0)), ("1.0", .number(1)),
            ("1e2", .number(100)), ("1E+2", .number(100)), ("-1.5e-3", .number(-0.0015)), ("0.1", .number(0.1)),
            ("5e-324", .number(.leastNonzeroMagnitude)), ("1e-400", .number(0)),
            ("1.7976931348623157e308", .number(1.7976931348623157e308)),
            ("\"\"", ""), ("\"a\"", "a"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
            (#""\u0041\u00e9\u20AC""#, "Aé€"),
            (#""\ud83d\uDE00""#, "😀"), (#""\u0000""#, "\0"), ("\"é€😀\u{7F}\"", "é€😀\u{7F}"),
            (#""\uFFFF\uE000""#, "\u{FFFF}\u{E000}"),
            ("[]", []), ("[ ]", []), ("[1,[2,[]],{}]", [1, [2, []], [:]]), ("{}", [:]), ("{ }", [:]),
            (#"{"a":1,"b":{"a":2}}"#, ["a": 1, "b": ["a": 2]]), (#" { "a" : [ 1 , 2 ] } "#, ["a": [1, 2]]),
            (#"{"":0}"#, ["": 0]),
        ] as [(String, JSON)])
    func `reads what RFC 8259 allows`(text: String, value: JSON) throws {
        let parsed = try JSON.parse(text)
        #expect(parsed == value)
        #expect(parsed.kind == value.kind)
        #expect(parsed.bytes == value.bytes)
        _ = try JSONRows.scan(Array(#"{"data":[{"x":\#(text)}]}"#.utf8), wanted: ["x"])
    }

    @Test(.timeLimit(.minutes(1)))
    func `keys that only look the same cost no more than others`() throws {
        let keys = (0..<4096).map { number in
            (0..<12).map { number >> $0 & 1 == 0 ? "é" : "e\u{301}" }.joined()
        }
        let text = "{" + keys.map { "\"\($0)\":1" }.joined(separator: ",") + "}"
        let start = ContinuousClock.now
        #expect(try JSON.parse(text).object?.count == 4096)
        // Quadratic work would take minutes here.
        #expect(ContinuousClock.now - start < .seconds(20))
    }

    static let malformed = [
        "", " ", "nul", "nulll", "True", "tru", "falsy", "undefined", "NaN", "Infinity", "-", "+1", "01", "-01", "00",
        ".5",
        "1.", "1.e1", "1e", "1e+", "0x10", "1_000", "1e400", "-1e400", "1 2", "1,", "\"", "\"a", "\"\\\"", "'a'",
        #""\x41""#,
        #""\u12""#, #""\u12G4""#, #""\u+123""#, #""\"#, #""\u"#, #""\ud800""#, #""\udc00""#, #""\ud800\u0041""#,
        #""\udc00\ud800""#, #""\ud800x""#, #""\ud800\n""#, "\"\u{1}\"", "\"\n\"", "\"\t\"", "\"a\0\"", "[", "]", "[1",
        "[1,",
        "[1,]", "[,1]", "[1 2]", "[1}", "{", "}", "{1:2}", "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":1,",
        "{\"a\":1,}", "{\"a\":1 \"b\":2}", "{\"a\":1]", "{,}", "{\"a\" 1}", "[]]", "{}{}", "//\n1", "/**/1",
        "\u{FEFF}1",
        "\u{A0}1", "1\u{B}", "1\0",
    ]

    @Test(arguments: malformed)
    func `refuses what RFC 8259 does not allow`(text: String) {
        #expect(throws: JSONError.self) { try JSON.parse(text) }
        #expect(throws: JSONError.self) {
            try JSONRows.scan(Array(#"{"data":[{"x":\#(text)}]}"#.utf8), wanted: ["x"])
        }
    }

    @Test(
        arguments: [
            [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xC2], [0xC2, 0x41], [0xE0, 0x80, 0x80], [0xE0, 0x9F, 0xBF],
            [0xE2, 0x82], [0xE2, 0x28, 0xA1], [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF], [0xF0, 0x8F, 0xBF, 0xBF],
            [0xF0, 0x9F, 0x98], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFE], [0xFF],
        ] as [[UInt8]])
    func `refuses what is no UTF-8, in values, keys and behind escapes`(bytes: [UInt8]) {
        for (before, after) in [
            ("[\"", "\"]"), ("{\"", "\":1}"), ("[\"\\n", "\"]"), ("[\"abcdefghij", "klmnopqrst\"]"), ("[", "]"),
        ] {
            let text = Array(before.utf8) + bytes + Array(after.utf8)
            #expect(throws: JSONError.self) { try JSON.parse(text) }
            #expect(throws: JSONError.self) {
                try JSONRows.scan(Array("{\"data\":[],\"x\":".utf8) + text + Array("}".utf8), wanted: [])
            }
        }
    }

    @Test(
        arguments: [
            [0xC2, 0x80], [0xDF, 0xBF], [0xE0, 0xA0, 0x80], [0xED, 0x9F, 0xBF], [0xEE, 0x80, 0x80], [0xEF, 0xBF, 0xBF],
            [0xF0, 0x90, 0x80, 0x80], [0xF4, 0x8F, 0xBF, 0xBF],
        ] as [[UInt8]])
    func `takes the outermost scalars of each length`(bytes: [UInt8]) throws {
        let text = [UInt8(ascii: "\"")] + bytes + [UInt8(ascii: "\"")]
        #expect(try JSON.parse(text).string?.unicodeScalars.count == 1)
        #expect(try JSON.parse(text).bytes == text)
        _ = try JSONRows.scan(Array("{\"data\":[],\"x\":".utf8) + text + Array("}".utf8), wanted: [])
    }

    @Test(arguments: [("[", "]", "1"), ("[", "]", ""), (#"{"a":"#, "}", "1"), (#"[{"a":"#, "}]", "1")])
    func `takes 64 levels, not 65`(open: String, close: String, inner: String) throws {
        let levels = open.hasPrefix("[{") ? 32 : 64
        func nested(_ count: Int, _ inner: String) -> String {
            String(repeating: open, count: count) + inner + String(repeating: close, count: count)
        }
        _ = try JSON.parse(nested(levels, inner))
        for deeper in [
            "[\(nested(levels, inner))]", nested(levels, "[]"), nested(levels, "{}"), nested(100_000, inner),
        ] {
            let error = #expect(throws: JSONError.self) { try JSON.parse(deeper) }
            #expect(error?.detail == "nested deeper than 64 levels")
        }
        #expect(try JSON.parse(Array(nested(levels, "[]").utf8), maximumDepth: 65).isNested(deeperThan: 64))
        #expect(try !JSON.parse(nested(levels, "1")).isNested(deeperThan: 64))
    }

    @Test func `refuses a key given twice, however it is spelled and however many there are`() throws {
        #expect(throws: JSONError.self) { try JSON.parse(#"{"a":1,"\u0061":2}"#) }
        for count in [2, 15, 16, 17, 18, 200] {
            let members = (0..<count).map { "\"k\($0)\":0" }
            _ = try JSON.parse("{\(members.joined(separator: ","))}")
            for again in [0, count / 2, count - 1] {
                #expect(throws: JSONError.self) {
                    try JSON.parse("{\(members.joined(separator: ",")),\"k\(again)\":1}")
                }
            }
        }
    }

    @Test(arguments: [0, 30])
    func `keys that only look the same are different`(others: Int) throws {
        let filler = (0..<others).map { ",\"k\($0)\":0" }.joined()
        let value = try JSON.parse("{\"\u{E9}\":1\(filler),\"e\u{301}\":2,\"\u{212A}\":3,\"K\":4}")
        #expect(value["\u{E9}"] == 1)
        #expect(value["e\u{301}"] == 2)
        #expect(value["\u{212A}"] == 3)
        #expect(value["K"] == 4)
        #expect(JSON.string("\u{E9}") != .string("e\u{301}"))
        #expect(["\u{E9}": 1] as JSON != ["e\u{301}": 1])
    }

    @Test func `the order of keys is kept and does not matter`() throws {
        let value = try JSON.parse(#"{"b":1,"a":2}"#)
        #expect(value.object?.keys == ["b", "a"])
        #expect(value == ["a": 2, "b": 1])
        #expect(value.hashValue == (["a": 2, "b": 1] as JSON).hashValue)
        #expect(value != ["a": 1, "b": 2])
        #expect(value != ["a": 2])
    }

    @Test(arguments: [
        ("{\"a\":[1,{\"b\":tru}]}", "/a/1/b", 13, "expected a JSON value"),
        ("{\"a\":1,\"a\":2}", "/a", 7, "key given twice"),
        ("{\"a\":{\"x/y~\":01}}", "/a/x~1y~0", 13, "a number must not start with 0"),
        ("[1,2", "", 4, "unexpected end of the document"),
        ("[1,2,", "/2", 5, "unexpected end of the document"),
        ("{\"a\" 1}", "/a", 5, "expected ':' after the key"),
        ("{\"a\":1 \"b\"}", "", 7, "expected ',' or '}'"),
        ("[] x", "", 3, "unexpected text after the end of the document"),
        ("[\"\\ud800\"]", "/0", 2, "\\u escape of half a surrogate pair"),
        ("[1e999]", "/0", 1, "number out of range"),
    ])
    func `says what is wrong, and where`(text: String, pointer: String, offset: Int, detail: String) throws {
        let error = try #require(throws: JSONError.self) { try JSON.parse(text) }
        #expect(error.path.pointer == pointer)
        #expect(error.offset == offset)
        #expect(error.detail == detail)
    }

    @Test func `paths are written for people too`() {
        #expect(JSONPath().key("environments").index(1).key("base_url").dotted == "environments[1].base_url")
    }
}
