import AgentAPI
import AgentAudit
import AgentModel
import AgentService
import AgentStorage
import CurlHTTP
import FoundationEssentials
import HTTPMessage
import Logging
import MicroHTTPD
import PVESimulator
import ProxmoxVE
import Synchronization

/// The agent put together: everything that `serve` runs, built once from the configuration.
final class Agent: Sendable {
    let config: AgentConfig
    let log: Logger
    let audit: FileAuditSink
    let service: ActionService
    let server: HTTPServer
    private let upstreams: Upstreams
    private let failures: Mutex<AuthFailureTally>

    /// Opens the audit log, starts the built-in simulators and listens.
    ///
    /// `accessLog` takes a line for each answered request, `log` where it is `nil`; `now` is the clock by which plans
    /// expire.
    ///
    /// - Throws: ``StartError`` with one line that says what is in the way and what mends it.
    init(
        _ config: AgentConfig, log: Logger, accessLog: (any AccessLog)? = nil,
        now: @escaping @Sendable () -> Date = { Date() }
    ) throws(StartError) {
        self.config = config
        self.log = log
        do throws(AuditError) { audit = try FileAuditSink(path: config.auditLogPath) } catch {
            throw StartError("\(error)")
        }
        upstreams = try Upstreams(config, log: log)
        let ports = Ports(audit: audit, store: MemoryPlanStore(), log: log, now: now)
        service = ActionService(sites: upstreams.sites, ports: ports, key: .random(), limits: config.limits)
        let tally = Tally()
        failures = Mutex(AuthFailureTally())
        let handler = AgentHandler(
            service: service, authenticator: Authenticator(token: config.token),
            accessLog: accessLog ?? LoggedAccess(log: log),
            onAuthFailure: { tally.count($0) })
        do throws(ServerError) {
            server = try HTTPServer(listening: config.listen, options: config.serverOptions(log), handler: handler)
        } catch {
            throw StartError("\(error)")
        }
        tally.onCount = { [weak self] peer in self?.noteAuthFailure(of: peer) }
    }

    /// Stops accepting, finishes what runs within `limit`, records the rest, and closes the log.
    func shutdown(within limit: Duration) async {
        let deadline = ContinuousClock.now + limit
        async let drained: Void = service.drain(within: limit * 0.8)
        await server.shutdown(within: limit)
        await drained
        await upstreams.shutdown(within: max(.zero, deadline - .now))
        await record(failures.withLock { $0.drain() })
        do throws(AuditError) { try await audit.close() } catch { log.error("\(error)") }
    }

    /// Opens the audit log anew, after a rotation (SIGHUP).
    func reopen() async {
        do throws(AuditError) {
            let head = try await audit.reopen()
            log.notice("audit log opened anew", metadata: ["seq": "\(head.seq)"])
        } catch {
            log.error("audit log cannot be opened anew: \(error)")
        }
    }

    /// Looks at every environment, all at the same time, and says what is new.
    func probe() async {
        await withTaskGroup(of: Void.self) { group in
            for site in service.sites {
                group.addTask {
                    let before = site.probe
                    let probe = await site.look { Date() }
                    guard before?.error != probe.error || before == nil else { return }
                    if let error = probe.error {
                        self.log.warning("environment does not answer", metadata: ["error": "\(error)"])
                    } else {
                        self.log.info(
                            "environment answers",
                            metadata: ["environment": "\(site.facts.name)", "pve": "\(probe.version ?? "")"])
                    }
                }
            }
        }
    }

    /// Reports environments that turn out to be one cluster under several names.
    func reportSameClusters() async {
        let reports = await withTaskGroup(of: EnvironmentReport.self) { group in
            for site in service.sites { group.addTask { await EnvironmentReport(looking: site) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        for line in EnvironmentReport.sameClusters(reports) { log.warning("\(line)") }
    }

    /// Small things that come round: plans whose time has come, failed authentications of the last minute.
    func housekeeping() async {
        do throws(ServiceError) {
            try await service.expireDue()
            try await service.prune()
        } catch {
            log.error("plans cannot be expired: \(error.detail)")
        }
        await record(failures.withLock { $0.flush(at: Date()) })
    }

    private func noteAuthFailure(of peer: String) {
        // The port changes with each connection; the address is the source.
        let source = peer.lastIndex(of: ":").map { String(peer[..<$0]) } ?? peer
        let due = failures.withLock { $0.count(source: source, at: Date()) }
        if !due.isEmpty { Task { await record(due) } }
    }

    private func record(_ events: [AuditEvent]) async {
        for event in events {
            do throws(AuditError) { try await audit.append(event, .soon) } catch {
                log.error("\(error)")
            }
        }
    }
}

/// Why the agent does not start.
struct StartError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Hands failed authentications to an agent that is not yet there when the handler is built.
private final class Tally: Sendable {
    private let action = Mutex<(@Sendable (String) -> Void)?>(nil)

    var onCount: (@Sendable (String) -> Void)? {
        get { action.withLock { $0 } }
        set { action.withLock { $0 = newValue } }
    }

    func count(_ peer: String) { onCount?(peer) }
}

extension AgentConfig {
    /// The HTTP server's bounds; an exchange may take as long as the longest wait and a slow PVE together.
    func serverOptions(_ log: Logger) -> HTTPServer.Options {
        var options = HTTPServer.Options()
        options.maxBodyBytes = serving.maxBodyBytes
        options.maxHeaderBytes = serving.maxHeaderBytes
        options.maxConnections = serving.maxConnections
        options.idleTimeout = serving.idleTimeout
        // Who may be silent for that long is not stalled by it.
        options.transferTimeout = max(options.transferTimeout, serving.idleTimeout)
        if let threads = serving.threads { options.threads = threads }
        let slowest = environments.map(\.timeout).max() ?? .seconds(30)
        options.exchangeDeadline = .seconds(70) + slowest * 2
        options.log = { log.warning("libmicrohttpd: \($0)") }
        return options
    }
}
