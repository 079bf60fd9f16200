import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

/// What `storage_edit` and `firewall_edit` let through to PVE, and what they do not.
struct EndpointTests {
    struct Edit: Sendable, CustomTestStringConvertible {
        let target: String
        let method: String
        let endpoint: String
        var params: JSON = [:]

        init(_ target: String, _ method: String, _ endpoint: String, _ params: JSON = [:]) {
            self.target = target
            self.method = method
            self.endpoint = endpoint
            self.params = params
        }

        var testDescription: String { "\(target): \(method) \(endpoint)" }

        func request() throws(RequestError) -> ActionRequest {
            try .sample(
                target.hasPrefix("storage/") ? .storageEdit : .firewallEdit, target,
                ["endpoint": .string(endpoint), "method": .string(method), "params": params])
        }
    }

    static let storage: [Edit] = [
        Edit("storage/nas", "POST", "/storage", ["storage": "nas", "type": "nfs"]),
        Edit("storage/nas", "PUT", "/storage/nas", ["disable": true]),
        Edit("storage/nas", "DELETE", "/storage/nas"),
    ]

    /// Every edit that is allowed below the firewall's path.
    static func edits(_ target: String, _ base: String, sets: Bool, groups: Bool) -> [Edit] {
        var tails = [
            ("PUT", "options"), ("POST", "rules"), ("PUT", "rules/0"), ("DELETE", "rules/12"),
        ]
        if sets {
            tails += [
                ("POST", "aliases"), ("PUT", "aliases/web"), ("DELETE", "aliases/web"), ("POST", "ipset"),
                ("POST", "ipset/admins"), ("DELETE", "ipset/admins"), ("PUT", "ipset/admins/10.0.0.1"),
                ("PUT", "ipset/admins/10.0.0.0/8"), ("DELETE", "ipset/admins/10.0.0.0/8"),
                ("DELETE", "ipset/admins/2001:db8::1"), ("DELETE", "ipset/admins/2001:db8::/32"),
            ]
        }
        if groups {
            tails += [
                ("POST", "groups"), ("POST", "groups/web"), ("DELETE", "groups/web"), ("PUT", "groups/web/0"),
                ("DELETE", "groups/web/3"),
            ]
        }
        return tails.map { Edit(target, $0.0, "\(base)/\($0.1)") }
    }

    static let firewall =
        edits("firewall/cluster", "/cluster/firewall", sets: true, groups: true)
        + edits("firewall/node/pve1", "/nodes/pve1/firewall", sets: false, groups: false)
        + edits("firewall/vm/101", "/nodes/pve1/qemu/101/firewall", sets: true, groups: false)
        + edits("firewall/lxc/200", "/nodes/pve2/lxc/200/firewall", sets: true, groups: false)

    @Test(arguments: storage + firewall)
    func `an edit below its target goes out as it was spelled`(edit: Edit) throws {
        let call = try #require(try edit.request().calls(onNode: nil).first)
        #expect(call.method.rawValue == edit.method)
        #expect("/" + call.path.joined(separator: "/") == edit.endpoint)
    }

    @Test func `an address with its bits is one part of the path`() throws {
        let edit = Edit("firewall/cluster", "DELETE", "/cluster/firewall/ipset/admins/10.0.0.0/8")
        let call = try #require(try edit.request().calls(onNode: nil).first)
        #expect(call.path == ["cluster", "firewall", "ipset", "admins", "10.0.0.0/8"])
        #expect(call.shownPath == "/cluster/firewall/ipset/admins/10.0.0.0%2F8")
    }

