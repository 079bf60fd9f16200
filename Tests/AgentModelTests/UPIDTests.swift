import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

struct UPIDTests {
    @Test func `the parts of a task's id`() throws {
        let upid = try #require(UPID("UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmigrate:101:agent@pve!home:"))
        #expect(upid.node.description == "pve1")
        #expect(upid.type == "qmigrate")
        #expect(upid.id == "101")
        #expect(upid.user == "agent@pve!home")
        #expect(upid.startTime == 0x6B01_A2F3)
    }

    @Test(arguments: ["jörg@pam", "a.b+c%20d@ad-1", "O'Neil;x=1&y\\@pve!t", "用户@ldap", "root@pam!a-b_c.d"])
    func `whoever PVE lets in may have started it`(user: String) {
        let text = "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:\(user):"
        #expect(UPID(text)?.user == user)
        #expect(UPID(text)?.description == text)
    }

    @Test(arguments: [
        "", "UPID", "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam",
        "upid:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:",
        " UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam::",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:x",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101::",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3::101:root@pam:",
        "UPID::0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:",
        "UPID:../x:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:",
        "UPID:pve1:2C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:",
        "UPID:pve1:0002C1B4:0187B2D5123:6B01A2F3:qmstart:101:root@pam:",
        "UPID:pve1:0002C1BG:0187B2D5:6B01A2F3:qmstart:101:root@pam:",
        "UPID:pve1:0002C1B4:0187B2D5:16B01A2F3:qmstart:101:root@pam:",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qm/start:101:root@pam:",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:../../x:root@pam:",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:10 1:root@pam:",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam\n:",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:é:root@pam:",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:a/b@pam:",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:a\u{202E}b@pam:",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:a\u{A0}b@pam:",
        "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:" + String(repeating: "1", count: 500) + ":root@pam:",
    ])
    func `anything else is no task's id`(text: String) {
        #expect(UPID(text) == nil)
    }

    @Test(
        .enabled(if: Reference.has(Reference.recordings()), "the recordings are not at hand"),
        arguments: ["pve-9.2-exchanges.jsonl", "pve-9.2-exchanges-2.jsonl", "pve-9.2-cluster-exchanges.jsonl"])
    func `every task of the recorded nodes is understood`(file: String) throws {
        var seen: Set<String> = []
        for line in try Reference.text(of: Reference.recordings(file)).split(separator: "\n") {
            let exchange = try JSON.parse(Array(line.utf8))
            collect(exchange["response"] ?? .null, into: &seen)
        }
        #expect(seen.count > 50)
        for text in seen { #expect(UPID(text)?.description == text, "\(text)") }
    }

    /// All texts that say they are a task's id: those a call answers, and those in lists.
    private func collect(_ value: JSON, into seen: inout Set<String>) {
        switch value {
        case .string(let text):
            if text.hasPrefix("UPID:"), text.hasSuffix(":") { seen.insert(text) }
        case .array(let elements): for element in elements { collect(element, into: &seen) }
        case .object(let object): for member in object.members { collect(member.value, into: &seen) }
        case .null, .bool, .integer, .number: break
        }
    }
}
