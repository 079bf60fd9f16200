import HTTPMessage
import Testing

@Suite struct ListenAddressTests {
    @Test(
        arguments: [
            (":8080", .tcp(host: "", port: 8080), false),
            ("0.0.0.0:0", .tcp(host: "0.0.0.0", port: 0), false),
            ("127.0.0.1:8080", .tcp(host: "127.0.0.1", port: 8080), true),
            ("127.9.9.9:1", .tcp(host: "127.9.9.9", port: 1), true),
            ("localhost:80", .tcp(host: "localhost", port: 80), true),
            ("127.0.0.1.example.org:80", .tcp(host: "127.0.0.1.example.org", port: 80), false),
            ("pve-1.example.org:65535", .tcp(host: "pve-1.example.org", port: 65_535), false),
            ("[::1]:8080", .tcp(host: "::1", port: 8080), true),
            ("[::]:8080", .tcp(host: "::", port: 8080), false),
            ("[::ffff:127.0.0.1]:1", .tcp(host: "::ffff:127.0.0.1", port: 1), true),
            ("[fe80::1]:1", .tcp(host: "fe80::1", port: 1), false),
            ("unix:/run/agent.sock", .unix(path: "/run/agent.sock"), true),
            ("unix:agent.sock", .unix(path: "agent.sock"), true),
        ] as [(String, ListenAddress, Bool)])
    func `reads and writes addresses`(text: String, address: ListenAddress, loopback: Bool) {
        #expect(ListenAddress(text) == address)
        #expect(address.description == text)
        #expect(address.isLoopback == loopback)
    }

    @Test(arguments: [
        "", "8080", ":", ":65536", ":-1", ":+1", ":8 0", "::1:8080", "[::1]", "[::1:80", "[127.0.0.1]:80", "[]:80",
        "a b:80", "http://a:80", "a:80/", "unix:", "unix:" + String(repeating: "x", count: 108), "unix:a\0b",
    ])
    func `turns away what is no address`(text: String) {
        #expect(ListenAddress(text) == nil)
    }
}
