internal import Glibc

/// The service manager that started this process and expects notices, as systemd does (`sd_notify(3)`).
package struct ServiceManager: Sendable {
    /// What can be reported.
    package enum Notice: Sendable, Hashable, CaseIterable {
        /// It is serving; also after a reload.
        case ready
        case reloading
        case stopping
        /// It is still serving: the answer to the watchdog.
        case alive
    }

    /// The longest time between two ``Notice/alive``; `nil` without a watchdog.
    package let watchdog: Duration?
    /// The socket's name in the kernel's form; begins with a zero byte if there is no file.
    private let name: [UInt8]

    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`. `nil` if no notices are expected, or if the socket's
    /// address is not usable.
    package init?(_ variables: [String: String]) {
        guard let place = variables["NOTIFY_SOCKET"], let first = place.utf8.first else { return nil }
        switch first {
        case UInt8(ascii: "/"): name = Array(place.utf8)
        case UInt8(ascii: "@"): name = [0] + place.utf8.dropFirst()
        default: return nil
        }
        guard name.count > 1, name.count < MemoryLayout.size(ofValue: sockaddr_un().sun_path) else { return nil }
        let isMine = variables["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
        let interval = variables["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0
        watchdog = isMine && interval > 0 ? .microseconds(interval) : nil
    }

    /// Sends one datagram (`sendto`). False if it did not arrive: then the socket has no reader any more.
    @discardableResult
    package func tell(_ notice: Notice) -> Bool {
        let text = Array(Self.text(of: notice).utf8)
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
        // The exact length: trailing zeros would be part of an abstract name.
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                var sent: Int
                repeat {
                    sent = unsafe sendto(descriptor, text, text.count, 0, address, length)
                } while sent < 0 && errno == EINTR
                return sent == text.count
            }
        }
    }

    private static func text(of notice: Notice) -> String {
        switch notice {
        case .ready: "READY=1"
        case .reloading: "RELOADING=1\nMONOTONIC_USEC=\(monotonicMicroseconds)"
        case .stopping: "STOPPING=1"
        case .alive: "WATCHDOG=1"
        }
    }

    private static var monotonicMicroseconds: Int {
        var now = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    }
}
