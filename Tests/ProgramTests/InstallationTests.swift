import AgentModel
import Testing

@testable import proxmox_agent

struct InstallationTests {
    @Test(arguments: [
        (#"{"public_url":"HTTPS://Agent.Example:8443/"}"#, "https://agent.example:8443"),
        (#"{"public_url":"https://[fd00::1]:443"}"#, "https://[fd00::1]"),
        (#"{"public_url":"http://localhost:8080"}"#, "http://localhost:8080"),
        ("{}", "http://localhost:8080"),
        (#"{"listen_addr":"127.0.0.1:80"}"#, "http://localhost"),
        (#"{"listen_addr":"192.0.2.7:8080"}"#, "http://192.0.2.7:8080"),
        (#"{"listen_addr":"[fd00::7]:8080"}"#, "http://[fd00::7]:8080"),
        (#"{"listen_addr":"unix:/run/agent.sock"}"#, nil),
        (#"{"listen_addr":"127.0.0.1:0"}"#, nil),
    ])
    func `people reach it where the configuration says, or where it listens`(text: String, url: String?) throws {
        #expect(try AgentConfigTests.config(text).installation(id: "1").publicURL == url)
    }

    @Test(arguments: [
        ("http://agent.example", "http:// is for loopback only; use https://"),
        ("https://agent.example/ui/", "must be scheme, host and port alone: https://agent.example:8443"),
        ("agent.example", "must be https://host or https://host:port"),
        ("https://agent.example:0", "must be https://host or https://host:port"),
    ])
    func `where people cannot reach it is refused with the cure`(url: String, detail: String) {
        #expect(AgentConfigTests.wrong(#"{"public_url":"\#(url)"}"#) == ["public_url: \(detail)"])
    }

    @Test func `its origin is what the configuration says, or made of the machine's name and the state's id`() throws {
        #expect(try AgentConfigTests.config(#"{"audit_origin":"a.b/c"}"#).installation(id: "1").origin == "a.b/c")
        let origin = try AgentConfigTests.config("{}").installation(id: "00ff").origin
        #expect(origin.hasPrefix("proxmox-agent/") && origin.hasSuffix("/00ff") && Installation.isOrigin(origin))
        #expect(Installation.origin(on: "Büro+PC 1/x", id: "1") == "proxmox-agent/b-ro-pc-1-x/1")
        #expect(Installation.origin(on: "", id: "1") == "proxmox-agent/localhost/1")
    }

    @Test(arguments: ["", "a b", "a+b", "https://a", "ä", "a\\nb", String(repeating: "x", count: 201)])
    func `an origin that a checkpoint cannot have is refused`(origin: String) {
        let line = AgentConfigTests.wrong(#"{"audit_origin":"\#(origin)"}"#).first ?? ""
        #expect(line.hasPrefix("audit_origin: expected 1 to 200 of A-Z a-z 0-9 . _ ~ : / -, without a scheme, got "))
    }
}
