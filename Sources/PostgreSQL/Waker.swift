internal import Glibc

/// Ends the waiting of a thread from another one, once and for all (`pipe`, `poll`).
package final class Waker: Sendable {
    private let (reading, writing): (Int32, Int32)

    package init() throws(PostgreSQLError) {
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else {
            throw PostgreSQLError(.other, "pipe", unsafe String(cString: strerror(errno)))
        }
        (reading, writing) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(writing, F_SETFL, O_NONBLOCK)
    }

    deinit {
        close(reading)
        close(writing)
    }

    /// From now on nobody waits.
    package func wake() {
        var byte: UInt8 = 0
        _ = unsafe write(writing, &byte, 1)
    }

    /// Waits; false once it is woken.
    package func sleep(_ time: Duration) -> Bool {
        let deadline = ContinuousClock.now + time
        while true {
            let left = max(.zero, ContinuousClock.now.duration(to: deadline)) / .milliseconds(1)
            var descriptor = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
            let count = unsafe poll(&descriptor, 1, Int32(left.rounded(.up)))
            if count == 0 || count < 0 && errno != EINTR { return true }
            if count > 0 { return false }
        }
    }

    /// Waits until the descriptor has something to read, or is broken; false once this is woken.
    func wait(for descriptor: Int32) throws(PostgreSQLError) -> Bool {
        while true {
            var descriptors = [reading, descriptor].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let count = unsafe poll(&descriptors, 2, -1)
            guard count >= 0 || errno == EINTR else {
                throw PostgreSQLError(.lost, "poll", unsafe String(cString: strerror(errno)))
            }
            if count > 0 { return descriptors[0].revents == 0 }
        }
    }
}
