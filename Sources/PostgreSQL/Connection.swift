internal import CPostgreSQL
internal import Glibc

/// Owner of a `PGconn *`, for one thread at a time. No call waits longer than the limits that it is given.
@safe struct Connection: ~Copyable {
    private let raw: OpaquePointer
    private let library: Library
    private var pq: cpq_functions { library.functions }

    /// `PQconnectStartParams`: reads the address and what it refers to, and sends nothing that is secret.
    private init(_ library: Library, _ parameters: [(String, String)]) throws(PostgreSQLError) {
        let keys = unsafe parameters.map { unsafe strdup($0.0) } + [nil]
        let values = unsafe parameters.map { unsafe strdup($0.1) } + [nil]
        defer { unsafe (keys + values).forEach { unsafe free($0) } }
        // SAFETY: both lists end with NULL and are freed after the call, which copies them.
        let started = unsafe keys.map { unsafe UnsafePointer($0) }.withUnsafeBufferPointer { keys in
            unsafe values.map { unsafe UnsafePointer($0) }.withUnsafeBufferPointer { values in
                unsafe library.functions.PQconnectStartParams(keys.baseAddress, values.baseAddress, 1)
            }
        }
        guard let connection = unsafe started else {
            throw PostgreSQLError(.other, "PQconnectStartParams", "out of memory")
        }
        unsafe raw = connection
        self.library = library
        unsafe library.ignoreNotices(on: connection)
        // The only way to learn the SQLSTATE of a refusal.
        _ = unsafe pq.PQsetErrorVerbosity(raw, PQERRORS_VERBOSE)
    }

    deinit { unsafe pq.PQfinish(raw) }

    /// Connects, with TLS that proves the server's name unless that is this machine.
    ///
    /// The address decides what libpq is asked for, but what libpq makes of it and of services and variables decides
    /// whether the connection is begun.
    static func open(_ library: Library, _ settings: Session.Settings) throws(PostgreSQLError) -> Connection {
        var parameters = settings.parameters
        let first = try Connection(library, parameters)
        let found = first.options
        guard !Self.isLocal(found) else {
            try first.finish(settings)
            return first
        }
        switch found["sslmode"] {
        case "verify-full": break
        // What libpq takes if nothing is said.
        case "prefer", nil: parameters.append(("sslmode", "verify-full"))
        case let other?:
            throw PostgreSQLError(
                .unprotected, "sslmode=\(other)", "another host is reached with sslmode=verify-full only")
        }
        if found["sslrootcert"] == nil, unsafe access(Self.authorities, R_OK) == 0 {
            parameters.append(("sslrootcert", Self.authorities))
        }
        let second = try Connection(library, parameters)
        try second.finish(settings)
        return second
    }

    /// The certificates of the authorities that Debian trusts.
    private static let authorities = "/etc/ssl/certs/ca-certificates.crt"

    /// What libpq made of the address, of the service's file, and of the environment (`PQconninfo`).
    private var options: [String: String] {
        guard let list = unsafe pq.PQconninfo(raw) else { return [:] }
        defer { unsafe pq.PQconninfoFree(list) }
        var (found, at): ([String: String], UnsafeMutablePointer<PQconninfoOption>) = unsafe ([:], list)
        while let key = unsafe at.pointee.keyword {
            if let value = unsafe at.pointee.val, unsafe value.pointee != 0 {
                unsafe found[String(cString: key)] = unsafe String(cString: value)
            }
            unsafe at += 1
        }
        return found
    }

    /// Whether every host is this machine: loopback or a Unix socket. Where an entry of `hostaddr` is empty, libpq takes
    /// that of `host`, so all entries of both have to be.
    static func isLocal(_ options: [String: String]) -> Bool {
        ["hostaddr", "host"].allSatisfy { key in
            (options[key] ?? "").split(separator: ",").allSatisfy { Session.isLocal(String($0)) }
        }
    }

    /// `PQconnectPoll` until the connection stands.
    private func finish(_ settings: Session.Settings) throws(PostgreSQLError) {
        guard !isBroken else {
            // The name of the host is looked up, and a Unix socket opened, at once.
            let isTried = ["connection to server", "could not translate host name"].contains { text.hasPrefix($0) }
            throw PostgreSQLError(
                isTried ? .unreachable : .address, "PQconnectStartParams", isTried ? text : Self.withoutQuotes(text))
        }
        let deadline = ContinuousClock.now + settings.connectTimeout
        var next = PGRES_POLLING_WRITING
        while next != PGRES_POLLING_OK {
            let event = next == PGRES_POLLING_READING ? POLLIN : POLLOUT
            guard next != PGRES_POLLING_FAILED else { throw refusal }
            guard try wait(for: Int16(event), until: deadline) else {
                throw PostgreSQLError(.unreachable, "PQconnectPoll", "the server does not answer in time")
            }
            next = unsafe pq.PQconnectPoll(raw)
        }
        _ = unsafe pq.PQsetErrorVerbosity(raw, PQERRORS_DEFAULT)
        guard unsafe pq.PQsetnonblocking(raw, 1) == 0 else { throw PostgreSQLError(.lost, "PQsetnonblocking", text) }
    }

