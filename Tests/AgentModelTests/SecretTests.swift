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
        "private-key", "Password", "KEYRING",
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
            "\(request)", String(reflecting: request), request.json.text, "\(calls)", plan.preview.json.text,
            calls.map(\.json.text).joined(), "\(plan)", dumped,
        ]
        for text in shown { #expect(!text.contains(Self.word)) }
        #expect(request.json.text.contains("<redacted>"))
    }

    @Test(arguments: [(JSON.integer(123_456), "123456"), (true, "true")])
    func `a secret that is no text is one all the same`(value: JSON, text: String) throws {
        let request = try edit(["password": value])
        #expect(request.secrets.values.map { $0.reveal() } == [text])
        #expect(request.params["params"]?["password"] == "<redacted>")
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
            #expect(plan.preview.calls.first?.json["params"]?["password"] == "<redacted>")
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
