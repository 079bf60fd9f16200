import HTTPMessage
import HTTPTypes
import PVESimulator
import StrictJSON
import Synchronization

/// The way to a simulated PVE, on which one value of its answers may be replaced.
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
    }

    private struct State {
        /// What PVE answered, by request: it stays as it is.
        var answers: [String: (response: IncomingResponse, value: JSON?)] = [:]
        var found: [Place: JSON] = [:]
        var replaced: (place: Place, value: JSON)?
        var refused: String?
    }

    private let pve: Simulator
    private let state = Mutex(State())

    init(_ pve: Simulator) { self.pve = pve }

    /// The numbers, flags and texts of digits that were answered, with their places.
    var found: [Place: JSON] { state.withLock { $0.found } }

    /// From now on `value` stands at `place`; nothing is replaced where there is none.
    func replace(_ place: Place?, with value: JSON = .null) {
        state.withLock { $0.replaced = place.map { ($0, value) } }
    }

    /// All that was read, with the queries.
    var requests: [String] { state.withLock { $0.answers.keys.sorted() } }

    /// From now on PVE refuses this one read; none with `nil`.
    func refuse(_ request: String?) { state.withLock { $0.refused = request } }

    /// What it says then.
    static let refusal = "lost its disk"

    func send(_ request: OutgoingRequest) async throws(TransportError) -> IncomingResponse {
        let target = request.target
        if state.withLock({ $0.refused }) == target {
            return IncomingResponse(status: 500, reason: Self.refusal, fields: [:], body: [])
        }
        var (answer, value) = await answer(to: request)
        let replaced = state.withLock { $0.replaced.flatMap { $0.place.request == target ? $0 : nil } }
        if let value, let replaced {
            answer.body = Self.put(replaced.value, in: value, at: replaced.place.steps[...]).bytes
        }
        return answer
    }

    private func answer(to request: OutgoingRequest) async -> (IncomingResponse, JSON?) {
        let target = request.target
        if let known = state.withLock({ $0.answers[target] }) { return known }
        let parts = target.split(separator: "?", maxSplits: 1)
        let response = await pve.respond(
            to: Request(
                method: request.method, path: String(parts[0]), query: parts.count > 1 ? String(parts[1]) : nil,
                fields: request.fields, body: request.body ?? []))
        let answer = IncomingResponse(
            status: response.status.code, reason: response.status.reasonPhrase, fields: response.fields,
            body: response.body.bytes)
        let value = answer.status == 200 ? try? JSON.parse(answer.body) : nil
        state.withLock { state in
            state.answers[target] = (answer, value)
            if let value { Self.note(value, Place(request: target, steps: []), in: &state.found) }
        }
        return (answer, value)
    }

    func finishWriting() async {}

    private static func note(_ value: JSON, _ place: Place, in found: inout [Place: JSON]) {
        switch value {
        case .null: break
        case .bool, .integer, .number: found[place] = value
        case .string(let text):
            if !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) { found[place] = value }
        case .array(let elements):
            for (index, element) in elements.enumerated() {
                note(element, Place(request: place.request, steps: place.steps + ["\(index)"]), in: &found)
            }
        case .object(let object):
            for member in object.members {
                note(member.value, Place(request: place.request, steps: place.steps + [member.key]), in: &found)
            }
        }
    }

    private static func put(_ new: JSON, in value: JSON, at steps: ArraySlice<String>) -> JSON {
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
