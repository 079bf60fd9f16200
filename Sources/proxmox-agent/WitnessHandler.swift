import Dispatch
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import TransparencyLog

/// Answers as a witness of other logs (c2sp.org/tlog-witness).
final class WitnessHandler: HTTPHandler {
    static let path = "/add-checkpoint"

    private let store: WitnessStore
    /// One request after the other: what is judged is what is stored then.
    private let queue = DispatchQueue(label: "witness")
    private let now: @Sendable () -> Date
    private let told: @Sendable (String) -> Void

    /// `told` gets a line about each checkpoint that is refused as inconsistent, or cannot be stored.
    init(
        _ store: WitnessStore, now: @escaping @Sendable () -> Date = { Date() },
        told: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        (self.store, self.now, self.told) = (store, now, told)
    }

    /// The name under which the checkpoint of a log is shown.
    static func directory(of origin: String) -> String { WitnessStore.hash(origin) }

    func respond(to request: Request) async -> Response {
        await withCheckedContinuation { waiter in
            queue.async { [self] in waiter.resume(returning: answer(request)) }
        }
    }

    func refuse(_ request: Request, because refusal: Refusal) -> Response {
        switch refusal {
        case .bodyTooLarge: Self.text(.contentTooLarge, "the request is too large\n")
        case .headTooLarge: Self.text(.requestHeaderFieldsTooLarge, "the head is too large\n")
        case .malformed: Self.text(.badRequest, "the request is malformed\n")
        case .shareUsedUp: Self.text(.tooManyRequests, "too many requests at once\n")
        case .deadlineExceeded, .overloaded, .clientLeft, .shuttingDown:
            Self.text(.serviceUnavailable, "try again later\n")
        }
    }

    private func answer(_ request: Request) -> Response {
        let parts = request.path.split(separator: "/", omittingEmptySubsequences: false)
        switch request.path {
        case Self.path:
            guard request.method == .post else { return Self.text(.methodNotAllowed, "use POST\n", [.allow: "POST"]) }
            return add(request.body)
        case "/healthz": return Self.text(.ok, "ok\n")
        default:
            guard parts.count == 3, parts[2] == "checkpoint", let note = store.note(named: String(parts[1])) else {
                return Self.text(.notFound, "there is nothing here\n")
            }
            guard request.method == .get || request.method == .head else {
                return Self.text(.methodNotAllowed, "use GET\n", [.allow: "GET, HEAD"])
            }
            return Self.text(.ok, note.description)
        }
    }

    private func add(_ body: [UInt8]) -> Response {
        let request: AddCheckpoint
        do throws(NoteError) { request = try AddCheckpoint(parsing: body) } catch {
            return Self.text(.badRequest, "\(error)\n")
        }
        switch request.verdict(store.key(of:), newest: store.newest(of:)) {
        case .good: return sign(request)
        case .malformed(let why): return Self.text(.badRequest, "\(why)\n")
        case .unknownLog: return Self.text(.notFound, "this witness does not know the log\n")
        case .badSignature: return Self.text(.forbidden, "the checkpoint is not signed by the log's key\n")
        case .conflict(let size):
            return Self.text(.conflict, "\(size)\n", [.contentType: AddCheckpoint.sizeType])
        case .inconsistent(let why):
            told("refused: \(request.note.text.split(separator: "\n").first ?? ""): \(why)")
            return Self.text(.unprocessableContent, "\(why)\n")
        }
    }

    private func sign(_ request: AddCheckpoint) -> Response {
        let time = UInt64(min(max(0, now().timeIntervalSince1970), 9e15))
        guard let signature = store.signingKey.signature(on: request.note.text, at: time) else {
            return Self.text(.internalServerError, "the signature failed\n")
        }
        do throws(WitnessStore.Failure) { try store.put(request.note, signature) } catch {
            told("not signed: \(error)")
            return Self.text(.internalServerError, "the checkpoint cannot be stored\n")
        }
        return Self.text(.ok, "\(signature)\n")
    }

    private static func text(
        _ status: HTTPResponse.Status, _ text: String,
        _ fields: HTTPFields = [.contentType: "text/plain; charset=utf-8"]
    ) -> Response {
        Response(status: status, fields: fields, body: .init(Array(text.utf8)))
    }
}
