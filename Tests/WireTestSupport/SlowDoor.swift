import Dispatch
package import HTTPMessage

/// A way to a server that lets each new connection wait before its first byte passes, as a busy server does.
package final class SlowDoor: Sendable {
    private struct State {
        var sockets: [Int32: Socket] = [:]
        var connections = 0
        var stopped = false
    }

    /// 127.0.0.1 with a free port.
    package let port: UInt16
    private let listener: Socket
    private let target: ListenAddress
    private let delay: @Sendable (_ connection: Int) -> Duration
    private let state = Lock(State())

    /// `delay` is asked for each connection, by its number from 0.
    package init(to target: ListenAddress, delay: @escaping @Sendable (_ connection: Int) -> Duration) throws(WireError)
    {
        (listener, port) = try Socket.listening()
        self.target = target
        self.delay = delay
        DispatchQueue(label: "slow door").async { [self] in acceptAll() }
    }

    /// Ends every connection and stops listening. Must be called: the accepting thread keeps the door alive.
    package func stop() {
        let sockets = state.withLock { state in
            state.stopped = true
            return Array(state.sockets.values)
        }
        sockets.forEach { $0.interrupt() }
        listener.interrupt()
    }

    private func acceptAll() {
        while listener.waitReadable(until: .now + .seconds(3600)), let client = listener.accept() {
            let number = state.withLock { state in
                defer { state.connections += 1 }
                return state.connections
            }
            let milliseconds = Int(delay(number) / .milliseconds(1))
            DispatchQueue(label: "slow door connection").asyncAfter(deadline: .now() + .milliseconds(milliseconds)) {
                self.join(client)
            }
        }
        listener.close()
    }

    private func join(_ client: Socket) {
        guard let server = try? Socket.connected(to: target), keep([client, server]) else { return client.close() }
        let both = DispatchGroup()
        for (from, to) in [(client, server), (server, client)] {
            DispatchQueue(label: "slow door pump").async(group: both) {
                while let bytes = try? from.read(until: .now + .seconds(60)), !bytes.isEmpty,
                    (try? to.write(bytes, until: .now + .seconds(60))) != nil
                {}
                from.interrupt()
                to.interrupt()
            }
        }
        both.notify(queue: DispatchQueue(label: "slow door end")) {
            self.state.withLock { state in
                for socket in [client, server] { state.sockets[socket.descriptor] = nil }
            }
            client.close()
            server.close()
        }
    }

    private func keep(_ sockets: [Socket]) -> Bool {
        state.withLock { state in
            guard !state.stopped else { return false }
            for socket in sockets { state.sockets[socket.descriptor] = socket }
            return true
        }
    }
}
