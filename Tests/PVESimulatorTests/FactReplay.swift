import HTTPMessage
import HTTPTypes
import PVESimulator
import StrictJSON
import Synchronization

/// A clock that stands still until it is told to go on.
final class ManualClock: Sendable {
    private let time: Mutex<Duration>
    init(_ time: Duration) { self.time = Mutex(time) }
    var now: Duration { time.withLock { $0 } }
    func advance(by duration: Duration) { time.withLock { $0 += duration } }
}

/// Sends the requests of facts to a simulator, in order, and states the form of its answers.
final class FactReplay {
    let recording: Recording
    let clock: ManualClock
    let simulator: Simulator
    /// What stands here for a name that the recorded node made up.
    var names: [String: String] = [:]
    private var bodies: [String: JSON] = [:]
    /// Digests that were asked for just before the case that used them.
    private var asked: [String: String] = [:]

    static let secret = "00000000-0000-0000-0000-000000000000"

    init(_ recording: Recording) {
        let clock = ManualClock(.seconds(recording.start))
        self.recording = recording
        self.clock = clock
        simulator = Simulator(
            Simulator.Options(
                name: "recorded", guests: 0, tokens: .list([]), taskDuration: .milliseconds(500),
                now: { clock.now }, seed: 1))
    }

    /// What the simulator makes of `fact`: the same request, its own answer.
    func answer(to fact: RecordedExchange) async throws -> RecordedExchange {
        await recording.prepare(fact.name, self)
        // What was asked in the middle of a task followed at once.
        clock.advance(by: .milliseconds(fact.name.hasSuffix("while-it-moves") ? 50 : 300))
        var path = names.reduce(fact.path) { $0.replacing($1.key, with: $1.value) }
        var body = fact.body
        try await fill(&path, of: fact)
        if var text = body {
            try await fill(&text, of: fact)
            body = Self.expanded(text)
        }
        let response = await send(fact.method, path, body: body, fact)
        var answer = fact
        answer.status = response.status.code
        answer.reason = Form.normalised(Self.reason(of: response))
        let json = Self.json(of: response)
        bodies[fact.name] = json
        answer.errors = Form.errors(of: json)
        answer.shape = Form.shape(of: json)
        answer.keys = Form.keys(of: json)
        // A simulator says that it is one; a real node does not.
        if fact.path.contains("/version") { answer.keys["simulator"] = nil }
        answer.exit = fact.exit == nil ? nil : await exit(of: json["data"]?.string ?? "")
        return answer
    }

    /// A request as the fact's caller, or as root.
    @discardableResult
    func send(_ method: String, _ path: String, body: String? = nil, _ fact: RecordedExchange? = nil) async -> Response
    {
        let parts = path.split(separator: "?", maxSplits: 1)
        var fields = HTTPFields()
        if let type = fact?.contentType ?? (body == nil ? nil : "application/x-www-form-urlencoded") {
            fields[.contentType] = type
        }
        let auth = fact?.auth ?? recording.auth
        if auth.hasPrefix("token:") {
            let secret = fact?.isWrongSecret == true ? "11111111-0000-0000-0000-000000000000" : Self.secret
            fields[.authorization] = "PVEAPIToken=\(auth.dropFirst("token:".count))=\(secret)"
        }
        for header in fact?.headers ?? [] where header.count == 2 {
            if let name = HTTPField.Name(header[0]) { fields[name] = header[1] }
        }
        let request = Request(
            method: .init(method) ?? .get, path: String(parts[0]), query: parts.count > 1 ? String(parts[1]) : nil,
            fields: fields, body: Array((body ?? "").utf8))
        return await simulator.respond(to: request)
    }

    /// Follows a task as an agent does, until it has stopped.
    private func exit(of upid: String) async -> String? {
        let node = upid.split(separator: ":").dropFirst().first ?? ""
        for _ in 0..<400 {
            let response = await send("GET", "/api2/json/nodes/\(node)/tasks/\(upid)/status")
            let data = Self.json(of: response)["data"]
            guard data?["status"] == "running" else { return data?["exitstatus"]?.string.map { Form.normalised($0) } }
            clock.advance(by: .milliseconds(500))
        }
        return "still running"
    }

    private func fill(_ text: inout String, of fact: RecordedExchange) async throws {
        for word in ["upid", "UPID", "digest"] {
            while let start = text.firstRange(of: "{\(word):") {
                let name = String(text[start.upperBound...].prefix { $0 != "}" })
                var value = word == "digest" ? try await digest(name, fact) : bodies[name]?["data"]?.string ?? ""
                if word == "UPID" {
                    value = value.replacing(":", with: "%3A").replacing("@", with: "%40").replacing("!", with: "%21")
                }
                text = text.replacing("{\(word):\(name)}", with: value)
            }
        }
    }

    private func digest(_ name: String, _ fact: RecordedExchange) async throws -> String {
        guard name.hasPrefix("@") else { return bodies[name].flatMap { Form.digest(in: $0) } ?? "unknown" }
        if name.dropFirst() == fact.name {
            let path = String(fact.path.prefix { $0 != "?" })
            asked[name] = Form.digest(in: Self.json(of: await send("GET", path)))
        }
        return asked[name] ?? "unknown"
    }

    /// Writes out `<9000 times a>`.
    private static func expanded(_ text: String) -> String {
        guard let start = text.firstRange(of: "<"), let end = text.firstRange(of: " times a>") else { return text }
        let count = Int(text[start.upperBound..<end.lowerBound]) ?? 0
        return text[..<start.lowerBound] + String(repeating: "a", count: count) + text[end.upperBound...]
    }

    static func json(of response: Response) -> JSON {
        let bytes = response.body.bytes
        return (try? JSON.parse(bytes)) ?? .string(String(decoding: bytes, as: UTF8.self))
    }

    /// The reason phrase on the wire.
    static func reason(of response: Response) -> String {
        guard case .raw(let bytes) = response.ending else { return response.status.reasonPhrase }
        let line = String(decoding: bytes.prefix { $0 != 13 }, as: UTF8.self)
        return line.split(separator: " ", maxSplits: 2).dropFirst(2).first.map { String($0) } ?? ""
    }
}
