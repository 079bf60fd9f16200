import AgentModel
package import StrictJSON

/// The result of one API call.
package struct PVEReply: Sendable, Hashable {
    /// The value of `data`; null for calls without a result.
    package let data: JSON
    /// The total number of entries, if the endpoint pages: `/nodes/{node}/tasks`.
    package let total: Int64?

    package init(data: JSON, total: Int64? = nil) {
        self.data = data
        self.total = total
    }

    /// Reads the body of a success.
    init(_ body: [UInt8]) throws(PVEError) {
        let value: JSON
        do throws(JSONError) {
            value = try JSON.parse(body)
        } catch {
            throw .invalid("the answer is not JSON: \(error.detail) at byte \(error.offset ?? 0) of \(body.count)")
        }
        guard let object = value.object else { throw .invalid("the answer is \(value.kind), not an object") }
        guard let data = object["data"] else { throw .invalid("the answer has no data") }
        self.init(data: data, total: object["total"]?.whole)
    }
}
