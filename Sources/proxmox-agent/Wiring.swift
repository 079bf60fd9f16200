import AgentAPI
import AgentAudit
import AgentMCP
import AgentModel
import AgentPolicy
import AgentService
import AgentStorage
import CurlHTTP
import FoundationEssentials
import HTTPMessage
import Logging
import Metrics
import MicroHTTPD
import PVESimulator
import ProxmoxVE
import Synchronization
import SystemFile
import SystemPackage

/// The assembled agent: everything that `serve` runs, built once from the configuration.
final class Agent: Sendable {
    let config: AgentConfig
    let log: Logger
    let store: any StateStore
    let audit: FileAuditSink
    let service: ControlPlane
    let server: HTTPServer
    private let handler: AgentHandler
    let authenticator: Authenticator
    private let upstreams: PVEConnections
    let noticeWays: NoticeWays
    private let witnesses: WitnessConnections
    private let failures: AuthFailures
    let figures: AgentFigures
    /// The configuration that was last read and valid.
    let current: Mutex<AgentConfig>

    /// Opens the audit log, starts the built-in simulators and listens.
    ///
    /// `inheriting` is a listening socket that replaces the configured address. `accessLog` gets a line for each
    /// answered request; if it is `nil`, `log` does. `now` is the clock by which plans expire.
    ///
    /// - Throws: ``StartError`` with one line that says what prevents the start and what to do.
    init(
        _ config: AgentConfig, log: Logger, inheriting descriptor: Int32? = nil, accessLog: (any AccessLog)? = nil,
        now: @escaping @Sendable () -> Date = { Date() }, reached: @escaping @Sendable (Milestone) -> Void = { _ in }
    ) async throws(StartError) {
        self.config = config
        self.log = log
        current = Mutex(config)
        let figures = AgentFigures(config)
        self.figures = figures
        do throws(StoreError) {
            store = try config.state.open(committed: { figures.storeCommit.add($0) })
        } catch {
            throw StartError(error.detail, isTemporary: error.isTemporary)
        }
        let installation = config.installation(id: store.installation)
        let (mark, signed): (AuditMark?, SignedCheckpoint?)
        do throws(StoreError) {
            (mark, signed) = try await store.read { ($0.mark, $0.checkpoint(of: installation.origin)) }
        } catch {
            throw StartError(error.detail, isTemporary: error.isTemporary)
        }
        guard let checkpointKey = AgentConfig.checkpointKey(store.key, installation.origin) else {
            throw StartError("audit_origin \(installation.origin): cannot be the name of a key")
        }
        // Before the log is opened: once it is open, its head must get stored.
        upstreams = try PVEConnections(config, countedBy: figures, log: log)
        witnesses = try WitnessConnections(config.witnesses)
        do throws(AuditError) {
            audit = try FileAuditSink(
                path: config.auditLogPath, of: config.agentName, continuing: mark?.head, tree: mark?.tree,
                signed: signed?.head, synced: { figures.auditSync.add($0) })
        } catch {
            throw StartError("\(error)")
        }
        let throttle = Throttle(config.serving.rates, isShared: config.agentName != nil)
        // A state in PostgreSQL has its disk elsewhere.
        let statePath: String? = if case .file(let path) = config.state { path } else { nil }
        let disk = DiskFloor(
            auditLog: config.auditLogPath, state: statePath, floor: config.serving.minFreeBytes)
        let ports = Ports(
            audit: audit, store: store, log: log, now: now,
            frozenByFile: { [path = config.freezePath] now in path.flatMap { freeze(standingFor: $0, now) } },
            shortage: { disk.shortage() }, wrote: { throttle.wrote($1, for: $0) }, reached: reached,
            observed: { figures.count($0) }, installation: installation, agent: config.agentName,
            leases: store.leases, budgets: throttle,
            version: Version.text,
            checkpoints: CheckpointPorts(key: checkpointKey, witnesses: witnesses.all, newest: signed))
        service = ControlPlane(
            managedEnvironments: upstreams.managedEnvironments, ports: ports, rules: config.rules, key: store.key,
            limits: config.limits)
        let browsers = BrowserRules(
            listening: config.listen, publicURL: ports.installation.publicURL, hasTLS: config.tls != nil)
        authenticator = Authenticator(
            config.credentials, scrapeToken: config.scrapeToken,
            sessions: config.hasConsole
                ? Sessions(
                    browsers, in: service.signIns, key: service.signIns.isShared ? store.key : .random(), now: now)
                : nil)
        do throws(ServiceError) { try await service.recover() } catch {
            throw StartError("what was under way cannot be settled: \(error.detail)")
        }
        await service.leases.prepare()
        noticeWays = try NoticeWays()
        do throws(ServiceError) {
            try await service.notices.serve(config, through: noticeWays, of: service.installation)
        } catch {
            throw StartError("notifications cannot be begun: \(error.detail)")
        }
        if !config.notify.isEmpty { log.info("notifications go to \(config.notifyNames)") }
        // On a full disk the agent could only refuse everything, so it does not start.
        do throws(ServiceError) { try await service.noteHead() } catch { throw StartError(error.detail) }
        audit.serve()
        failures = AuthFailures(delay: config.serving.authDelay) { [audit] events in
            await Self.record(events, in: audit, log)
        }
        handler = AgentHandler(
            service: service, authenticator: authenticator, accessLog: accessLog ?? LoggedAccess(log: log),
            failures: failures, throttle: throttle, meter: AgentMeter(figures, service, store, audit, disk),
            and: config.otherFaces(of: service) + (config.hasConsole ? Route.console(browsers) : []))
        do throws(ServerError) {
            let options = config.serverOptions(log)
            server =
                if let descriptor {
                    try HTTPServer(inheriting: descriptor, options: options, handler: handler)
                } else {
                    try HTTPServer(listening: config.listen, options: options, handler: handler)
                }
        } catch {
            throw StartError("\(error)")
        }
    }

