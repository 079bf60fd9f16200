import AgentTestSupport
import StrictJSON
import Testing

struct JSONWriterTests {
    /// RFC 8785, appendix B, and more.
    @Test(
        arguments: [
            (0x0000_0000_0000_0000, "0"), (0x8000_0000_0000_0000, "0"), (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"), (0x7FEF_FFFF_FFFF_FFFF, "1.7976931348623157e+308"),
            (0xFFEF_FFFF_FFFF_FFFF, "-1.7976931348623157e+308"), (0x4340_0000_0000_0000, "9007199254740992"),
            (0xC340_0000_0000_0000, "-9007199254740992"), (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44B5_2D02_C7E1_4AF5, "9.999999999999997e+22"), (0x44B5_2D02_C7E1_4AF6, "1e+23"),
            (0x44B5_2D02_C7E1_4AF7, "1.0000000000000001e+23"), (0x444B_1AE4_D6E2_EF4E, "999999999999999700000"),
            (0x444B_1AE4_D6E2_EF4F, "999999999999999900000"), (0x444B_1AE4_D6E2_EF50, "1e+21"),
            (0x3EB0_C6F7_A0B5_ED8C, "9.999999999999997e-7"), (0x3EB0_C6F7_A0B5_ED8D, "0.000001"),
            (0x41B3_DE43_5555_5553, "333333333.3333332"), (0x41B3_DE43_5555_5554, "333333333.33333325"),
            (0x41B3_DE43_5555_5555, "333333333.3333333"),
            (0x41B3_DE43_5555_5556, "333333333.3333334"), (0x41B3_DE43_5555_5557, "333333333.33333343"),
            (0xBECB_F647_612F_3696, "-0.0000033333333333333333"), (0x4314_3FF3_C1CB_0959, "1424953923781206.2"),
        ] as [(UInt64, String)])
    func `writes the numbers of RFC 8785`(bits: UInt64, text: String) {
        #expect(JSON.number(Double(bitPattern: bits)).text == text)
    }

    @Test(arguments: [
        ("1e21", "1e+21"), ("1e20", "100000000000000000000"), ("1e-7", "1e-7"), ("0.000001", "0.000001"),
        ("333333333.33333329", "333333333.3333333"), ("-0", "0"), ("-0.0", "0"), ("1.0", "1"), ("4.50", "4.5"),
        ("2e-3", "0.002"), ("1E30", "1e+30"), ("0.000000000000000000000000001", "1e-27"),
        ("123456789012345680000", "123456789012345680000"),
        ("9007199254740991", "9007199254740991"), ("9007199254740993", "9007199254740992"),
        ("-9007199254740993", "-9007199254740992"), ("9223372036854775807", "9223372036854776000"), ("56.0", "56"),
        ("1e0", "1"),
    ])
    func `makes numbers canonical`(text: String, canonical: String) throws {
        #expect(String(decoding: try JSON.parse(text).canonicalBytes, as: UTF8.self) == canonical)
        #expect(String(decoding: try JSON.parse(text).bytes(.canonicalNumbers), as: UTF8.self) == canonical)
    }

    @Test func `keeps the digits of a plain integer`() throws {
        #expect(try JSON.parse("9007199254740993").text == "9007199254740993")
        #expect(JSON.integer(.min).text == "-9223372036854775808")
    }

    @Test func `what is not finite becomes null`() {
        #expect(JSON(Double.infinity) == .null)
        #expect(JSON.number(.nan).text == "null")
    }

    /// RFC 8785, section 3.2.3.
    @Test func `sorts keys by UTF-16 code units`() throws {
        let value = try JSON.parse(
            #"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","#
                + #""\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#
        )
        #expect(
            String(decoding: value.canonicalBytes, as: UTF8.self)
                == #"{"\r":"Carriage Return","1":"One","\#u{80}":"Control","ö":"Latin Small Letter O With Diaeresis","#
                + #""€":"Euro Sign","😀":"Emoji: Grinning Face","\#u{FB33}":"Hebrew Letter Dalet With Dagesh"}"#)
    }

    @Test func `sorts any keys as their UTF-16 sorts`() {
        var random = RandomJSON(seed: 3)
        for _ in 0..<200 {
            var object = JSONObject()
            for _ in 0..<12 { object[random.text()] = 0 }
            let sorted = object.keys.sorted { $0.utf16.lexicographicallyPrecedes($1.utf16) }
            var expected = JSONObject()
            for key in sorted { expected[key] = 0 }
            #expect(JSON.object(object).canonicalBytes == JSON.object(expected).bytes)
        }
    }

    /// RFC 8785, section 3.2.2.
    @Test func `escapes what must be escaped and nothing else`() throws {
        let value = try JSON.parse(
            #"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"#
                + #""string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#)
        #expect(
            String(decoding: value.canonicalBytes, as: UTF8.self)
                == #"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#
                + #""string":"€$\u000f\nA'B\"\\\\\"/"}"#)
        let controls = String(String.UnicodeScalarView((0..<0x21).compactMap { UnicodeScalar($0) }))
        #expect(
            JSON.string(controls).text
                == #""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013"#
                + #"\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f ""#)
    }

    @Test func `what was written is read as the same`() throws {
        var random = RandomJSON(seed: 1)
        for _ in 0..<500 {
            let value = random.value()
            let bytes = value.bytes
            let parsed = try JSON.parse(bytes)
            // A number without a fraction is read as an integer: the texts are the same, not the cases.
            #expect(parsed.bytes == bytes)
            #expect(parsed.canonicalBytes == value.canonicalBytes)
            #expect(try JSON.parse(value.canonicalBytes).canonicalBytes == value.canonicalBytes)
            #expect(try JSON.parse(bytes) == parsed && JSON.parse(bytes).hashValue == parsed.hashValue)
        }
    }

    @Test func `any double is read as it was written`() throws {
        var random = RandomJSON(seed: 2)
        for _ in 0..<5000 {
            let value = Double(bitPattern: random.generator.next())
            guard value.isFinite else { continue }
            switch try JSON.parse(JSON.number(value).text) {
            case .number(let read): #expect(read == value)
            case .integer(let read): #expect(Double(read) == value)
            default: Issue.record("no number")
            }
        }
    }

    @Test(arguments: [
        0.0, -0.0, 1, -1, 100, 1e15, 1e16, 1e21, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 0.1, 1 / 3,
    ])
    func `the exact form keeps a number apart from an integer`(value: Double) throws {
        let number = JSON.array([.number(value), .integer(7)])
        let read = try JSON.parse(number.bytes(.exact))
        #expect(read == number)
        #expect(read.array?.first.map { String(decoding: $0.bytes(.exact), as: UTF8.self) } == value.description)
        #expect(try JSON.parse(JSON.integer(.max).bytes(.exact)) == .integer(.max))
    }
}
