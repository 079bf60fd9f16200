package import HTTPTypes

/// One HTTP response.
package struct Response: Sendable {
    package var status: HTTPResponse.Status
    package var fields: HTTPFields
    package var body: Body
    /// What is sent instead of ``body``, for as long as the stream goes on. The connection is closed afterwards.
    package var stream: ResponseStream?
    /// What happens to the connection; anything but `.keep` is for simulators and refusals.
    package var ending: Ending

    package init(
        status: HTTPResponse.Status, fields: HTTPFields = [:], body: Body = Body(), ending: Ending = .keep
    ) {
        self.status = status
        self.fields = fields
        self.body = body
        self.ending = ending
    }

    /// The bytes of a response, in parts that several responses can share without copying.
    package struct Body: Sendable, Hashable {
        package private(set) var parts: [[UInt8]]
        /// The bytes of all parts together.
        package private(set) var count: Int

        package init() {
            parts = []
            count = 0
        }

        package init(_ bytes: [UInt8]) { self.init(parts: [bytes]) }

        package init(parts: [[UInt8]]) {
            self.parts = parts
            count = parts.reduce(0) { $0 + $1.count }
        }

        /// All parts as one array. Copies unless there is only one.
        package var bytes: [UInt8] { parts.count == 1 ? parts[0] : Array(parts.joined()) }
    }

    /// What the server does with the connection after this response.
    package enum Ending: Sendable, Hashable {
        /// Keep-alive as in HTTP/1.1.
        case keep
        /// Send the response, then close.
        case close
        /// Send these bytes unchanged, including a status line, then close. `status`, `fields` and `body` are not sent.
        case raw([UInt8])
        /// Send nothing and reset the connection (RST).
        case reset
    }
}
