import AgentModel
import AgentPolicy
import AgentTestSupport
import Logging
import StrictJSON
import Testing

@testable import AgentService

/// The same for reads: through the service, with rules that look at guests, and over real HTTP as far as it goes.
extension StormTests {
    /// Every read of the catalogue with each form of target.
    static let reads: [PlanRequest] = ActionCatalog.all.filter { $0.effect == .read }.flatMap { definition in
        definition.targets.map { form in
            PlanRequest(
                definition.action.rawValue, form.sample,
                definition.action.rawValue == "read_metrics" ? ["timeframe": "hour"] : [:])
        }
    }

    @Test(arguments: reads)
    func `no number and no flag that PVE sends brings a read down or shows what rules deny`(
        wish: PlanRequest
    ) async throws {
        let pve = StormyWay.simulator()
        let task = try await pve.ask("POST", "/nodes/pve2/lxc/118/status/shutdown")?.string
        var wish = wish
        if wish.target == TargetForm.task.rawValue { wish.target = "task/\(try #require(task))" }
        let request = try ActionRequest(parsing: try #require(wish.json.object))
        let ways = [StormyWay(pve), StormyWay(pve)]
        let free = try ReadingService(ways[0], denied: nil)
        let ruled = try ReadingService(ways[1], denied: request.action)
        #expect(await free.read(request) == "ok")
        let denied = await ruled.read(request)
        let places = StormyWay.Place.kinds(of: Array(ways[0].found.keys))
        for (index, kind) in places.enumerated() where Self.isFull || index % 16 == wish.target.utf8.count % 16 {
            for value in Self.values {
                for way in ways { way.replace(Dictionary(uniqueKeysWithValues: kind.map { ($0, value) })) }
                let found = await free.read(request)
                #expect(
                    ["ok", "upstream_invalid", "policy_denied"].contains(found), "\(kind[0]): \(value.text): \(found)")
                guard denied == "policy_denied" else { continue }
                let open = await ruled.read(request)
                #expect(open != "ok", "\(kind[0]): \(value.text) shows what a rule denies")
            }
        }
    }
}

/// A service that reads, behind a stormy way; perhaps with a rule that denies one read of some guests.
private struct ReadingService {
    private let service: ControlPlane

    init(_ way: StormyWay, denied action: Action?) throws {
        var rules: [PolicyRule] = []
        if let action {
            var scope = PolicyRule.Scope()
            scope.actions = [action]
            scope.targets = [try #require(TargetPattern("vm/100")), try #require(TargetPattern("lxc/118"))]
            rules = [PolicyRule(id: "not-these", effect: .deny, scope: scope)]
        }
        var log = Logger(label: "storm")
        log.logLevel = .critical
        service = ControlPlane(
            managedEnvironments: [try .stormy(way)],
            ports: Ports(audit: MemoryAuditSink(), store: MemoryPlanStore(), log: log),
            rules: Rules(policy: Policy(rules: rules)), key: .sample)
    }

    /// What the read came to: `ok`, or the error's code.
    func read(_ request: ActionRequest) async -> String {
        let context = Context(
            caller: Caller(principal: "agent", label: nil), principal: .shared, requestID: "req_1")
        do throws(ServiceError) {
            let result = try await service.reads.read(request, context).result
            // What goes out is written.
            if case .json(let data) = result.content { _ = data.bytes }
            return result.status.rawValue
        } catch {
            return error.code.rawValue
        }
    }
}

extension TargetForm {
    /// A target of that form that the simulated cloud has.
    var sample: String {
        switch self {
        case .vm: "vm/100"
        case .container: "lxc/118"
        case .node: "node/pve2"
        case .storage: "storage/local"
        case .pool: "pool/production"
        case .task: "task/UPID"
        case .firewallNode: "firewall/node/pve2"
        case .firewallVM: "firewall/vm/100"
        case .firewallContainer: "firewall/lxc/118"
        case .nodesAll, .cluster, .inventoryAll, .inventoryRunning, .tasksAll, .firewallCluster: rawValue
        }
    }
}
