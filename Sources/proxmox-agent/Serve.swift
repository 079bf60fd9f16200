import AgentModel
import AgentService
import ArgumentParser
import Glibc
import HTTPMessage
import Logging
import MicroHTTPD
import ServiceLifecycle
import SystemService
import SystemThread
import UnixSignals

/// `proxmox-agent serve`
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve the HTTP API (the default).",
        discussion: """
            Reads the configuration, opens the audit log and listens. SIGTERM and SIGINT stop it: it takes no more \
            requests, finishes those that run within 10 seconds, and exits with 0. SIGHUP opens the audit log anew, reads \
            the configuration again and puts its principals, policy rules, destinations of notifications and TLS certificates \
            in force.

            Callers are principals with tokens or client certificates of their own, or share the one token in the variable \
            PROXMOX_AGENT_API_TOKEN. With neither the agent starts, but every /v1 route answers 503.

            Settings (JSON; an unknown key is an error):

            """ + AgentConfig.keys.map { "  \($0.key)\n      \($0.meaning)" }.joined(separator: "\n"))

    @Option(name: .long, help: ArgumentHelp("The configuration file.", valueName: "file"), completion: .file())
    var config: String

    @Flag(
        help: """
            Add two principals, demo-approver and demo-operator, and print one-time codes with which they sign in at the \
            console. For simulators on loopback.
            """)
    var demo = false

    func run() async throws {
        Memory.keepSmall()
        guard Memory.keepSecret() else { throw fail("proxmox-agent: core dumps cannot be forbidden; not starting") }
        var settings: AgentConfig
        do throws(ConfigError) {
            settings = try AgentConfig(file: config, variables: environmentVariables())
        } catch {
            throw fail("\(error)")
        }
        if demo {
            if let flaw = Demonstration.flaw(in: settings) { throw fail("proxmox-agent: \(flaw)") }
            settings.demonstration = Demonstration.credentials()
        }
        // SIGHUP must not end the program before it is handled.
        signal(SIGHUP, SIG_IGN)
        let lines = LineLog(format: settings.logFormat, level: settings.logLevel)
        let log = Logger(label: "proxmox-agent") { _ in LineLogHandler(lines) }
        var group = ServiceGroupConfiguration(
            services: [Serving(file: config, settings: settings, log: log, accessLog: lines)],
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() })
        group.maximumGracefulShutdownDuration = .seconds(15)
        do { try await ServiceGroup(configuration: group).run() } catch let error as StartError {
            await lines.flush()
            _ = fail("proxmox-agent: \(error)")
            // EX_TEMPFAIL: a service manager may try again.
            throw error.isTemporary ? ExitCode(75) : ExitCode.failure
        }
        log.notice("stopped")
        await lines.flush()
    }
}

/// The agent as a service: starts once signals are handled, and serves until it is told to stop.
private struct Serving: Service, CustomStringConvertible {
    let file: String
    let settings: AgentConfig
    let log: Logger
    let accessLog: LineLog

    /// What the group of services calls it: without one it makes a text of all that is in here.
    var description: String { "agent" }

    /// Ends the process if stopping hangs, for example on a disk that does not respond. The audit log has what was sent
    /// as an intent without an outcome.
    private static func giveUp(after seconds: UInt32) {
        try? OwnThread.start {
            sleep(seconds)
            complain("proxmox-agent: stopping took more than \(seconds) s; giving up")
            _exit(1)
        }
    }

    /// The socket that a service manager passes on. Only the server finds out its address, so the well-known token is
    /// not accepted there.
    private func inherited(_ variables: [String: String]) throws(StartError) -> Int32? {
        let descriptor: Int32?
        do throws(InheritedSocket.Unusable) { descriptor = try InheritedSocket.descriptor(variables) } catch {
            throw StartError(error.description)
        }
        if descriptor != nil, settings.sharedToken == CredentialDigest(of: "change-me".utf8) {
            throw StartError("\"change-me\" is not accepted on a socket that is handed over; openssl rand -hex 32")
        }
        if descriptor != nil, !settings.demonstration.isEmpty {
            throw StartError("--demo listens by itself, on loopback: take the handed-over socket away")
        }
        return descriptor
    }

    func run() async throws {
        let variables = environmentVariables()
        let manager = ServiceManager(variables)
        let agent = try await Agent(
            settings, log: log, inheriting: try inherited(variables), accessLog: accessLog,
            reached: CrashPoint.watch(variables))
        agent.serveReloads(of: file) { environmentVariables() }
        for warning in settings.warnings(at: agent.server.address) { log.warning("\(warning)") }
        log.notice(
            "listening",
            metadata: [
                "address": "\(agent.server.address)", "version": "\(Version.text)",
                "environments": "\(settings.environments.map(\.settings.name.description).joined(separator: ","))",
            ])
        await withTaskGroup(of: Void.self) { group in
            if !settings.demonstration.isEmpty { group.addTask { await Demonstration.announce(agent) } }
            group.addTask {
                for await _ in await UnixSignalsSequence(trapping: .sighup) {
                    manager?.tell(.reloading)
                    await agent.reload(file, variables: environmentVariables())
                    manager?.tell(.ready)
                }
            }
            if let manager, let interval = manager.watchdog {
                group.addTask {
                    while (try? await Task.sleep(for: interval / 3)) != nil {
                        await agent.prove()
                        manager.tell(.alive)
                    }
                }
            }
            manager?.tell(.ready)
            group.addTask { await agent.service.leases.run() }
            group.addTask {
                await agent.probe()
                await agent.reportSameClusters()
                while (try? await Task.sleep(for: .seconds(30))) != nil { await agent.probe() }
            }
            group.addTask {
                while (try? await Task.sleep(for: .seconds(10))) != nil { await agent.housekeeping() }
            }
            if agent.service.signIns.isShared {
                // Another agent does not tell of a sign-out.
                group.addTask {
                    while (try? await Task.sleep(for: .seconds(2))) != nil { await agent.endStreamsOfEndedSessions() }
                }
            }
            group.addTask {
                while (try? await Task.sleep(for: .seconds(15))) != nil { await agent.beat() }
            }
            group.addTask {
                repeat {
                    await agent.service.checkpoints.make()
                } while (try? await Task.sleep(for: settings.checkpointInterval)) != nil
            }
            try? await gracefulShutdown()
            log.notice("stopping")
            manager?.tell(.stopping)
            Self.giveUp(after: 25)
            await agent.shutdown(within: .seconds(10))
            group.cancelAll()
        }
    }
}
