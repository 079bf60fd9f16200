import CMicrohttpd
import HTTPMessage
import HTTPTypes

/// One request and its response.
///
/// Retained in `ServerCore.requestStarted` (libmicrohttpd keeps it as the request's context), released in
/// `ServerCore.requestCompleted`, which libmicrohttpd calls exactly once for it.
// SAFETY: the receiving half (`request`, `bodyCount`, `stage`) is touched only by libmicrohttpd's thread of this
// connection until the handler starts, and written afterwards only when a stream begins, like everything later behind
// `state`.
final class Exchange: @unchecked Sendable {
    private enum Stage { case head, body, answering }

    private struct State {
        var answer: Response?
        /// The suspended connection, set exactly while it is suspended. The code that takes it out resumes it.
        var suspended: ConnectionHandle?
        var task: Task<Void, Never>?
        /// The number under which the exchange is parked.
        var number: UInt64 = 0
        /// It uses a place of its party.
        var isAdmitted = false
        /// The response is chosen, or the request is gone: a later result of the handler is dropped.
        var isOver = false
        /// The response, if it is a stream that is being sent, and its number.
        var stream: (body: ResponseStream, number: UInt64)?
    }

    private let core: ServerCore
    private let connection: Connection
    private let target: RawTarget
    private var request: Request
    private var bodyCount = 0
    private var isChunked = false
    /// The length in the head; 0 if there is none.
    private var contentLength = 0
    /// What this request uses of the memory for bodies, and its response of the memory for responses.
    private var heldBytes = 0
    private var answerBytes = 0
    /// Why there is no memory for the body, which is then read and discarded.
    private var bodyRefusal: Refusal?
    private var admission: Admission
    private var stage = Stage.head
    private(set) var deadline = ContinuousClock.now
    private let state = Lock(State())

    init(core: ServerCore, connection: Connection, target: RawTarget) {
        self.core = core
        self.connection = connection
        self.target = target
        request = Request(
            method: .get, path: target.path, query: target.query, peer: connection.peer, source: connection.source)
        admission = Admission(.source(connection.source))
        connection.enter(.receiving)
    }

    // MARK: On libmicrohttpd's thread

    /// One call of the access handler: the head, each piece of the body, and the end; called again after a resume.
    func advance(
        _ handle: ConnectionHandle, method: @autoclosure () -> String, version: @autoclosure () -> String,
        data: UnsafeRawBufferPointer
    ) -> MHD_Result {
        switch stage {
        case .head:
            stage = .body
            return receiveHead(handle, method: method(), version: version())
        case .body where unsafe !data.isEmpty:
            return unsafe receive(data)
        case .body:
            stage = .answering
            connection.chunked.withLock { $0 = nil }
            return start(handle)
        case .answering:
            return resumed(handle)
        }
    }

    /// The request is over, answered or not.
    func completed() {
        let (unsent, stream) = state.withLock { state in
            state.isOver = true
            return (state.answer.take()?.stream, state.stream.take())
        }
        unsent?.close()
        if let stream {
            core.unwatch(connection)
            core.forget(stream: stream.number)
            stream.body.close()
        }
        connection.chunked.withLock { $0 = nil }
        leave()
        core.shares.returnBody(heldBytes, of: .source(connection.source))
        core.shares.returnAnswer(answerBytes, of: admission.party)
        connection.enter(.waiting)
    }

    private func receiveHead(_ handle: ConnectionHandle, method: String, version: String) -> MHD_Result {
        let head = FieldReader(handle, version: version)
        request.fields = head.fields
        let hasBody = head.isChunked || (head.contentLength ?? 0) > 0
        if let known = HTTPRequest.Method(method) { request.method = known }
        if let fault = HTTPRequest.Method(method) == nil ? "a method that is no token" : head.fault {
            return refuse(handle, .malformed(fault), unread: true)
        }
        guard target.isValid else { return refuse(handle, .malformed("a bad request target"), unread: true) }
        guard head.size + target.size <= core.options.maxHeaderBytes else {
            return refuse(handle, .headTooLarge(limit: core.options.maxHeaderBytes), unread: true)
        }
        guard head.contentLength ?? 0 <= UInt64(core.options.maxBodyBytes) else {
            return refuse(handle, .bodyTooLarge(limit: core.options.maxBodyBytes), unread: true)
        }
        if hasBody, let obstacle = core.obstacle { return refuse(handle, obstacle, unread: true) }
        if head.isChunked { connection.chunked.withLock { $0 = self } }
        contentLength = Int(head.contentLength ?? 0)
        isChunked = head.isChunked
        return .YES
    }

    /// Takes a piece of the body. Over the limit it is discarded; at about twice the limit the connection is closed.
    private func receive(_ data: UnsafeRawBufferPointer) -> MHD_Result {
        bodyCount += data.count
        let limit = core.options.maxBodyBytes
        if bodyCount <= limit, bodyRefusal == nil {
            // An array that grows without a known final size may reserve twice its contents.
            let cost = isChunked ? 2 * data.count : data.count
            bodyRefusal = core.shares.takeBody(cost, of: .source(connection.source), having: heldBytes)
            if bodyRefusal == nil {
                if heldBytes == 0, !isChunked { request.body.reserveCapacity(contentLength) }
                heldBytes += cost
                unsafe request.body.append(contentsOf: data)
            }
        }
        if bodyCount > limit || bodyRefusal != nil { request.body = [] }
        return bodyCount <= limit + max(limit, 65_536) ? .YES : .NO
    }

