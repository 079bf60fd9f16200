import AgentTestSupport
import StrictJSON
import Testing

struct JSONIndentedTests {
    @Test func `what fits on a line stands on one, and all else is indented`() {
        let value: JSON = ["a": [1, 2], "b": ["c": "long enough to break", "d": []], "e": [:]]
        let expected = """
            {
              "a": [1, 2],
              "b": {
                "c": "long enough to break",
                "d": []
              },
              "e": {}
            }
            """
        #expect(value.indentedText(width: 34) == expected)
        #expect(JSON.string("x").indentedText() == "\"x\"")
    }

    @Test(arguments: [1, 40, 1000]) func `read again it is what it was`(width: Int) throws {
        let value: JSON = [
            "text": "a \"quoted\" line\nand another", "list": [["deep": [JSON(1.5), .null, true]], [[]], "é"],
            "empty": [:],
        ]
        #expect(try JSON.parse(value.indentedText(width: width)) == value)
    }
}
