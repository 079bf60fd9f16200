import AgentModel
import Testing

@testable import ProxmoxVE

@Suite struct PVEPathTests {
    @Test func `parts are joined and encoded whole`() throws {
        #expect(try PVEPath("version").encoded == "/version")
        #expect(try PVEPath("nodes", "pve1", "qemu", 100, "config").encoded == "/nodes/pve1/qemu/100/config")
        #expect(
            try PVEPath(
                "nodes", "pve1", "tasks", "UPID:pve1:00000410:0004D2EA:6B035A22:qmmove:110-scsi1>111:root@pam!t1:"
            )
            .encoded
                == "/nodes/pve1/tasks/UPID%3Apve1%3A00000410%3A0004D2EA%3A6B035A22%3Aqmmove%3A110-scsi1%3E111%3Aroot%40pam%21t1%3A"
        )
        #expect(
            try PVEPath("a?b#c%d;e=f&g h", "é", "...", "~-._").encoded
                == "/a%3Fb%23c%25d%3Be%3Df%26g%20h/%C3%A9/.../~-._")
    }

    @Test func `a volume or a network is one last name`() throws {
        #expect(
            try PVEPath("nodes", "pve1", "storage", "local", "content", rest: "local:iso/tiny.iso").encoded
                == "/nodes/pve1/storage/local/content/local%3Aiso%2Ftiny.iso")
        #expect(
            try PVEPath("cluster", "firewall", "ipset", "lan", rest: "192.0.2.0/24").encoded
                == "/cluster/firewall/ipset/lan/192.0.2.0%2F24")
    }

    @Test(
        arguments: [
            ("", .misleading), (".", .misleading), ("..", .misleading), ("a/b", .slash), ("/", .slash),
            ("100/status/stop", .slash), ("a\nb", .control), ("a\0", .control), ("a\r\n", .control),
            ("\u{7F}", .control),
        ] as [(String, PVEPath.Invalid)])
    func `a part that would lead elsewhere is refused`(part: String, why: PVEPath.Invalid) {
        #expect(throws: why) { try PVEPath("nodes", part, "status") }
    }

    @Test(arguments: ["", "/", "local:iso/../a", "./a", "a//b", "/a", "a/", "..", "a/\n"])
    func `a rest with empty or misleading pieces is refused`(rest: String) {
        #expect(throws: PVEPath.Invalid.self) { try PVEPath("content", rest: rest) }
    }
}

@Suite struct PVECallTests {
    private static let parameters: [PVEParameter] = [
        .init("a", "x;y=z&w%20+ /?#\"'"), .init("ünï", "日本"), .init("on", true), .init("off", false), .init("n", 8006),
        .init("empty", ""), .init("line", "a\r\nb"),
    ]
    private static let encoded =
        "a=x%3By%3Dz%26w%2520%2B%20%2F%3F%23%22%27&%C3%BCn%C3%AF=%E6%97%A5%E6%9C%AC&on=1&off=0&n=8006&empty=&line=a%0D%0Ab"

    @Test(arguments: [PVECall.Method.get, .delete])
    func `GET and DELETE carry parameters in the query and have no body`(method: PVECall.Method) throws {
        let call = PVECall(method, try PVEPath("nodes"), Self.parameters)
        #expect(call.target == "/nodes?" + Self.encoded)
        #expect(call.form == nil)
        #expect(PVECall(method, try PVEPath("nodes")).target == "/nodes")
    }

    @Test(arguments: [PVECall.Method.post, .put])
    func `POST and PUT carry them in a form, empty or not`(method: PVECall.Method) throws {
        let call = PVECall(method, try PVEPath("nodes"), Self.parameters)
        #expect(call.target == "/nodes")
        #expect(call.form == Array(Self.encoded.utf8))
        #expect(PVECall(method, try PVEPath("nodes")).form == [])
    }
}

@Suite struct PVETokenTests {
    @Test func `a token is written as Proxmox VE reads it, and shows no secret`() throws {
        let token = try PVEToken(id: "agent@pve!t1", secret: Secret("5e-c:ret="))
        #expect(token.authorization == "PVEAPIToken=agent@pve!t1=5e-c:ret=")
        #expect(!"\(token)".contains("ret="))
        var dumped = ""
        dump(token, to: &dumped)
        #expect(!dumped.contains("ret="))
    }

    @Test(arguments: [
        "", "agent", "agent@pve", "agent!t1", "@pve!t1", "agent@!t1", "agent@pve!", "a@b!c!d", "a@b!c d",
        "a@b!c\r\nX: y", "a@b!ç", "a@b!c=d",
    ])
    func `an id that is no token's is refused`(id: String) {
        #expect(throws: PVEToken.Invalid.id) { try PVEToken(id: id, secret: Secret("x")) }
    }

    @Test(arguments: ["", "a b", "a\r\nX: y", "a\n", "a\0", "é", "\u{7F}"])
    func `a secret that could break the header line is refused`(secret: String) {
        #expect(throws: PVEToken.Invalid.secret) { try PVEToken(id: "a@b!c", secret: Secret(secret)) }
    }
}
