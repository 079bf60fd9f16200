import AgentModel
import FoundationEssentials
import Glibc
import PVESimulator
import ProxmoxVE
import StrictJSON
import Testing

@testable import AgentService

/// Whatever numbers and flags PVE sends, planning neither dies nor allows what it would not allow otherwise.
///
/// The short form takes one place for each scene. `make storm` takes all of them.
@Suite(.timeLimit(.minutes(60)))
struct StormTests {
    /// A change, and what stands in its way or nothing.
    struct Scene: Sendable, CustomTestStringConvertible {
        let wish: Wish
        let prepare: Deed.Step
        var testDescription: String { "\(wish.action) \(wish.target) \(JSON.object(wish.params).text)" }
    }

    static let scenes =
        Deed.all.map { Scene(wish: $0.wish, prepare: $0.prepare) }
        + (PreviewTests.obstacles + PreviewTests.refusals).map { Scene(wish: $0.wish, prepare: $0.happen) }

    /// What no flag, number of a guest or size is.
    static let nonsense: [JSON] = [.null, -1, .number(18_446_744_073_709_551_616), .number(1e308)]
    /// May be a size.
    static let most = JSON.integer(.max)
    static let sizes: Set = ["avail", "total", "used", "disk", "maxdisk", "size"]

    private static let isFull = getenv("PROXMOX_AGENT_STORM") != nil

    @Test(arguments: scenes)
    func `no number and no flag that PVE sends brings planning down or opens a check`(scene: Scene) async throws {
        let storm = try await Storm(scene)
        let calm = await storm.isBlocked()
        let places = storm.way.found.sorted { "\($0.key)" < "\($1.key)" }
        for (place, value) in Self.isFull ? places : Self.part(of: places, for: scene) {
            let words = await storm.verdicts(at: place, [0, 1, "0", "1", value, Self.respelt(value)])
            #expect(words[0] == words[2] && words[1] == words[3], "\(place): text and number differ")
            #expect(words[4] == words[5], "\(place): \(value.text) counts only in one spelling")
            #expect(words[4] == calm, "\(place): planning is not the same twice")
            let matters = Set(words).count > 1
            for found in Self.nonsense + (Self.sizes.contains(place.steps.last ?? "") ? [] : [Self.most]) {
                let verdict = await storm.verdicts(at: place, [found])[0]
                #expect(verdict || !(calm || matters), "\(place): \(found.text) instead of \(value.text) opens a check")
            }
            _ = await storm.verdicts(at: place, [Self.most])
        }
    }

    @Test func `what PVE does not show is told by a check, whatever is planned`() async throws {
        var tried: Set<String> = []
        for scene in Self.scenes {
            let storm = try await Storm(scene)
            let calm = await storm.isBlocked()
            for target in storm.way.requests where tried.insert(Self.kind(of: target, scene)).inserted {
                storm.way.refuse(target)
                do {
                    let checks = try await storm.checks()
                    let isTold = checks.contains { $0.level != .ok && $0.detail.contains(StormyWay.refusal) }
                    #expect(isTold, "\(scene): \(target) is not told")
                    #expect(!calm || checks.contains { $0.level == .block }, "\(scene): \(target) opens a check")
                } catch {
                    #expect(Self.isPlace(target), "\(scene): \(target) ends the plan with \(error)")
                }
            }
        }
        #expect(tried.count > 300)
    }

    /// The same for all numbers of an action.
    private static func kind(of target: String, _ scene: Scene) -> String {
        let path = target.split(separator: "?path=")[0].map { $0.isNumber ? "#" : $0 }
        return "\(scene.wish.action) \(scene.wish.params["op"]?.text ?? "") " + path
    }

    /// Without these nobody knows whether the target is there, and there is no plan.
    private static func isPlace(_ target: String) -> Bool {
        target.contains("/cluster/resources?type=") || target.hasSuffix("/status/current")
            || target.hasSuffix("/config")
    }

    /// A value's other spelling.
    private static func respelt(_ value: JSON) -> JSON {
        switch value {
        case .string(let text): Int64(text).map { .integer($0) } ?? value
        case .bool(let flag): flag ? "1" : "0"
        default: .string(value.text)
        }
    }

    /// One place, the same in every run; scenes have different ones.
    private static func part(
        of places: [(key: StormyWay.Place, value: JSON)], for scene: Scene
    ) -> [(key: StormyWay.Place, value: JSON)] {
        guard !places.isEmpty else { return [] }
        let kinds = Dictionary(grouping: places) { $0.key.kind }.sorted { "\($0.key)" < "\($1.key)" }.map(\.value)
        let number = scene.testDescription.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xFFFF }
        let kind = kinds[number % kinds.count]
        return [kind[number / kinds.count % kind.count]]
    }
}

/// One request, planned again and again.
private struct Storm {
    let way: StormyWay
    private let request: ActionRequest
    private let observer: Observer

    init(_ scene: StormTests.Scene) async throws {
        let pve = Simulator(
            .init(
                name: "cloud", tokens: .list([.init(id: "agent@pve!cloud", secret: Setup.secret(of: "cloud"))]),
                taskDuration: .zero, seed: 1))
        try await scene.prepare(pve)
        way = StormyWay(pve)
        let token = try PVEToken(id: "agent@pve!cloud", secret: Secret(Setup.secret(of: "cloud")))
        let name = try #require(EnvironmentName("cloud"))
        let facts = EnvironmentFacts(
            name: name, baseURL: "https://pve.example:8006", tokenID: token.id, trust: "system",
            allowedCommands: [["uptime"], ["systemctl", "restart"]], allowedDownloads: ["https://images.example/"])
        let hypervisor = ProxmoxHypervisor(client: PVEClient(transport: way, token: token), environment: name)
        observer = Observer(site: Site(facts: facts, hypervisor: hypervisor))
        request = try ActionRequest(parsing: try #require(scene.wish.json.object))
    }

    /// Whether planning does not allow it: by a check, or because PVE cannot be understood.
    func isBlocked() async -> Bool {
        do throws(HypervisorError) {
            return try await observer.preview(of: request).checks.contains { $0.level == .block }
        } catch {
            return true
        }
    }

    func checks() async throws -> [Check] { try await observer.preview(of: request).checks }

    func verdicts(at place: StormyWay.Place, _ values: [JSON]) async -> [Bool] {
        var verdicts: [Bool] = []
        for value in values {
            way.replace(place, with: value)
            verdicts.append(await isBlocked())
        }
        way.replace(nil)
        return verdicts
    }
}
