import AgentModel
import AgentService
import AgentStorage
import CurlHTTP
import Notifications

/// The connections to the destinations of notifications, on a thread of their own: reading authorities and handshakes
/// with them hold up no environment.
final class NoticeWays: Sendable {
    private let loop: CurlLoop

    init() throws(StartError) {
        do { loop = try CurlLoop() } catch { throw StartError("libcurl: \(error)") }
    }

    /// The longest answer that is read, in bytes: nothing in it is used.
    private static let maximumAnswer = 16 << 10

    func courier(
        to targets: [AgentConfig.NotifyTarget], of installation: Installation, hasConsole: Bool
    ) -> NoticeCourier {
        let ways = targets.map { target -> (String, (destination: Destination, transport: NoticeCourier.Transport)) in
            (target.subscription.target, (target.destination, transport(to: target)))
        }
        return NoticeCourier(
            Dictionary(ways) { first, _ in first }, publicURL: hasConsole ? installation.publicURL : nil,
            agent: installation.origin)
    }

    private func transport(to target: AgentConfig.NotifyTarget) -> NoticeCourier.Transport {
        switch target.server {
        case .http(let origin):
            let configuration = CurlConfiguration(
                origin: origin, trust: target.trust, timeout: .seconds(20), maximumBodyBytes: Self.maximumAnswer,
                maximumConnections: 2, userAgent: "proxmox-agent/\(Version.text)")
            return .http(CurlTransport(configuration, loop: loop))
        case .mail(let server, let username, let password):
            // Reveals the password: to the server that it is for.
            return .mail(
                CurlMail(
                    server: server, trust: target.trust, username: username, password: { password?.reveal() },
                    timeout: .seconds(30)))
        }
    }

    func shutdown() async { await loop.stop() }
}

extension CurlMail: MailTransport {}

extension NoticeService {
    /// Serves the destinations of a configuration from now on.
    func serve(
        _ config: AgentConfig, through ways: NoticeWays, of installation: Installation
    ) async throws(ServiceError) {
        try await serve(
            config.notify.map(\.subscription),
            through: ways.courier(to: config.notify, of: installation, hasConsole: config.hasConsole))
    }
}

extension AgentConfig {
    /// The destinations of notifications, by name.
    var notifyNames: String {
        notify.isEmpty ? "nobody" : notify.map(\.subscription.target).joined(separator: ", ")
    }
}

extension FileAuditSink {
    /// What is wrong with the log itself, rather than with the disk below it.
    var distrust: String? {
        switch faultCause {
        case .changed, .chain: fault.map { "\($0)" }
        case .full, .unusable, nil: nil
        }
    }
}