    /// Why no connection was made. The SQLSTATE stands in the text: `FATAL:  28P01: password …`.
    private var refusal: PostgreSQLError {
        let text = text
        let words = text.split(separator: ":").map { $0.drop { $0 == " " } }
        let isState: (Substring) -> Bool = { word in
            word.utf8.count == 5 && word.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) }
                && word.contains(where: \.isNumber)
        }
        if let state = words.dropFirst().first(where: isState) {
            let said = text.replacing("\(state): ", with: "", maxReplacements: 1)
            return PostgreSQLError(state: String(state), "PQconnectPoll", said)
        }
        let isTLS = ["SSL", "certificate", "TLS"].contains { text.contains($0) }
        let isLogin = text.contains("no password supplied")
        let isStandby = text.contains("hot standby")
        return PostgreSQLError(
            isStandby ? .readOnly : isTLS ? .tls : isLogin ? .login : .unreachable, "PQconnectPoll", text)
    }

    /// The first line of the last error (`PQerrorMessage`). Of an address it does not repeat what is not understood: it
    /// may be a password in the wrong place.
    private var text: String {
        let all = unsafe pq.PQerrorMessage(raw).map { unsafe String(cString: $0) } ?? ""
        let line = all.split(separator: "\n").first.map(String.init) ?? "no reason is known"
        guard let found = line.firstRange(of: "invalid ") else { return line }
        return line[..<found.lowerBound] + Self.withoutQuotes(line[found.lowerBound...])
    }

    private static func withoutQuotes(_ text: some StringProtocol) -> String {
        text.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
            .map { $0.offset.isMultiple(of: 2) ? $0.element : "…" }.joined(separator: "\"")
    }

    /// Waits for the socket (`poll`); false once the deadline has passed.
    private func wait(
        for events: Int16, until deadline: ContinuousClock.Instant
    ) throws(PostgreSQLError) -> Bool {
        while true {
            let left = max(.zero, ContinuousClock.now.duration(to: deadline)) / .milliseconds(1)
            var descriptor = pollfd(fd: unsafe pq.PQsocket(raw), events: events, revents: 0)
            let count = unsafe poll(&descriptor, 1, Int32(left.rounded(.up)))
            if count > 0 { return true }
            if count < 0, errno != EINTR {
                throw PostgreSQLError(.lost, "poll", unsafe String(cString: strerror(errno)))
            }
            if count == 0 { return false }
        }
    }
}

// MARK: - Statements

extension Connection {
    /// Sends what `send` queues and reads all of its results; `take` gets each row until it returns false.
    ///
    /// Throws the first error that the server reports, after everything it sent was read, or
    /// ``PostgreSQLError/Cause/lost`` if the connection broke or a wait took longer than `limit`.
    private func exchange(
        _ operation: String, _ limit: Duration, _ send: () -> Int32, readsRows: Bool = false,
        while take: ([Field]) -> Bool = { _ in true }
    ) throws(PostgreSQLError) {
        guard send() == 1 else { throw PostgreSQLError(.lost, operation, text) }
        try flush(operation, limit)
        var (failure, wantsMore): (PostgreSQLError?, Bool) = (nil, readsRows)
        while let result = try next(operation, limit) {
            switch result.status {
            case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: break
            case PGRES_TUPLES_OK, PGRES_SINGLE_TUPLE:
                for row in 0..<result.count where wantsMore && failure == nil {
                    if let fields = result.row(row) {
                        wantsMore = take(fields)
                    } else {
                        failure = PostgreSQLError(.other, operation, "a column has a type that is not read")
                    }
                }
            default:
                let error = result.error(operation)
                if failure == nil { failure = error ?? PostgreSQLError(.lost, operation, text) }
            }
        }
        if let failure { throw failure }
    }

    private func flush(_ operation: String, _ limit: Duration) throws(PostgreSQLError) {
        while true {
            let code = unsafe pq.PQflush(raw)
            if code == 0 { return }
            let deadline = ContinuousClock.now + limit
            guard code > 0 else { throw PostgreSQLError(.lost, operation, text) }
            guard try wait(for: Int16(POLLIN | POLLOUT), until: deadline) else { throw Self.silence(operation) }
            guard unsafe pq.PQconsumeInput(raw) == 1 else { throw PostgreSQLError(.lost, operation, text) }
        }
    }