    static let wrongPlace: [Edit] = [
        Edit("storage/nas", "POST", "/storage"), Edit("storage/nas", "POST", "/storage", ["storage": "local"]),
        Edit("storage/nas", "POST", "/storage", ["storage": 1]), Edit("storage/nas", "PUT", "/storage"),
        Edit("storage/nas", "DELETE", "/storage"), Edit("storage/nas", "POST", "/storage/nas"),
        Edit("storage/nas", "PUT", "/storage/local"), Edit("storage/nas", "DELETE", "/storage/nas2"),
        Edit("storage/nas", "DELETE", "/storage/NAS"), Edit("storage/nas", "DELETE", "/storage/nas/content"),
        Edit("storage/nas", "DELETE", "/nodes/pve1/storage/nas/content/x"),
        Edit("storage/nas", "DELETE", "/nodes/pve1/qemu/101"),
        Edit("storage/nas", "PUT", "/cluster/firewall/options"), Edit("storage/nas", "PUT", "/access/acl"),
        Edit("firewall/cluster", "PUT", "/nodes/pve1/firewall/options"),
        Edit("firewall/cluster", "PUT", "/storage/nas"),
        Edit("firewall/cluster", "POST", "/cluster/firewall/options"),
        Edit("firewall/cluster", "DELETE", "/cluster/firewall"),
        Edit("firewall/cluster", "PUT", "/cluster/firewall"), Edit("firewall/cluster", "PUT", "/cluster/options"),
        Edit("firewall/cluster", "DELETE", "/cluster/firewall/rules"),
        Edit("firewall/cluster", "PUT", "/cluster/firewall/rules"),
        Edit("firewall/cluster", "POST", "/cluster/firewall/rules/0"),
        Edit("firewall/cluster", "PUT", "/cluster/firewall/ipset/admins"),
        Edit("firewall/cluster", "POST", "/cluster/firewall/ipset/admins/10.0.0.1"),
        Edit("firewall/cluster", "DELETE", "/cluster/firewall/ipset/admins/10.0.0.0/8/9"),
        Edit("firewall/cluster", "DELETE", "/cluster/firewall/ipset/admins/10.0.0.0/rules"),
        Edit("firewall/cluster", "DELETE", "/cluster/firewall/ipset/admins/10.0.0.0/-8"),
        Edit("firewall/cluster", "PUT", "/cluster/firewall/groups/web"),
        Edit("firewall/cluster", "PUT", "/cluster/firewall/macros"),
        Edit("firewall/cluster", "POST", "/cluster/firewall/groups/web/0"),
        Edit("firewall/node/pve1", "PUT", "/nodes/pve2/firewall/options"),
        Edit("firewall/node/pve1", "PUT", "/cluster/firewall/options"),
        Edit("firewall/node/pve1", "POST", "/nodes/pve1/firewall/aliases"),
        Edit("firewall/node/pve1", "POST", "/nodes/pve1/firewall/groups"),
        Edit("firewall/node/pve1", "PUT", "/nodes/pve1/qemu/101/firewall/options"),
        Edit("firewall/node/pve1", "POST", "/nodes/pve1/status"),
        Edit("firewall/vm/101", "PUT", "/nodes/pve1/qemu/102/firewall/options"),
        Edit("firewall/vm/101", "PUT", "/nodes/pve1/lxc/101/firewall/options"),
        Edit("firewall/vm/101", "PUT", "/nodes/pve1/qemu/0101/firewall/options"),
        Edit("firewall/vm/101", "PUT", "/nodes/pve1/qemu/101/config"),
        Edit("firewall/vm/101", "DELETE", "/nodes/pve1/qemu/101"),
        Edit("firewall/vm/101", "POST", "/nodes/pve1/qemu/101/firewall/groups"),
        Edit("firewall/vm/101", "PUT", "/cluster/firewall/options"),
        Edit("firewall/vm/101", "PUT", "/nodes/-x/qemu/101/firewall/options"),
        Edit("firewall/lxc/200", "PUT", "/nodes/pve1/qemu/200/firewall/options"),
    ]

    /// Ways to leave the target's path, each before, within and behind a good one.
    static let tricks: [Edit] = [
        "", "/", "//", "storage/nas", "//storage/nas", "/storage//nas", "/storage/nas/", "/storage/./nas",
        "/storage/../storage/nas",
        "/storage/nas/..", "/storage/nas/.", "/../storage/nas", "/storage/%6eas", "/storage/nas%2f..",
        "/storage/nas?x=1",
        "/storage/nas#x", "/storage/nas;x=1", "/storage/nas&x", "/storage/n as", "/storage/nas\n", "/storage/nas\t",
        "/storage\\nas", "/storage/nás", "/storage/nas\u{301}", "/storage/ｎas", "https://evil/storage/nas",
        "/api2/json/storage/nas", "/storage/nas=", "/storage/nas@x", "/storage/nas,x", "/storage/nas\u{0}",
    ].map { Edit("storage/nas", "PUT", $0) }

    @Test(arguments: wrongPlace + tricks)
    func `an edit anywhere else is refused at the endpoint`(edit: Edit) {
        #expect {
            try edit.request()
        } throws: {
            guard case .invalid(let issues) = $0 as? RequestError else { return false }
            return issues.issues.contains { $0.path.pointer == "/params/endpoint" }
        }
    }

    @Test(arguments: ["GET", "PATCH", "HEAD", "OPTIONS", "put", "", "PUT "])
    func `only POST, PUT and DELETE edit`(method: String) {
        #expect {
            try Edit("storage/nas", method, "/storage/nas").request()
        } throws: {
            guard case .invalid(let issues) = $0 as? RequestError else { return false }
            return issues.issues.map(\.path.pointer) == ["/params/method"]
        }
    }

    @Test func `a guest's firewall path names the node`() throws {
        let request = try Edit("firewall/vm/101", "PUT", "/nodes/pve7/qemu/101/firewall/options").request()
        #expect(request.endpointNode == NodeName("pve7"))
        #expect(try Edit("storage/nas", "PUT", "/storage/nas").request().endpointNode == nil)
        #expect(try ActionRequest.sample(.startVM, "vm/101").endpointNode == nil)
    }

    @Test func `what PVE splits and cuts at is passed on as data`() throws {
        let edit = Edit(
            "firewall/cluster", "POST", "/cluster/firewall/rules",
            ["comment": "a;b=c&d%20\u{E9}", "enable": true, "pos": 0, "log": false])
        let call = try #require(try edit.request().calls(onNode: nil).first)
        #expect(
            call.shownParameters == ["comment": "a;b=c&d%20\u{E9}", "enable": "1", "pos": "0", "log": "0"])
    }
}
