private import Glibc

extension HTTPServer {
    /// The bounds of a server. Values out of range are moved to the nearest bound.
    package struct Options: Sendable {
        /// Threads that read, call handlers and write; 1...16, the number of cores by default.
        package var threads = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        /// The largest request body, in bytes.
        package var maxBodyBytes = 1 << 20
        /// All request bodies that are held at the same time, in bytes; at least twice the largest one.
        package var maxBufferedBytes = 64 << 20
        /// Those from one source; at least one of the largest.
        package var maxBufferedBytesOfParty = Int.max
        /// All answers that have not left yet, in bytes. A single one may be larger.
        package var maxAnswerBytes = Int.max
        /// Those to one party.
        package var maxAnswerBytesOfParty = Int.max
        /// The largest head (request line and fields), in bytes; beyond it libmicrohttpd answers 431 by itself. ≥ 4096.
        package var maxHeaderBytes = 16_384
        /// Open connections; also kept below the process's limit of file descriptors. One more than that closes the
        /// connection that has been idle for longest, or itself where none is idle.
        package var maxConnections = 1024
        /// Those from one source, of which the same holds.
        package var maxConnectionsOfSource = Int.max
        /// How long a connection may be silent, between requests or within one. Whole seconds, ≥ 1.
        package var idleTimeout: Duration = .seconds(60)
        /// How long a request may take to arrive, from its first line on, however busy the line looks.
        package var requestTimeout: Duration = .seconds(30)
        /// How long an answer may wait for a client that reads nothing.
        package var sendTimeout: Duration = .seconds(10)
        /// Bytes a second that a client has to read on average, from ``sendTimeout`` on.
        package var minReadRate = 16_384
        /// How long an answer may take to leave, and a connection to send the first line of a request, in any case.
        package var transferTimeout: Duration = .seconds(120)
        /// How long a handler may take for its answer.
        package var exchangeDeadline: Duration = .seconds(60)
        /// Exchanges that may wait for their handlers at the same time in the ordinary lane.
        package var maxExchanges = 512
        /// Those of one party.
        package var maxExchangesOfParty = Int.max
        /// Those in each of the other lanes; a quarter of them for one party.
        package var reservedExchanges = 64
        /// Serve TLS 1.2 and 1.3 with these instead of plain TCP; ``HTTPServer/replace(_:)`` takes others.
        package var tls: TLSCredentials?
        /// Seconds since 1970; by it the certificate of a client that is connected runs out.
        package var now: @Sendable () -> Int = { time(nil) }
        /// What libmicrohttpd has to say, one line at a time, from any thread. Must not block.
        package var log: @Sendable (String) -> Void = { _ in }

        package init() {}
    }
}

extension HTTPServer.Options {
    /// The same options with every value in its bounds.
    var normalized: Self {
        var options = self
        options.threads = min(max(threads, 1), 16)
        options.maxBodyBytes = max(maxBodyBytes, 0)
        options.maxBufferedBytes = max(maxBufferedBytes, 2 * options.maxBodyBytes)
        options.maxBufferedBytesOfParty = max(maxBufferedBytesOfParty, options.maxBodyBytes)
        options.maxHeaderBytes = min(max(maxHeaderBytes, 4096), 1 << 20)
        options.maxConnections = min(max(maxConnections, 1), Self.descriptorLimit)
        options.idleTimeout = max(idleTimeout, .seconds(1))
        options.transferTimeout = max(transferTimeout, .seconds(1))
        options.requestTimeout = max(requestTimeout, .milliseconds(100))
        options.sendTimeout = max(sendTimeout, .milliseconds(100))
        options.exchangeDeadline = max(exchangeDeadline, .milliseconds(1))
        options.maxExchanges = max(maxExchanges, 1)
        options.maxExchangesOfParty = max(maxExchangesOfParty, 1)
        options.maxConnectionsOfSource = max(maxConnectionsOfSource, 1)
        return options
    }

    /// The connections that the process's limit of descriptors has room for, an eighth set aside for everything else.
    private static var descriptorLimit: Int {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        let soft = Int(clamping: limit.rlim_cur)
        return max(soft - max(soft / 8, 64), 16)
    }
}
