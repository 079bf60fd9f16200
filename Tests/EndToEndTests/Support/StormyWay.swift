import AgentModel
import AgentService
import AgentTestSupport
import HTTPMessage
import HTTPTypes
import PVESimulator
import ProxmoxVE
import StrictJSON
import Synchronization
import Testing

/// The way to a simulated PVE, on which values of its answers may be replaced.
final class StormyWay: HTTPTransport {
    /// Where a value stands: in the answer to which request, and in which members and elements of it.
    struct Place: Sendable, Hashable, CustomStringConvertible {
        let request: String
        let steps: [String]

        /// The same for all elements of a list.
        var kind: String {
            let names = steps.map { $0.allSatisfy(\.isNumber) ? "*" : $0 }
            return "\(request.split(separator: "?")[0]) \(names.joined(separator: "."))"
        }

        var description: String { "\(request) \(steps.joined(separator: "."))" }

        /// By kind, in the same order in every run.
        static func kinds(of places: [Place]) -> [[Place]] {
            let ordered = places.sorted { "\($0)" < "\($1)" }
            return Dictionary(grouping: ordered, by: \.kind).sorted { $0.key < $1.key }.map(\.value)
        }
    }

    private struct State {
        /// What PVE answered, by request: it stays as it is.
        var answers: [String: (response: IncomingResponse, value: JSON?)] = [:]
        var found: [Place: JSON] = [:]
        /// What is answered instead, by request.
        var replaced: [String: [UInt8]] = [:]
        var refused: String?
    }

    private let pve: Simulator
    /// Of rows of guests that differ in nothing but numbers only the first is answered, and those with these ids.
    private let kept: Set<Int>?
    private let state = Mutex(State())

    init(_ pve: Simulator, keeping kept: Set<Int>? = nil) {
        self.pve = pve
        self.kept = kept
    }

    static func simulator() -> Simulator {
        Simulator(
            .init(
                name: "cloud", tokens: .list([.init(id: "agent@pve!cloud", secret: Setup.secret(of: "cloud"))]),
                taskDuration: .zero, seed: 1))
    }

    /// The numbers, flags and texts of digits that were answered, with their places.
    var found: [Place: JSON] { state.withLock { $0.found } }

    /// From now on these values stand at their places, and at all others what PVE answered.
    func replace(_ values: [Place: JSON]) {
        let known = state.withLock { $0.answers }
        var bodies: [String: JSON] = [:]
        for (place, value) in values {
            guard let body = bodies[place.request] ?? known[place.request]?.value else { continue }
            bodies[place.request] = Self.put(value, in: body, at: place.steps[...])
        }
        let replaced = bodies.mapValues(\.bytes)
        state.withLock { $0.replaced = replaced }
    }

    /// All that was read, with the queries.
    var requests: [String] { state.withLock { $0.answers.keys.sorted() } }

    /// From now on PVE refuses this one read; none with `nil`.
    func refuse(_ request: String?) { state.withLock { $0.refused = request } }

    /// What it says then.
    static let refusal = "lost its disk"

    func send(_ request: OutgoingRequest) async throws(TransportError) -> IncomingResponse {
        if state.withLock({ $0.refused }) == request.target {
            return IncomingResponse(status: 500, reason: Self.refusal, fields: [:], body: [])
        }
        var answer = await answer(to: request)
        if let body = state.withLock({ $0.replaced[request.target] }) { answer.body = body }
        return answer
    }

    private func answer(to request: OutgoingRequest) async -> IncomingResponse {
        let target = request.target
        if let known = state.withLock({ $0.answers[target] }) { return known.response }
        var answer = await pve.answer(to: request)
        var value = answer.status == 200 ? try? JSON.parse(answer.body) : nil
        if let kept, let rows = value?["data"]?.array, rows.contains(where: { $0["vmid"] != nil && $0["mem"] != nil }) {
            value = ["data": .array(Self.differing(rows, keeping: kept))]
            answer.body = value?.bytes ?? []
        }
        state.withLock { state in
            state.answers[target] = (answer, value)
            if let value { Self.note(value, Place(request: target, steps: []), in: &state.found) }
        }
        return answer
    }

    func finishWriting() async {}

    private static func differing(_ rows: [JSON], keeping kept: Set<Int>) -> [JSON] {
        var seen: Set<[JSON?]> = []
        return rows.filter { row in
            let isNew = seen.insert(["type", "status", "template", "hastate", "lock"].map { row[$0] }).inserted
            return isNew || row["vmid"]?.integer.map { kept.contains(Int($0)) } == true
        }
    }

    /// Notes where numbers, flags and texts of digits stand in an answer, and perhaps all other texts too.
    static func note(_ value: JSON, _ place: Place, in found: inout [Place: JSON], texts: Bool = false) {
        switch value {
        case .null: break
        case .bool, .integer, .number: found[place] = value
        case .string(let text):
            let isNumber = !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
            if texts || isNumber { found[place] = value }
        case .array(let elements):
            for (index, element) in elements.enumerated() {
                note(
                    element, Place(request: place.request, steps: place.steps + ["\(index)"]), in: &found, texts: texts)
            }
        case .object(let object):
            for member in object.members {
                note(
                    member.value, Place(request: place.request, steps: place.steps + [member.key]), in: &found,
                    texts: texts)
            }
        }
    }

    static func put(_ new: JSON, in value: JSON, at steps: ArraySlice<String>) -> JSON {
        guard let step = steps.first else { return new }
        switch value {
        case .array(var elements):
            guard let index = Int(step), elements.indices.contains(index) else { return value }
            elements[index] = put(new, in: elements[index], at: steps.dropFirst())
            return .array(elements)
        case .object(var object):
            object[step] = object[step].map { put(new, in: $0, at: steps.dropFirst()) }
            return .object(object)
        case .null, .bool, .integer, .number, .string: return value
        }
    }
}

extension Simulator {
    /// What it answers to a client.
    func answer(to request: OutgoingRequest) async -> IncomingResponse {
        let parts = request.target.split(separator: "?", maxSplits: 1)
        let response = await respond(
            to: Request(
                method: request.method, path: String(parts[0]), query: parts.count > 1 ? String(parts[1]) : nil,
                fields: request.fields, body: request.body ?? []))
        return IncomingResponse(
            status: response.status.code, reason: response.status.reasonPhrase, fields: response.fields,
            body: response.body.bytes)
    }
}

extension ManagedEnvironment {
    /// The environment behind `way`.
    static func stormy(_ way: some HTTPTransport) throws -> ManagedEnvironment {
        let token = try PVEToken(id: "agent@pve!cloud", secret: Secret(Setup.secret(of: "cloud")))
        let name = try #require(EnvironmentName("cloud"))
        let settings = EnvironmentSettings(
            name: name, baseURL: "https://pve.example:8006", tokenID: token.id, trust: "system",
            acceptsDeclaredApprovals: true, allowedCommands: [["uptime"], ["systemctl", "restart"]],
            allowedDownloads: ["https://images.example/"])
        return ManagedEnvironment(
            settings: settings,
            hypervisor: ProxmoxHypervisor(client: PVEClient(transport: way, token: token), environment: name))
    }
}
