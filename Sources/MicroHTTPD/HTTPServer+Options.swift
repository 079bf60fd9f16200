private import Glibc

extension HTTPServer {
    /// The limits of a server. Values out of range are moved to the nearest bound.
    package struct Options: Sendable {
        /// Threads that read, call handlers and write; 1...16, the number of cores by default.
        package var threads = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        /// The largest request body, in bytes.
        package var maxBodyBytes = 1 << 20
        /// The memory for all request bodies together, in bytes; at least twice the largest body.
        package var maxBufferedBytes = 64 << 20
        /// The same for one source; at least one of the largest.
        package var maxBufferedBytesOfParty = Int.max
        /// The memory for all responses that are not sent yet, in bytes. A single one may be larger.
        package var maxAnswerBytes = Int.max
        /// The same for one party.
        package var maxAnswerBytesOfParty = Int.max
        /// The largest head (request line and fields), in bytes; libmicrohttpd answers 431 to a larger one. ≥ 4096.
        package var maxHeaderBytes = 16_384
        /// Open connections, also limited by the process's file descriptors. One more closes idle connections of the
        /// source with the most, or itself if none is idle.
        package var maxConnections = 1024
        /// The same for one source.
        package var maxConnectionsOfSource = Int.max
        /// How long a connection may be silent, between requests or in one. Whole seconds, ≥ 1.
        package var idleTimeout: Duration = .seconds(60)
        /// How long a request may take to arrive, from its first line on, even if bytes keep coming.
        package var requestTimeout: Duration = .seconds(30)
        /// How long a response may wait for a client that reads nothing.
        package var sendTimeout: Duration = .seconds(10)
        /// Bytes a second that a client must read on average, after ``sendTimeout``.
        package var minReadRate = 16_384
        /// The longest time for sending a response, and for a connection to send the first line of a request.
        package var transferTimeout: Duration = .seconds(120)
        /// How long a handler may take for its response.
        package var exchangeDeadline: Duration = .seconds(60)
        /// Exchanges that may wait for their handlers at the same time, in the ordinary lane.
        package var maxExchanges = 512
        /// The same for one party.
        package var maxExchangesOfParty = Int.max
        /// The same in the urgent lane and in that of health checks; one party may use a quarter.
        package var reservedExchanges = 64
        /// Streams that may be open at the same time, with exchanges of their lane that may become one.
        package var maxStreams = 2048
        /// The same for one party.
        package var maxStreamsOfParty = Int.max
        /// Credentials to serve TLS 1.2 and 1.3 instead of plain TCP; ``HTTPServer/replace(_:)`` changes them.
        package var tls: TLSCredentials?
        /// The current time in seconds since 1970, for the expiry of connected clients' certificates.
        package var now: @Sendable () -> Int = { time(nil) }
        /// Gets libmicrohttpd's messages, one line at a time, from any thread. Must not block.
        package var log: @Sendable (String) -> Void = { _ in }

        package init() {}
    }
}

extension HTTPServer.Options {
    /// The same options with every value within its bounds.
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
        options.maxStreams = max(maxStreams, 1)
        options.maxStreamsOfParty = max(maxStreamsOfParty, 1)
        options.maxConnectionsOfSource = max(maxConnectionsOfSource, 1)
        return options
    }

    /// The connections that the process's limit of descriptors allows, with an eighth reserved for other uses.
    private static var descriptorLimit: Int {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        let soft = Int(clamping: limit.rlim_cur)
        return max(soft - max(soft / 8, 64), 16)
    }
}
