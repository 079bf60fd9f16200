import AgentService
import CurlHTTP
import HTTPMessage
import HTTPTypes
import TransparencyLog

/// A witness behind HTTP (c2sp.org/tlog-witness).
struct WitnessClient: Witness {
    let key: VerifierKey
    private let path: String
    private let transport: any HTTPTransport

    /// `path` is what its URL has behind the origin, without a slash at its end.
    init(key: VerifierKey, path: String, transport: any HTTPTransport) {
        (self.key, self.path, self.transport) = (key, path, transport)
    }

    /// How a witness is asked: an answer is small and comes soon, or it does not count.
    static func configuration(_ settings: AgentConfig.WitnessSettings) -> CurlConfiguration {
        CurlConfiguration(
            origin: settings.origin, trust: settings.trust, timeout: .seconds(10),
            maximumBodyBytes: SignedNote.maximumBytes, maximumConnections: 2,
            userAgent: "proxmox-agent/\(Version.text)")
    }

    func newest(of origin: String) async -> SignedNote? {
        let target = "\(path)/\(WitnessHandler.directory(of: origin))/checkpoint"
        // The first signature after a start waits for this.
        let request = OutgoingRequest(method: .get, target: target, once: false, timeout: .seconds(3))
        let answer = try? await transport.send(request)
        guard let answer, answer.status == 200 else { return nil }
        return try? SignedNote(parsing: answer.body)
    }

    func add(_ request: AddCheckpoint) async -> WitnessAnswer {
        let answer: IncomingResponse
        do throws(TransportError) {
            answer = try await transport.send(
                OutgoingRequest(
                    method: .post, target: path + WitnessHandler.path, fields: [.contentType: "text/plain"],
                    body: Array(request.description.utf8), once: false))
        } catch {
            switch error {
            case .tooLarge(let limit): return .invalid("its answer is larger than \(limit) bytes")
            case .unreachable(let why), .broken(let why, _): return .unreachable("it cannot be reached: \(why)")
            case .timeout: return .unreachable("it does not answer in time")
            case .withheld, .cancelled: return .unreachable("the question was given up")
            }
        }
        switch answer.status {
        case 200:
            guard let text = String(validating: answer.body, as: UTF8.self),
                let signatures = try? SignedNote.signatures(text)
            else { return .invalid("its answer has no signatures") }
            return .signed(signatures)
        case 409:
            return AddCheckpoint.size(in: answer.body).map { .conflict($0) }
                ?? .invalid("it does not say which size it knows")
        case 422: return .inconsistent
        case 300..<400: return .refused("it answers with a redirect (\(answer.status)); set its own url")
        case 403:
            return .refused("it does not accept the key (403); give it the one that proxmox-agent audit key prints")
        case 404:
            return .refused("it does not know this log (404); give it the key that proxmox-agent audit key prints")
        default: return .refused("it answers with status \(answer.status)")
        }
    }
}

/// The witnesses of an agent's audit log, each with connections of its own.
final class WitnessConnections: Sendable {
    let all: [any Witness]
    private let transports: [CurlTransport]

    init(_ settings: [AgentConfig.WitnessSettings]) throws(StartError) {
        guard !settings.isEmpty else {
            (all, transports) = ([], [])
            return
        }
        let loop: CurlLoop
        do { loop = try CurlLoop() } catch { throw StartError("libcurl: \(error)") }
        transports = settings.map { CurlTransport(WitnessClient.configuration($0), loop: loop) }
        all = zip(settings, transports).map { WitnessClient(key: $0.key, path: $0.path, transport: $1) }
    }

    func shutdown() async {
        for transport in transports { await transport.shutdown() }
    }
}
