import CMicrohttpd
import Glibc

/// Responses that bypass libmicrohttpd, which cannot set the reason phrase of a status line or reset a connection.
enum RawEnding {
    /// How long a client may keep `write` waiting, in milliseconds.
    private static let patience: Int32 = 2000

    /// Sends `bytes` unchanged. What a client does not take in time is lost.
    static func write(_ bytes: [UInt8], to descriptor: Int32) {
        unsafe bytes.withUnsafeBytes { raw in
            var sent = 0
            while sent < raw.count {
                let rest = unsafe UnsafeRawBufferPointer(rebasing: raw[sent...])
                let count = unsafe send(
                    descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                if count > 0 { sent += count }
                if count < 0 && errno != EAGAIN && errno != EINTR { return }
                var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                if unsafe sent < raw.count && poll(&entry, 1, patience) <= 0 { return }
            }
        }
    }

    /// Sends RST at once. A close would not do: libmicrohttpd shuts down first, and the client sees an orderly end.
    static func reset(_ descriptor: Int32) {
        var linger = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        // Connecting to "no address" ends a TCP association with RST.
        var nowhere = sockaddr()
        nowhere.sa_family = sa_family_t(AF_UNSPEC)
        _ = unsafe connect(descriptor, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
    }
}