    var events: EventStreams { handler.events }

    /// Stops accepting, ends event streams, finishes what runs within `limit`, leaves the rest to the next start, and
    /// closes log and state.
    func shutdown(within limit: Duration) async {
        let deadline = ContinuousClock.now + limit
        failures.stop()
        async let drained: Void = service.drain(within: limit * 0.8)
        // A database that does not come back in time must not hold up the rest: the log has to be closed.
        let impatience = Task { [store] in
            guard (try? await Task.sleep(for: limit * 0.9)) != nil else { return }
            store.stopWaiting()
        }
        defer { impatience.cancel() }
        await server.shutdown(within: limit)
        await drained
        await service.leases.stop()
        await service.notices.stop()
        await noticeWays.shutdown()
        await upstreams.shutdown(within: max(.zero, deadline - .now))
        await failures.drain()
        await service.events.finish()
        do throws(AuditError) { try await audit.close() } catch { log.error("\(error)") }
        await service.checkpoints.finish(within: min(.seconds(2), max(.zero, deadline - .now)))
        await witnesses.shutdown()
        do throws(ServiceError) { try await service.noteHead() } catch { log.error("\(error.detail)") }
        await store.close()
    }

    /// Reopens the audit log, for example after a rotation, with one record: `event`, if given. Returns whether that is
    /// recorded.
    @discardableResult
    func reopen(recording event: AuditEvent? = nil) async -> Bool {
        do throws(AuditError) {
            let head = try await audit.reopen(recording: event)
            log.notice("audit log opened anew", metadata: ["seq": "\(head.seq)"])
            await service.checkpoints.make()
            return true
        } catch {
            log.error("audit log cannot be opened anew: \(error)")
        }
        // A healthy old file stays in use.
        guard let event, audit.fault == nil else { return false }
        do throws(AuditError) { try await audit.append(event, .now) } catch { return false }
        return true
    }

    /// Returns once the service and the HTTP server have responded; if it does not return, the process hangs. Does not
    /// use disk or network, so a full disk or many clients do not end the process.
    func prove() async {
        _ = try? service.checkOpen()
        await server.pulse()
    }

    /// Probes every environment concurrently, and logs changes.
    func probe() async {
        await withTaskGroup(of: Void.self) { group in
            for managed in service.access.managedEnvironments {
                group.addTask {
                    let before = managed.probe
                    let probe = await managed.look { Date() }
                    guard before?.error != probe.error || before == nil else { return }
                    if before == nil || (before?.error == nil) != (probe.error == nil) {
                        self.service.events.tell(AgentEvent(managed.settings.name, probe))
                    }
                    if let error = probe.error {
                        self.log.warning("environment does not answer", metadata: ["error": "\(error)"])
                    } else {
                        self.log.info(
                            "environment answers",
                            metadata: ["environment": "\(managed.settings.name)", "pve": "\(probe.version ?? "")"])
                    }
                }
            }
        }
    }

    /// Sends a sign of life on every event stream.
    func beat() async { await events.beat() }

