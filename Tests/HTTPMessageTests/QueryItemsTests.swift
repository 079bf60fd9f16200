import HTTPMessage
import Testing

@Suite struct QueryItemsTests {
    @Test(
        arguments: [
            (nil, []),
            ("", []),
            ("a=1", ["a=1"]),
            ("b=2&a=1", ["b=2", "a=1"]),
            ("a", ["a="]),
            ("a=", ["a="]),
            ("a=b=c", ["a=b=c"]),
            ("a=x+y%2Bz%20", ["a=x y+z "]),
            ("a+b=1", ["a b=1"]),
            ("%61=%C3%A4", ["a=ä"]),
            ("a=?/:@", ["a=?/:@"]),
            ("a=%26%3D", ["a=&="]),
        ] as [(String?, [String])])
    func `reads names and values in order`(query: String?, items: [String]) throws {
        let read = try QueryItems(query)
        #expect(read.items.map { "\($0.name)=\($0.value)" } == items)
        #expect(read.names.count == items.count)
    }

    @Test func `finds a value by its name`() throws {
        let items = try QueryItems("a=1&b=")
        #expect(items["a"] == "1")
        #expect(items["b"]?.isEmpty == true)
        #expect(items["c"] == nil)
    }

    @Test(
        arguments: [
            ("a=%", .badEscape("%")),
            ("a=%4", .badEscape("%4")),
            ("%zz=1", .badEscape("%zz")),
            ("a=%+1", .badEscape("%+1")),
            ("a=%FF", .notUTF8("%FF")),
            ("a=%C0%80", .notUTF8("%C0%80")),
            ("a=%00", .controlCharacter("%00")),
            ("a%0A=1", .controlCharacter("a%0A")),
            ("a=1&a=1", .duplicate("a")),
            ("a=1&%61=2", .duplicate("a")),
            ("=1", .namelessItem),
            ("&", .namelessItem),
            ("a=1&&b=2", .namelessItem),
            ("a=1&", .namelessItem),
        ] as [(String, QueryError)])
    func `says what is wrong with a query`(query: String, error: QueryError) {
        #expect(throws: error) { try QueryItems(query) }
        #expect(!error.description.isEmpty)
    }
}
