internal import CCurl
internal import Glibc
internal import HTTPMessage

/// The connections and exchanges of one transport. Used only on the loop's thread.
final class CurlPool {
    /// A socket that libcurl wants watched, and the `poll` events it waits for.
    private(set) var sockets: [Int32: Int16] = [:]
    private let configuration: CurlConfiguration
    private let multi: CurlMulti
    private var running: [UInt: CurlTransfer] = [:]
    /// In the order of arrival.
    private var waiting: [CurlJob] = []
    /// When libcurl must be called even if no socket is ready.
    private var timer: ContinuousClock.Instant?

    init(_ configuration: CurlConfiguration) throws(CurlError) {
        self.configuration = configuration
        let fingerprint: CertificateFingerprint? =
            if case .pinned(let fingerprint) = configuration.trust { fingerprint } else { nil }
        multi = try CurlMulti(pin: fingerprint)
        try multi.keep(connections: configuration.maximumConnections)
        // Both callbacks end with `multi`, which this object owns.
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        try unsafe multi.observe(sockets: watchSocket, timer: noteTimer, data: context)
    }

    /// When ``turn(at:)`` must be called at the latest; `nil` for never.
    var nextDue: ContinuousClock.Instant? {
        let writing = running.values.filter(\.isWriting).compactMap(\.writtenBy)
        let deadlines = running.values.map(\.job.deadline) + waiting.map(\.deadline) + writing
        return [timer, deadlines.min()].compactMap { $0 }.min()
    }

    func start(_ job: CurlJob) { waiting.append(job) }

    func cancel(_ id: UInt64) {
        if let index = waiting.firstIndex(where: { $0.id == id }) {
            waiting.remove(at: index).finish(.failure(.cancelled(sent: false)))
        } else if let transfer = running.values.first(where: { $0.job.id == id }) {
            end(transfer, .failure(.cancelled(sent: transfer.sent)))
        }
    }

    /// Aborts exchanges that have passed their gate and are not fully written. The kernel has the others that passed.
    func finishWriting() {
        for transfer in running.values where transfer.job.request.gate != nil && transfer.isWriting {
            end(transfer, .failure(.broken("given up while it was being written", sent: true)))
        }
    }

    /// Ends everything. Do not use the pool afterwards.
    func close() {
        for transfer in running.values { end(transfer, .failure(.cancelled(sent: transfer.sent))) }
        for job in waiting { job.finish(.failure(.cancelled(sent: false))) }
        waiting = []
    }

    /// Tells libcurl that `socket` is ready for `events` of `poll`.
    func ready(_ socket: Int32, _ events: Int16) {
        // libcurl closed it without notice; watching it further would be a busy loop.
        guard events & Int16(POLLNVAL) == 0 else { return sockets[socket] = nil }
        var bits: Int32 = 0
        if events & Int16(POLLIN | POLLHUP) != 0 { bits |= CURL_CSELECT_IN }
        if events & Int16(POLLOUT) != 0 { bits |= CURL_CSELECT_OUT }
        if events & Int16(POLLERR) != 0 { bits |= CURL_CSELECT_ERR }
        multi.ready(socket, events: bits)
    }

    /// Does what is due: libcurl's timer, finished transfers, missed deadlines, and jobs that wait for a connection.
    func turn(at now: ContinuousClock.Instant) {
        if let due = timer, due <= now {
            timer = nil
            multi.timeout()
        }
        while let (handle, result) = multi.nextFinished() {
            guard let transfer = running[handle] else { continue }
            end(transfer, explained(transfer.result(result)))
        }
        for transfer in running.values.filter({ $0.job.deadline <= now }) {
            end(transfer, .failure(.timeout(sent: transfer.sent)))
        }
        for transfer in running.values.filter({ $0.isWriting && $0.writtenBy.map { $0 <= now } ?? false }) {
            end(transfer, .failure(.broken("it took too long to be written", sent: true)))
        }
        for job in waiting where job.deadline <= now { job.finish(.failure(.timeout(sent: false))) }
        waiting.removeAll { $0.deadline <= now }
        admit()
    }

    /// Explains a handshake that failed on the certificate: which was expected, which was shown, and what to do.
    private func explained(
        _ result: Result<IncomingResponse, TransportError>
    ) -> Result<IncomingResponse, TransportError> {
        guard case .failure(.unreachable) = result, case .pinned(let pinned) = configuration.trust,
            let shown = multi.takeShownInstead()
        else { return result }
        return .failure(
            .unreachable(
                "the certificate has changed: \(pinned) is configured, and \(shown) is shown; if that is right on the node "
                    + "(openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem, or pveproxy-ssl.pem), "
                    + "put it into tls.fingerprint_sha256 of the environment and restart"))
    }

    private func admit() {
        let free = min(waiting.count, configuration.maximumConnections - running.count)
        guard free > 0 else { return }
        let jobs = waiting.prefix(free)
        waiting.removeFirst(free)
        for job in jobs {
            do throws(CurlError) {
                let transfer = unsafe try CurlTransfer(job, configuration: configuration, pin: multi.pin)
                running[transfer.handle.id] = transfer
                try multi.add(transfer.handle)
            } catch {
                running = running.filter { $0.value.job.id != job.id }
                job.finish(.failure(.unreachable("\(error.operation): \(error.text)")))
            }
        }
    }

    private func end(_ transfer: CurlTransfer, _ result: Result<IncomingResponse, TransportError>) {
        multi.remove(transfer.handle)
        running[transfer.handle.id] = nil
        transfer.job.finish(result)
    }

    fileprivate func watch(_ socket: Int32, for what: Int32, of handle: UInt) {
        running[handle]?.noteWaiting(for: what)
        switch what {
        case CURL_POLL_IN: sockets[socket] = Int16(POLLIN)
        case CURL_POLL_OUT: sockets[socket] = Int16(POLLOUT)
        case CURL_POLL_INOUT: sockets[socket] = Int16(POLLIN | POLLOUT)
        default: sockets[socket] = nil
        }
    }

    fileprivate func setTimer(milliseconds: Int) {
        timer = milliseconds < 0 ? nil : .now + .milliseconds(milliseconds)
    }
}

// C callbacks: `context` is the pool that owns the multi handle.

private func watchSocket(
    _ handle: UnsafeMutableRawPointer?, _ socket: curl_socket_t, _ what: Int32, _ context: UnsafeMutableRawPointer?,
    _: UnsafeMutableRawPointer?
) -> Int32 {
    guard let context = unsafe context else { return -1 }
    let pool = unsafe Unmanaged<CurlPool>.fromOpaque(context).takeUnretainedValue()
    pool.watch(socket, for: what, of: UInt(bitPattern: handle))
    return 0
}

private func noteTimer(_: UnsafeMutableRawPointer?, _ milliseconds: Int, _ context: UnsafeMutableRawPointer?) -> Int32 {
    guard let context = unsafe context else { return -1 }
    unsafe Unmanaged<CurlPool>.fromOpaque(context).takeUnretainedValue().setTimer(milliseconds: milliseconds)
    return 0
}
