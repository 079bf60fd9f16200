package import HTTPMessage

/// Why a server does not run.
package enum ServerError: Error, Sendable, Hashable {
    /// Another process listens there.
    case addressInUse(ListenAddress)
    /// The kernel refused the address; the text names the call and the reason.
    case cannotListen(ListenAddress, String)
    /// libmicrohttpd refused to start: what it logged, such as a certificate that does not fit its key.
    case cannotStart(String)
}

extension ServerError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .addressInUse(let address): "\(address) is in use by another process"
        case .cannotListen(let address, let reason): "cannot listen on \(address): \(reason)"
        case .cannotStart(let reason): "the HTTP server did not start: \(reason)"
        }
    }
}
