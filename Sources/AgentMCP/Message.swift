import AgentAPI
import HTTPMessage
import HTTPTypes
import StrictJSON

/// A JSON-RPC error, with the status that it has over HTTP.
struct RPCError: Error {
    let code: Int
    let message: String
    var data: JSON?
    var status = HTTPResponse.Status.badRequest

    /// The whole answer. An id that could not be read is left out: `null` fails the official schema.
    func response(id: JSON?, isLegacy: Bool = false) -> Response {
        let error: JSON = ["code": JSON(code), "message": .string(message), "data": data]
        return .json(isLegacy ? .ok : status, ["jsonrpc": "2.0", "id": id, "error": error])
    }

    static func notJSON(_ why: String) -> RPCError { RPCError(code: -32700, message: "the body is not JSON: \(why)") }
    static func badEnvelope(_ why: String) -> RPCError { RPCError(code: -32600, message: why) }
    static func badParameters(_ why: String) -> RPCError { RPCError(code: -32602, message: why) }
    static func badHeader(_ why: String) -> RPCError { RPCError(code: -32020, message: why) }
    static func unknownMethod(_ method: String) -> RPCError {
        RPCError(code: -32601, message: "there is no method \(JSON.string(method).shown) here", status: .notFound)
    }
    static func notServed(_ version: String) -> RPCError {
        RPCError(
            code: -32022, message: "protocol version \(JSON.string(version).shown) is not served",
            data: ["supported": JSON(Revision.allCases.map(\.rawValue)), "requested": .string(version)])
    }
    static let needsTasks = RPCError(
        code: -32021, message: "the client did not declare the extension \(Extension.tasks) for this request",
        data: ["requiredCapabilities": ["extensions": .object([Extension.tasks: [:]])]])
}

/// Names that the protocol reserves in `_meta` and among extensions.
enum Extension {
    static let tasks = "io.modelcontextprotocol/tasks"
}

enum Meta {
    static let version = "io.modelcontextprotocol/protocolVersion"
    static let capabilities = "io.modelcontextprotocol/clientCapabilities"
    /// W3C Trace Context.
    static let trace = "traceparent"
    static let server = "io.modelcontextprotocol/serverInfo"
}

/// One message of a client.
enum Message {
    case request(id: JSON, method: String, params: JSONObject)
    case notification

    /// Why a body is no message; `id` where it could be read.
    struct Unreadable: Error {
        let error: RPCError
        var id: JSON?
    }

    init(parsing body: [UInt8]) throws(Unreadable) {
        let value: JSON
        do throws(JSONError) { value = try JSON.parse(body) } catch {
            throw Unreadable(error: .notJSON(error.detail))
        }
        guard let object = value.object else {
            throw Unreadable(
                error: .badEnvelope(
                    value.array == nil ? "a message is an object" : "batches are not taken; send one message a request")
            )
        }
        let id = Self.id(object["id"])
        func flaw(_ why: String) -> Unreadable { Unreadable(error: .badEnvelope(why), id: id) }
        guard object["jsonrpc"] == "2.0" else { throw flaw("jsonrpc must be \"2.0\"") }
        guard let method = object["method"]?.string else {
            throw flaw("method is missing; this server sends no requests and takes no responses")
        }
        guard object["id"] == nil || id != nil else { throw flaw("id must be a string or an integer") }
        guard object["params"].map({ $0.object != nil }) ?? true else { throw flaw("params must be an object") }
        if object["result"] != nil || object["error"] != nil { throw flaw("a request has no result and no error") }
        guard let id else {
            self = .notification
            return
        }
        self = .request(id: id, method: method, params: object["params"]?.object ?? [:])
    }

    private static func id(_ value: JSON?) -> JSON? { value?.string != nil || value?.integer != nil ? value : nil }
}
