import AgentAPI
import CurlHTTP
import HTTPMessage
import HTTPTypes
import StrictJSON
import Synchronization

/// A stream of events.
extension AgentClient {
    /// How a stream ended that the agent had begun, or would have.
    enum StreamEnd: Sendable {
        /// The agent or the reader ended it.
        case ended
        /// It broke, or there was no connection.
        case broken(String)
    }

    /// Longer than the agent is silent on a stream, which sends a sign of life every 15 seconds.
    private static let patience = Duration.seconds(45)

    /// Reads the events behind the one with the id `last` until the stream ends. `take` gets the bytes as they come, on
    /// libcurl's thread, and ends the stream by false.
    ///
    /// - Throws: the agent's answer, if it is none with events.
    func events(
        _ query: [(name: String, value: String?)], after last: String?,
        _ take: @escaping @Sendable ([UInt8]) -> Bool
    ) async throws(ClientError) -> StreamEnd {
        let heard = LastHeard()
        var request = OutgoingRequest(
            method: .get, target: Self.target("/v1/events", query), fields: fields, once: true,
            timeout: .seconds(1 << 31))
        request.fields[.accept] = "text/event-stream"
        request.fields[.lastEventID] = last
        request.take = { bytes in
            heard.note()
            return take(bytes)
        }
        let result = await withTaskGroup(of: Result<IncomingResponse, TransportError>?.self) { group in
            group.addTask { [transport, request] in
                do throws(TransportError) { return .success(try await transport.send(request)) } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                while true {
                    let left = heard.at + Self.patience - .now
                    guard left > .zero, (try? await Task.sleep(for: left)) != nil else { return nil }
                }
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        switch result {
        case .success(let response):
            if !(200..<300).contains(response.status) { _ = try read(response) }
            return .ended
        case .failure(.cancelled): return .ended
        case .failure(let error): return .broken(Self.wording(of: error, origin, isChange: false))
        case nil: return .broken("\(origin) has sent nothing for \(Self.patience.components.seconds) s")
        }
    }
}

/// When the agent sent something last.
private final class LastHeard: Sendable {
    private let time = Mutex(ContinuousClock.now)

    var at: ContinuousClock.Instant { time.withLock { $0 } }

    func note() { time.withLock { $0 = .now } }
}

/// Takes a stream of events apart (WHATWG HTML, 9.2.6), as the agent writes one.
struct EventParser {
    /// An event with data; `id` is its own, `nil` if it has none.
    struct Event: Hashable {
        let id: String?
        let data: String
    }

    /// The place to resume from.
    private(set) var last: String?
    /// How long to wait before that, in milliseconds, if the agent says so.
    private(set) var retry: Int?
    private var line: [UInt8] = []
    private var id: String?
    private var data: String?

    /// The events that end in `bytes`.
    mutating func take(_ bytes: [UInt8]) -> [Event] {
        var events: [Event] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                line.append(byte)
                continue
            }
            if line.isEmpty {
                if let event = end() { events.append(event) }
            } else {
                field(String(decoding: line, as: UTF8.self))
            }
            line = []
        }
        return events
    }

    private mutating func field(_ line: String) {
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return }
        let value = String(parts[1].hasPrefix(" ") ? parts[1].dropFirst() : parts[1])
        switch parts[0] {
        case "id": id = value
        case "data": data = data.map { $0 + "\n" + value } ?? value
        case "retry": retry = Int(value)
        default: break
        }
    }

    private mutating func end() -> Event? {
        defer { (id, data) = (nil, nil) }
        last = id ?? last
        return data.map { Event(id: id, data: $0) }
    }
}
