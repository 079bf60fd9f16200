import AgentModel
import AgentPolicy
import AgentService
import ArgumentParser
import Logging
import Signatures
import StrictJSON

/// `proxmox-agent check`
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration and every environment in it, and report what to fix.",
        discussion: """
            Reads the configuration as serve does, then asks each environment for its version and for what its token \
            may do. Lists principals, rules and destinations of notifications as they were understood. Changes nothing and writes no audit record. Exits with 1 when something has to be mended.
            """)

    @Option(name: .long, help: ArgumentHelp("The configuration file.", valueName: "file"), completion: .file())
    var config: String

    func run() async throws {
        let settings: AgentConfig
        let upstreams: PVEConnections
        do throws(ConfigError) {
            settings = try AgentConfig(file: config, variables: environmentVariables())
        } catch {
            throw fail("\(error)")
        }
        print("\(config): well-formed, \(settings.environments.count) environments")
        var isGood = !settings.credentials.isEmpty
        let warnings = settings.warnings()
        // A warning about the certificate repeats the whole line.
        let certificate = settings.tlsLine.flatMap { line in warnings.contains { $0.hasPrefix(line) } ? nil : line }
        for line in settings.callerLines + settings.notify.map(\.line) + [certificate].compactMap(\.self) + warnings {
            print(quoted(line))
        }
        do throws(StartError) {
            upstreams = try PVEConnections(settings, log: Logger(label: "check") { _ in SwiftLogNoOpLogHandler() })
        } catch {
            throw fail("\(error)")
        }
        let reports = await withTaskGroup(of: (Int, EnvironmentReport).self) { group in
            for (index, managed) in upstreams.managedEnvironments.enumerated() {
                group.addTask { (index, await EnvironmentReport(looking: managed)) }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
        }
        await upstreams.shutdown(within: .seconds(1))
        for report in reports {
            for line in report.lines { print(quoted(line)) }
            isGood = isGood && report.isGood
        }
        for line in EnvironmentReport.sameClusters(reports) { print(line) }
        if !isGood { throw ExitCode.failure }
    }
}

extension AgentConfig {
    /// The principals with their roles, and the rules that apply to them, one line each.
    var callerLines: [String] {
        principals.flatMap { holder in
            let roles = holder.roles.map(\.rawValue).joined(separator: ", ")
            let places = holder.principal.environments.map { $0.map(\.description).sorted().joined(separator: ", ") }
            let keys = holder.principal.approvalKeys.map { key in
                ["  approval key:", key.kind, key.fingerprint, key.comment].filter { !$0.isEmpty }.joined(
                    separator: " ")
            }
            return ["principal \(holder.principal.id): \(roles) in \(places ?? "all environments")"] + keys
        } + policy.rules.map { "rule \($0)" }
    }
}

/// The result for one environment.
struct EnvironmentReport: Sendable {
    let name: EnvironmentName
    private(set) var lines: [String] = []
    private(set) var isGood = true
    /// Identifies the cluster by its nodes' certificates; `nil` if they are not available.
    private(set) var cluster: String?

    /// All privileges that actions need on a PVE of this major version, each with actions that need it.
    static func privileges(on major: Int) -> [(String, String)] {
        // PVE requires this one for the network of a guest, which no action names.
        var users = ["SDN.Use": ["clone_vm", "create_vm", "configure_vm"]]
        for entry in ActionCatalog.all {
            let asked = entry.privileges.filter { $0.isAsked(by: major) }
            for name in asked.flatMap(\.anyOf) where users[name]?.contains("\(entry.action)") != true {
                users[name, default: []].append("\(entry.action)")
            }
        }
        return users.sorted { $0.key < $1.key }.map { name, actions in
            (name, actions.prefix(4).joined(separator: ", ") + (actions.count > 4 ? ", …" : ""))
        }
    }

    /// The command that creates a role with exactly these privileges.
    static func roleCommand(on major: Int) -> String {
        "pveum role add ProxmoxAgent --privs \"\(privileges(on: major).map(\.0).joined(separator: " "))\""
    }

    /// Asks one environment for its version, its nodes and the token's privileges.
    init(looking managed: ManagedEnvironment) async {
        name = managed.settings.name
        do throws(HypervisorError) {
            let (version, isSimulator) = try await managed.hypervisor.version()
            add("reached, PVE \(version)\(isSimulator ? " (a simulator)" : "")")
            let major = PVEVersion.major(of: version)
            if !PVEVersion.supported.contains(major) { flaw("PVE \(version) is not supported; 8 and 9 are") }
            let nodes = try await managed.hypervisor.read(Call(.get, ["nodes"])).array ?? []
            cluster = Self.cluster(nodes)
            let names = nodes.compactMap { $0["node"]?.string }.sorted().joined(separator: ", ")
            if nodes.isEmpty { flaw("the token sees no node; give it Sys.Audit on /") } else { add("nodes: \(names)") }
            try await checkPrivileges(managed, on: major)
        } catch {
            // The text names the environment already.
            lines.append(ServiceError(error, name, during: "checking").detail)
            isGood = false
        }
    }

    private mutating func checkPrivileges(_ managed: ManagedEnvironment, on major: Int) async throws(HypervisorError) {
        let granted = try await managed.hypervisor.read(Call(.get, ["access", "permissions"]))
        let all = Set((granted.object?.members ?? []).flatMap { $0.value.object?.keys ?? [] })
        let wanted = Self.privileges(on: major)
        let missing = wanted.filter { !all.contains($0.0) }
        if missing.isEmpty { add("the token has the privileges that all actions need") }
        for (privilege, use) in missing {
            add("the token lacks \(privilege) everywhere (for \(use)); grant it if it should: pveum acl modify")
        }
        let excess = all.subtracting(wanted.map(\.0)).sorted()
        if !excess.isEmpty {
            add("the token has privileges that the agent never uses; take them away: \(excess.joined(separator: ", "))")
        }
        if all.isEmpty { flaw("the token has no privileges at all; see pveum acl modify") }
    }

    private static func cluster(_ nodes: [JSON]) -> String? {
        let prints = nodes.compactMap { $0["ssl_fingerprint"]?.string }.sorted()
        return prints.isEmpty ? nil : prints.joined(separator: " ")
    }

    /// Reports which environments turned out to be the same cluster.
    static func sameClusters(_ reports: [EnvironmentReport]) -> [String] {
        let named = reports.filter { $0.cluster != nil }
        return Dictionary(grouping: named) { $0.cluster }.values.filter { $0.count > 1 }.map { same in
            "the same cluster under several names: " + same.map(\.name.description).sorted().joined(separator: ", ")
        }.sorted()
    }

    private mutating func add(_ text: String) { lines.append("\(name): \(text)") }

    private mutating func flaw(_ text: String) {
        add(text)
        isGood = false
    }
}