    private func next(_ operation: String, _ limit: Duration) throws(PostgreSQLError) -> QueryResult? {
        while unsafe pq.PQisBusy(raw) == 1 {
            guard try wait(for: Int16(POLLIN), until: ContinuousClock.now + limit) else {
                throw Self.silence(operation)
            }
            guard unsafe pq.PQconsumeInput(raw) == 1 else { throw PostgreSQLError(.lost, operation, text) }
        }
        guard let result = unsafe pq.PQgetResult(raw) else { return nil }
        return unsafe QueryResult(result, library)
    }

    private static func silence(_ operation: String) -> PostgreSQLError {
        PostgreSQLError(.lost, operation, "the server does not answer in time")
    }

    /// Statements without values (`PQsendQuery`); their rows are not read.
    func execute(_ sql: String, within limit: Duration) throws(PostgreSQLError) {
        try exchange(sql.beginning, limit, { unsafe pq.PQsendQuery(raw, sql) })
    }

    func prepare(
        _ name: String, _ sql: String, _ types: [UInt32], within limit: Duration
    ) throws(PostgreSQLError) {
        try exchange(
            "PQsendPrepare \(sql.beginning)", limit,
            { unsafe pq.PQsendPrepare(raw, name, sql, Int32(types.count), types) })
    }

    /// Values and columns in binary form, rows one by one (`PQsendQueryPrepared`, `PQsetSingleRowMode`).
    func run(
        _ name: String, _ values: [Field], _ operation: String, within limit: Duration, while take: ([Field]) -> Bool
    ) throws(PostgreSQLError) {
        // One more byte, so that an empty value is not NULL.
        var (bytes, parts): ([UInt8], [Range<Int>?]) = ([], [])
        for value in values {
            let start = bytes.count
            let binary = value.binary
            bytes += binary ?? []
            parts.append(binary == nil ? nil : start..<bytes.count)
        }
        bytes.append(0)
        let lengths = parts.map { Int32(clamping: $0?.count ?? 0) }
        let formats = parts.map { _ in Int32(1) }
        try exchange(
            operation, limit,
            {
                unsafe bytes.withUnsafeBytes { bytes in
                    let pointers = unsafe parts.map { part in
                        unsafe part.flatMap { unsafe bytes.baseAddress?.advanced(by: $0.lowerBound) }?
                            .assumingMemoryBound(to: CChar.self)
                    }
                    let code = unsafe pq.PQsendQueryPrepared(
                        raw, name, Int32(values.count), pointers, lengths, formats, 1)
                    if code == 1 { _ = unsafe pq.PQsetSingleRowMode(raw) }
                    return code
                }
            }, readsRows: true, while: take)
    }
}

// MARK: - Notifications

extension Connection {
    /// Waits until there are some, or the `waker` is woken.
    func notifications(or waker: Waker) throws(PostgreSQLError) -> [String] {
        while true {
            // What came with an answer waits here already.
            let found = payloads()
            guard found.isEmpty else { return found }
            guard try waker.wait(for: unsafe pq.PQsocket(raw)) else { return [] }
            guard unsafe pq.PQconsumeInput(raw) == 1 else { throw PostgreSQLError(.lost, "LISTEN", text) }
        }
    }

    /// Takes those that were read (`PQnotifies`).
    private func payloads() -> [String] {
        var found: [String] = []
        while let notification = unsafe pq.PQnotifies(raw) {
            if let extra = unsafe notification.pointee.extra { unsafe found.append(String(cString: extra)) }
            unsafe pq.PQfreemem(notification)
        }
        return found
    }
}

extension Connection {
    /// Whether a transaction is open, also one that an error has made void (`PQtransactionStatus`).
    var isInTransaction: Bool { [PQTRANS_INTRANS, PQTRANS_INERROR].contains(unsafe pq.PQtransactionStatus(raw)) }
    var isFailed: Bool { unsafe pq.PQtransactionStatus(raw) == PQTRANS_INERROR }
    var isBroken: Bool { unsafe pq.PQstatus(raw) == CONNECTION_BAD }
    var isEncrypted: Bool { unsafe pq.PQsslInUse(raw) != 0 }
    var process: Int32 { unsafe pq.PQbackendPID(raw) }
    var version: Int32 { unsafe pq.PQserverVersion(raw) }
}

extension String {
    /// The first words of a statement, enough to identify it.
    var beginning: String { split(whereSeparator: \.isWhitespace).prefix(3).joined(separator: " ") }
}