    /// Logs environments that turn out to be one cluster under several names.
    func reportSameClusters() async {
        let reports = await withTaskGroup(of: EnvironmentReport.self) { group in
            for managed in service.access.managedEnvironments {
                group.addTask { await EnvironmentReport(looking: managed) }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        for line in EnvironmentReport.sameClusters(reports) { log.warning("\(line)") }
    }

    /// A one-time code for a principal, to sign in at the console with; `nil` if there is no such principal.
    func makeSignInCode(for id: String) async throws(ServiceError) -> Secret? {
        try await authenticator.makeCode(for: id)
    }

    /// Ends the event streams of sessions that have ended, here or at another agent.
    func endStreamsOfEndedSessions() async { await handler.endStreamsOfEndedSessions() }

    /// Regular tasks: ends sessions that are due with their streams, voids records without transitions, expires plans that are due, removes old records, and records
    /// the failed authentications of the last minute.
    func housekeeping() async {
        await endStreamsOfEndedSessions()
        do throws(ServiceError) {
            try await authenticator.tidySessions()
            try await service.voidOrphans()
            try await service.workflow.expireDue()
            try await service.workflow.prune()
            await service.applies.applyScheduled()
            try await service.notices.check(auditFault: audit.distrust)
        } catch {
            log.error("regular work on the state failed: \(error.detail)")
        }
        await failures.flush()
    }

    private static func record(_ events: [AuditEvent], in audit: FileAuditSink, _ log: Logger) async {
        for event in events {
            do throws(AuditError) { try await audit.append(event, .soon) } catch {
                log.error("\(error)")
            }
        }
    }
}

/// The freeze of the freeze file while it exists; also if that cannot be determined.
private func freeze(standingFor path: String, _ now: Date) -> Freeze? {
    let isThere: Bool
    do throws(Errno) { isThere = try PrivateFile.stat(path) != nil } catch { isThere = error != .notDirectory }
    guard isThere else { return nil }
    return Freeze(
        id: nil, environment: nil, reason: "the file \(path) is there; it ends when that is removed", by: "file",
        party: "file", setAt: now, endsAt: nil)
}

/// Why the agent cannot start.
struct StartError: Error, CustomStringConvertible {
    let description: String
    /// Whether another start a little later may do.
    let isTemporary: Bool

    init(_ description: String, isTemporary: Bool = false) {
        self.description = description
        self.isTemporary = isTemporary
    }
}

extension AgentConfig {
    /// The routes beside those of REST.
    fileprivate func otherFaces(of service: ControlPlane) -> [Route] {
        guard mcp.isEnabled else { return [] }
        let surroundings = Surroundings(listening: listen, hosts: mcp.allowedHosts, origins: mcp.allowedOrigins)
        let endpoint = MCPEndpoint(
            service: service, surroundings: surroundings, version: Version.text,
            retentionSeconds: limits.retentionSeconds)
        return [endpoint.route]
    }

    /// The HTTP server's limits. An exchange may take as long as the longest wait and a slow PVE together.
    func serverOptions(_ log: Logger) -> HTTPServer.Options {
        var options = HTTPServer.Options()
        options.maxBodyBytes = serving.maxBodyBytes
        options.maxHeaderBytes = serving.maxHeaderBytes
        options.maxConnections = serving.maxConnections
        // Other addresses can always connect, and one caller's requests leave room for others of its address.
        options.maxConnectionsOfSource = serving.maxConnections * 3 / 4
        options.maxExchanges = min(512, serving.maxConnections / 2)
        options.maxStreams = min(serving.maxStreams, serving.maxConnections / 2)
        options.maxStreamsOfParty = serving.streamsOfCaller
        options.maxExchangesOfParty = min(serving.concurrentOfCaller, max(2, serving.maxConnections / 8))
        options.maxBufferedBytes = serving.pendingBodyBytes
        options.maxBufferedBytesOfParty = serving.pendingBodyBytes / 4
        options.maxAnswerBytes = serving.pendingAnswerBytes
        options.maxAnswerBytesOfParty = serving.pendingAnswerBytes / 2
        options.idleTimeout = serving.idleTimeout
        options.requestTimeout = serving.requestTimeout
        options.sendTimeout = serving.sendTimeout
        // A client that may be silent for that long must not count as stalled.
        options.transferTimeout = max(options.transferTimeout, serving.idleTimeout)
        if let threads = serving.threads { options.threads = threads }
        let slowest = environments.map(\.timeout).max() ?? .seconds(30)
        options.exchangeDeadline = .seconds(70) + slowest * 2
        options.tls = tls
        options.log = { log.warning("libmicrohttpd: \($0)") }
        return options
    }
}
