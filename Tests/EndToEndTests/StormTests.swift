import AgentAPI
import AgentModel
import FoundationEssentials
import Glibc
import PVESimulator
import StrictJSON
import Synchronization
import Testing

@testable import AgentService

/// Whatever numbers and flags PVE sends, planning neither dies nor allows what it would not allow otherwise.
///
/// The short form takes one place, or one read, for each scene. `make storm` takes all of them.
@Suite(.timeLimit(.minutes(60)))
struct StormTests {
    /// A change, and what stands in its way or nothing.
    struct Scene: Sendable, CustomTestStringConvertible {
        let wish: PlanRequest
        let prepare: ChangeScenario.Step
        var testDescription: String { "\(wish.action) \(wish.target) \(JSON.object(wish.params).text)" }
    }

    static let scenes =
        ChangeScenario.all.map { Scene(wish: $0.wish, prepare: $0.prepare) }
        + (PreviewTests.obstacles + PreviewTests.refusals).map { Scene(wish: $0.wish, prepare: $0.happen) }

    /// What no flag, number of a guest or size is.
    static let nonsense: [JSON] = [.null, -1, .number(18_446_744_073_709_551_616), .number(1e308)]
    /// May be a size.
    static let most = JSON.integer(.max)
    static let sizes: Set = ["avail", "total", "used", "disk", "maxdisk", "size"]

    /// What stands at a place in turn, beside the value's own other spelling.
    static let values = [0, 1, "0", "1", most] + nonsense

    static let isFull = getenv("PROXMOX_AGENT_STORM") != nil

    @Test(arguments: scenes)
    func `no number and no flag that PVE sends brings planning down or opens a check`(scene: Scene) async throws {
        let storm = try await Storm(scene)
        let calm = await storm.outcome()
        let found = storm.way.found
        let places = Self.isFull ? Array(found.keys) : Self.part(of: Array(found.keys), for: scene)
        var outcomes: [JSON: [StormyWay.Place: Storm.Outcome]] = [:]
        for value in Self.values {
            outcomes[value] = await storm.outcomes(of: places, unlike: calm) { _ in value }
        }
        let respelt = await storm.outcomes(of: places, unlike: calm) { found[$0].map(Self.respelt) ?? .null }
        #expect(await storm.outcome() == calm, "planning is not the same twice")
        for place in places {
            let value = found[place] ?? .null
            func isBlocked(_ new: JSON) -> Bool { (outcomes[new]?[place] ?? calm).isBlocked }
            #expect(
                isBlocked(0) == isBlocked("0") && isBlocked(1) == isBlocked("1"), "\(place): text and number differ")
            #expect(
                (respelt[place] ?? calm).isBlocked == calm.isBlocked,
                "\(place): \(value.text) counts only in one spelling")
            let matters = isBlocked(0) != calm.isBlocked || isBlocked(1) != calm.isBlocked
            for new in Self.nonsense + (Self.sizes.contains(place.steps.last ?? "") ? [] : [Self.most]) {
                #expect(
                    isBlocked(new) || !(calm.isBlocked || matters),
                    "\(place): \(new.text) instead of \(value.text) opens a check")
            }
        }
    }

    @Test func `what PVE does not show is told by a check, whatever is planned`() async throws {
        var tried: Set<String> = []
        for scene in Self.scenes {
            let storm = try await Storm(scene)
            let calm = await storm.outcome().isBlocked
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
    private static func part(of places: [StormyWay.Place], for scene: Scene) -> [StormyWay.Place] {
        guard !places.isEmpty else { return [] }
        let kinds = StormyWay.Place.kinds(of: places)
        let number = scene.testDescription.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xFFFF }
        let kind = kinds[number % kinds.count]
        return [kind[number / kinds.count % kind.count]]
    }
}

/// One request, planned again and again.
private struct Storm {
    /// What came of planning.
    struct Outcome: Hashable {
        /// Planning does not allow the request: by a check, or because PVE cannot be understood.
        var isBlocked: Bool
        var shown: JSON
    }

    let way: StormyWay
    private let request: ActionRequest
    private let planner: any PlanningEngine

    init(_ scene: StormTests.Scene) async throws {
        request = try ActionRequest(parsing: try #require(scene.wish.json.object))
        let ways = try await Self.ways(scene)
        let full = try ManagedEnvironment.stormy(ways.full).planning
        let short = try ManagedEnvironment.stormy(ways.short).planning
        // What is shorter is planned quicker.
        let isSame = await Self.outcome(of: request, full) == Self.outcome(of: request, short)
        way = isSame ? ways.short : ways.full
        planner = isSame ? short : full
    }

    /// Ways to the scene's PVE: one that tells of all guests, and one that tells of those that the request names and of a
    /// few others.
    private static func ways(_ scene: StormTests.Scene) async throws -> (full: StormyWay, short: StormyWay) {
        let text = "\(scene.wish.target) \(JSON.object(scene.wish.params).text)"
        let named = Set(text.split { !$0.isNumber }.compactMap { Int($0) })
        let pve = StormyWay.simulator()
        try await scene.prepare(pve)
        return (StormyWay(pve), StormyWay(pve, keeping: named))
    }

    func outcome() async -> Outcome { await Self.outcome(of: request, planner) }

    func checks() async throws -> [Check] {
        try await planner.preview(of: request, watching: [], resolving: false).checks
    }

    /// What comes of planning with a new value at one of `places`, for all of them in turn, where that is not `calm`.
    ///
    /// Those that never mattered before are replaced in one go at first, and so is the same member of all rows: where that
    /// changes nothing, no single one does.
    func outcomes(
        of places: [StormyWay.Place], unlike calm: Outcome, _ value: (StormyWay.Place) -> JSON
    ) async -> [StormyWay.Place: Outcome] {
        var outcomes: [StormyWay.Place: Outcome] = [:]
        let mattering = Self.mattering.withLock { $0 }
        let kinds = StormyWay.Place.kinds(of: places)
        var open = kinds.filter { mattering.contains($0[0].kind) }
        open.append(kinds.filter { !mattering.contains($0[0].kind) }.flatMap(\.self))
        while let group = open.popLast() {
            way.replace(Dictionary(uniqueKeysWithValues: group.map { ($0, value($0)) }))
            let outcome = await outcome()
            if outcome == calm { continue }
            if group.count > 1 {
                open += [Array(group[..<(group.count / 2)]), Array(group[(group.count / 2)...])]
            } else if let place = group.first {
                outcomes[place] = outcome
                Self.mattering.withLock { _ = $0.insert(place.kind) }
            }
        }
        way.replace([:])
        return outcomes
    }

    /// The kinds of places at which a value made a difference to any scene.
    private static let mattering = Mutex(Set<String>())

    private static func outcome(of request: ActionRequest, _ planner: any PlanningEngine) async -> Outcome {
        do throws(HypervisorError) {
            let preview = try await planner.preview(of: request, watching: [], resolving: false)
            return .init(isBlocked: preview.checks.contains { $0.level == .block }, shown: Views.preview(preview))
        } catch {
            return .init(isBlocked: true, shown: .string("\(error)"))
        }
    }
}
