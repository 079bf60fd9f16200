package import HTTPMessage

/// Why a server cannot run.
package enum ServerError: Error, Sendable, Hashable {
    /// Another process listens on that address.
    case addressInUse(ListenAddress)
    /// The kernel refused the address; the text names the call and the reason.
    case cannotListen(ListenAddress, String)
    /// libmicrohttpd refused to start: its message, for example about a certificate that does not match its key.
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
