internal import Glibc

/// A listening socket that the service manager opened and passes on (`sd_listen_fds(3)`).
package enum InheritedSocket {
    /// Why the passed sockets cannot be used.
    package struct Unusable: Error, Sendable, Hashable, CustomStringConvertible {
        package let description: String
    }

    /// The number of the first passed descriptor, by convention.
    package static let first: Int32 = 3

    /// Reads `LISTEN_FDS` and `LISTEN_PID`: the descriptor, or `nil` if there is none for this process.
    ///
    /// - Throws: ``Unusable`` if there are several.
    package static func descriptor(_ variables: [String: String]) throws(Unusable) -> Int32? {
        guard let count = variables["LISTEN_FDS"].flatMap({ Int($0) }), count > 0,
            variables["LISTEN_PID"] == "\(getpid())"
        else { return nil }
        guard count == 1 else {
            throw Unusable(
                description: "the service manager hands over \(count) sockets and one is served: leave one "
                    + "ListenStream= in the socket unit")
        }
        return first
    }
}
