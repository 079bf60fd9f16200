import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

struct SecretTests {
    static let word = "correct-horse-battery"

    @Test func `a secret shows itself to nobody but who asks for it`() {
        let secret = Secret(Self.word)
        var dumped = ""
        dump(["key": secret], to: &dumped)
        for text in ["\(secret)", String(describing: secret), String(reflecting: secret), "\([secret])", dumped] {
            #expect(!text.contains(Self.word))
            #expect(text.contains("<redacted>"))
        }
        #expect(Mirror(reflecting: secret).children.isEmpty)
        #expect(secret.reveal() == Self.word)
    }

    @Test(arguments: [
        "password", "cipassword", "keyring", "encryption-key", "sshkeys", "secret", "token", "token-value",
        "private-key", "Password", "KEYRING", "master-pubkey", "input-data", "env", "cipasswd", "encryption_key",
        "smb-password",
    ])
    func `a secret parameter is taken out and only the call has it`(name: String) throws {
        let request = try edit([name: .string(Self.word), "server": "10.0.0.1"])
        #expect(request.secrets.count == 1)
        #expect(request.secrets[JSONPath([.key("params"), .key(name)])]?.reveal() == Self.word)
        #expect(request.params["params"]?[name] == "<redacted>")
        #expect(request.params["params"]?["server"] == "10.0.0.1")

        let calls = try request.calls(onNode: nil)
        let value = try #require(calls.first?.parameters.first { $0.name == name }?.value)
        guard case .secret(let secret) = value else { return #expect(Bool(false), "\(name) is no secret in the call") }
        #expect(secret.reveal() == Self.word)

        var dumped = ""
        dump(request, to: &dumped)
        dump(calls, to: &dumped)
        let plan = Plan.sample(request)
        dump(plan, to: &dumped)
        let shown = [
            "\(request)", String(reflecting: request), "\(calls)", "\(calls.map(\.shownParameters))", "\(plan)", dumped,
        ]
        for text in shown { #expect(!text.contains(Self.word)) }
        #expect("\(request.params)".contains("<redacted>"))
    }

    @Test(arguments: [(JSON.integer(123_456), "123456"), (true, "true")])
    func `a secret that is no text is one all the same`(value: JSON, text: String) throws {
        let request = try edit(["password": value])
        #expect(request.secrets.values.map { $0.reveal() } == [text])
        #expect(request.params["params"]?["password"] == "<redacted>")
    }

    /// Values of a wrong form or in a wrong place, each of which holds the word.
    @Test(
        arguments: [
            ("storage_edit", "storage/nas", ["op": "change", "password": ["WORD"]]),
            ("storage_edit", "storage/nas", ["op": "change", "keyring": "WORD\u{1}"]),
            ("storage_edit", "storage/nas", ["op": "change", "passwd": "WORD"]),
            ("storage_edit", "storage/nas", ["op": "change", "Password": "WORD"]),
            ("storage_edit", "storage/nas", ["endpoint": "/storage/nas", "method": "PUT", "params": "password=WORD"]),
            ("storage_edit", "storage/nas", ["endpoint": "/storage/nas", "method": "PUT", "params": ["WORD"]]),
            ("configure_vm", "vm/101", ["cipassword": ["WORD"]]), ("configure_vm", "vm/101", ["cipassword": "WORD\n"]),
            ("configure_vm", "vm/101", ["sshkeys": ["a": "WORD"]]),
            ("configure_container", "lxc/101", ["env": "WORD\n"]),
            ("configure_container", "lxc/101", ["delete": "WORD"]), ("agent_exec", "vm/101", ["input-data": ["WORD"]]),
            ("agent_exec", "vm/101", ["command": ["cat"], "input-data": "WORD\u{7}"]),
            ("agent_exec", "vm/101", ["command": ["curl", "https://user:WORD@host/"]]),
            ("agent_exec", "vm/101", ["command": "WORD"]),
            ("download_to_storage", "storage/local", ["url": "https://user:WORD@host/\u{1}"]),
            ("download_to_storage", "storage/local", ["content": "https://user:WORD@host/"]),
        ] as [(String, String, JSON)])
    func `what is wrong with a request is said without the secrets in it`(
        action: String, target: String, params: JSON
    ) throws {
        let text = params.text.replacing("WORD", with: Self.word)
        let action = try #require(Action(rawValue: action))
        #expect {
            _ = try ActionRequest.sample(action, target, try JSON.parse(Array(text.utf8)))
        } throws: {
            !"\($0)".contains(Self.word)
        }
    }

    @Test func `a user name and a password in a URL are a secret`() throws {
        let url = "https://user:\(Self.word)@host.example/a.iso?x=@"
        let request = try ActionRequest.sample(
            try #require(Action(rawValue: "download_to_storage")), "storage/local",
            [
                "node": "pve1", "url": .string(url), "content": "iso", "filename": "a.iso",
                "checksum": .string(String(repeating: "a", count: 64)), "checksum-algorithm": "sha256",
            ])
        #expect(request.params["url"] == "https://<redacted>@host.example/a.iso?x=@")
        #expect(request.secrets.values.map { $0.reveal() } == [url])
        let calls = try request.calls(onNode: NodeName("pve1"))
        #expect(!"\(calls.map(\.shownParameters))".contains(Self.word))
        #expect(Redaction(calls)("cannot fetch \(url): no") == "cannot fetch <redacted>: no")
    }

    @Test(arguments: [
        ("https://user:pass@host/x", "https://<redacted>@host/x"),
        ("https://bob:pa'ss@host/x", "https://<redacted>@host/x"),
        ("see http://a@b and ftp://c:d@e.", "see http://<redacted>@b and ftp://<redacted>@e."),
        ("https://u:p@ss@host/", "https://<redacted>@host/"), ("https://host/a@b", "https://host/a@b"),
        ("https://host?x=a@b", "https://host?x=a@b"), ("mail a@b", "mail a@b"), ("://", "://"),
        ("x://@y", "x://<redacted>@y"),
    ])
    func `what names a user in a URL is taken out of every text`(text: String, shown: String) {
        #expect(Redaction([])(text) == shown)
        #expect(Redaction([])(["a": [.string(text)]]) == ["a": [.string(shown)]])
    }

    @Test func `rows that name a secret show no value of it`() {
        let rows: JSON = [["key": "env", "value": "A=1", "pending": "A=2"], ["key": "cores", "value": 2]]
        #expect(
            Redaction([])(rows)
                == [["key": "env", "value": "<redacted>", "pending": "<redacted>"], ["key": "cores", "value": 2]])
        #expect(Redaction([])(["env": "A=1", "cores": 2]) == ["env": "<redacted>", "cores": 2])
    }