    /// Passes the complete request to the handler. A response without waiting is sent at once, on this thread.
    private func start(_ handle: ConnectionHandle) -> MHD_Result {
        guard bodyCount <= core.options.maxBodyBytes else {
            return refuse(handle, .bodyTooLarge(limit: core.options.maxBodyBytes), unread: false)
        }
        if let obstacle = bodyRefusal ?? core.obstacle { return refuse(handle, obstacle, unread: false) }
        if core.options.tls != nil, let credentials = core.credentials.withLock({ $0 }), let session = handle.session {
            request.certificate = connection.certificate(of: session, under: credentials, at: core.options.now())
        }
        admission = core.handler.admission(of: request)
        if let refusal = core.shares.enter(admission) { return refuse(handle, refusal, unread: false) }
        state.withLock { $0.isAdmitted = true }
        connection.enter(.answering)
        // Handle urgent requests before ordinary ones.
        let task = Task.immediate(priority: admission.lane == .ordinary ? .medium : .high) { [self, request] in
            offer(await core.handler.respond(to: request))
        }
        if let answer = state.withLock({ $0.answer.take() }) { return send(answer, on: handle) }
        return park(handle, task)
    }

    private func park(_ handle: ConnectionHandle, _ task: Task<Void, Never>) -> MHD_Result {
        deadline = .now + core.options.exchangeDeadline
        let parked = core.park(self) { number in
            state.withLock { state in
                guard state.answer == nil else { return false }
                handle.suspend()
                core.watch(connection, number)
                state.suspended = handle
                state.task = task
                state.number = number
                return true
            }
        }
        if parked { return .YES }
        if let answer = state.withLock({ $0.answer.take() }) { return send(answer, on: handle) }
        state.withLock { $0.isOver = true }
        task.cancel()
        return refuse(handle, .shuttingDown, unread: false)
    }

    /// A chunk's size and extensions are longer than the connection's memory.
    func refuseChunk(_ handle: ConnectionHandle) -> MHD_Result {
        refuse(handle, .malformed("a chunk's size and extensions are too long"), unread: true)
    }

    private func resumed(_ handle: ConnectionHandle) -> MHD_Result {
        guard let answer = state.withLock({ $0.answer.take() }) else { return .NO }
        return send(answer, on: handle)
    }

    private func refuse(_ handle: ConnectionHandle, _ refusal: Refusal, unread: Bool) -> MHD_Result {
        stage = .answering
        if unread { connection.lingers = true }
        return send(core.refusal(refusal, of: request), on: handle)
    }

    private func send(_ answer: Response, on handle: ConnectionHandle) -> MHD_Result {
        if let stream = answer.stream { return send(answer, stream, on: handle) }
        connection.enter(.sending)
        if let refusal = core.shares.takeAnswer(answer.body.count, of: admission.party) {
            return core.send(core.refusal(refusal, of: request), on: handle, connection)
        }
        answerBytes = answer.body.count
        return core.send(answer, on: handle, connection)
    }

    private func send(_ answer: Response, _ stream: ResponseStream, on handle: ConnectionHandle) -> MHD_Result {
        guard let number = core.add(stream: self) else {
            stream.close()
            return refuse(handle, .shuttingDown, unread: false)
        }
        connection.enter(.streaming)
        state.withLock { $0.stream = (stream, number) }
        core.watch(connection, number)
        // Added before the stream is noted, it may have missed the server's end.
        if core.isDraining { stream.finish() }
        let isHead = request.method == .head
        // Nobody asks for it any more, and a stream may be open for days.
        state.withLock { _ in request = Request(method: .get, path: "", source: connection.source) }
        return core.send(answer, stream, on: handle, connection, toHead: isHead)
    }

    // MARK: From any thread

    /// Ends the stream that is being sent: after what was given to it, or at once.
    func endStream(atOnce: Bool) {
        guard let stream = state.withLock({ $0.stream?.body }) else { return }
        if atOnce { stream.close() } else { stream.finish() }
    }

    /// Takes the response, unless another came first, and resumes the connection if it is suspended.
    private func offer(_ answer: Response) {
        let parked = state.withLock { state -> UInt64? in
            guard !state.isOver else {
                answer.stream?.close()
                return nil
            }
            state.isOver = true
            state.answer = answer
            guard let handle = state.suspended.take() else { return nil }
            state.task = nil
            // Inside the lock: when another thread finds `suspended` empty, the connection must have been resumed.
            core.unwatch(connection)
            handle.resume()
            return state.number
        }
        if let parked { core.unpark(parked) }
        if answer.stream == nil { leave() }
    }

    /// Gives the place of its party back, once.
    private func leave() {
        let wasAdmitted = state.withLock { state in
            defer { state.isAdmitted = false }
            return state.isAdmitted
        }
        if wasAdmitted { core.shares.leave(admission) }
    }

    /// Answers with `refusal` in place of the handler, and cancels the handler. Has no effect if there is a response.
    func cut(_ refusal: Refusal) {
        guard let (task, request) = state.withLock({ state in state.task.map { ($0, self.request) } }) else { return }
        offer(core.refusal(refusal, of: request))
        task.cancel()
    }
}
