import AgentModel
import AgentService
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import StrictJSON

/// The envelope of a read: `{request, plan?, result{status, message, data}}`.
///
/// An inventory can be megabytes that several answers share. So its rows are sent as they are, between a head and a
/// tail.
struct ReadEnvelope {
    /// The members before `result`.
    var head: JSONObject
    var result: ReadResult
    /// How many guests match, and where the next page starts; `nil` if all are sent.
    var matched: Int?
    var next: String?

    func response() -> Response {
        let status: HTTPResponse.Status = result.status == .failed ? .badGateway : .ok
        var fields = JSONObject()
        fields["status"] = .string(result.status.rawValue)
        fields["message"] = .string(result.message)
        if let matched {
            fields["matched"] = JSON(matched)
            fields["next"] = next.map { .string($0) } ?? .null
        }
        if !result.parts.isEmpty { fields["environments"] = .array(result.parts.map(part)) }
        switch result.content {
        case .json(let data):
            fields["data"] = data
            var body = head
            body["result"] = .object(fields)
            return .json(status, .object(body))
        case .rows(let rows):
            return Response(
                status: status, fields: [.contentType: "application/json"], body: .init(parts: parts(fields, rows)))
        }
    }

    /// `{head…,"result":{fields…,"data":[` rows `]}}`
    private func parts(_ fields: JSONObject, _ rows: [RenderedRows]) -> [[UInt8]] {
        var open: [UInt8] = []
        JSON.object(head).write(to: &open)
        open.removeLast()
        if !head.isEmpty { open.append(UInt8(ascii: ",")) }
        open.append(contentsOf: "\"result\":".utf8)
        JSON.object(fields).write(to: &open)
        open.removeLast()
        open.append(contentsOf: ",\"data\":[".utf8)
        var parts = [open]
        for rows in rows where rows.count > 0 {
            if parts.count > 1 { parts.append([UInt8(ascii: ",")]) }
            parts.append(rows.bytes)
        }
        parts.append(Array("]}}".utf8))
        return parts
    }

    private func part(_ part: ReadResult.Part) -> JSON {
        [
            "name": .string(part.environment.description), "status": part.error == nil ? "ok" : "failed",
            "fetched_at": .string(part.fetchedAt.rfc3339), "count": JSON(part.count),
            "error": part.error.map { ["code": .string($0.code.rawValue), "detail": .string($0.detail)] },
        ]
    }
}