    @Test func `the value of a variable is one as well`() throws {
        let redact = Redaction(try edit(["env": .string("TOKEN=\(Self.word)")]).calls(onNode: nil))
        #expect(redact("set \(Self.word)") == "set <redacted>")
        #expect(redact("set TOKEN=\(Self.word)") == "set <redacted>")
    }

    @Test func `a secret that was cut off at the end of a text is taken out as well`() throws {
        let redact = Redaction(try edit(["password": .string(Self.word)]).calls(onNode: nil))
        #expect(redact("it was correct-horse-b") == "it was <redacted>")
        #expect(redact("it was cor") == "it was cor", "three letters tell nothing")
    }

    @Test func `what is wrong with a secret is said without it`() {
        for value: JSON in [[.string(Self.word)], ["a": .string(Self.word)], .string(Self.word + "\u{0}")] {
            #expect {
                try edit(["password": value])
            } throws: {
                !"\($0)".contains(Self.word)
            }
        }
    }

    @Test func `a plan forgets its secrets when it ends`() throws {
        let request = try edit(["password": .string(Self.word)])
        for end in [PlanState.expired, .cancelled, .stale, .denied] {
            var plan = Plan.sample(request)
            #expect(secrets(of: plan) == [Self.word, Self.word])
            let moved = plan.move(to: end, at: .sample)
            #expect(moved)
            #expect(secrets(of: plan) == [])
            #expect(plan.endedAt == .sample)
            #expect(plan.preview.calls.count == 1)
            #expect(plan.preview.calls.first?.shownParameters["password"] == "<redacted>")
        }
        #expect(secrets(of: Plan.sample(request, allowed: false)) == [])
        var applied = Plan.sample(request)
        let started = applied.move(to: .applying, at: .sample)
        #expect(started)
        #expect(secrets(of: applied) == [Self.word, Self.word])
        let ended = applied.move(to: .unknown, at: .sample)
        #expect(ended)
        #expect(secrets(of: applied) == [])
    }

    private func secrets(of plan: Plan) -> [String] {
        let inCalls = plan.preview.calls.flatMap(\.parameters).compactMap { parameter -> String? in
            guard case .secret(let secret) = parameter.value else { return nil }
            return secret.reveal()
        }
        return (plan.request.secrets.values.map { $0.reveal() } + inCalls).filter { !$0.isEmpty }
    }

    @Test func `what PVE repeats of a secret is taken out of its words`() throws {
        let request = try edit(["password": "horse", "encryption-key": "horse-battery", "server": "10.0.0.1"])
        let redact = Redaction(try request.calls(onNode: nil))
        #expect(
            redact("login horse failed at 10.0.0.1, key horse-battery")
                == "login <redacted> failed at 10.0.0.1, key <redacted>")
        #expect(redact(["a": ["horse"], "b": 1]) == ["a": ["<redacted>"], "b": 1])
        #expect(redact("") == "")
        #expect(Redaction([])("horse") == "horse")
    }

    private func edit(_ params: JSON) throws(RequestError) -> ActionRequest {
        try .sample(.storageEdit, "storage/nas", ["endpoint": "/storage/nas", "method": "PUT", "params": params])
    }
}
