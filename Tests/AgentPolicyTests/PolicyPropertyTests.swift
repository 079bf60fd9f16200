import AgentModel
import AgentPolicy
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

/// What holds of every policy, tried with many that a seed makes.
struct PolicyPropertyTests {
    /// A generator that gives the same numbers each time.
    private struct Dice {
        var state: UInt64

        mutating func roll(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }

        mutating func pick<Value>(_ values: [Value]) -> Value { values[roll(values.count)] }
    }

    private static func condition(_ dice: inout Dice, depth: Int = 0, mayCount: Bool = true) -> String {
        switch dice.roll(depth < 3 ? 14 : 11) {
        case 0: #"{"environments": ["\#(dice.pick(["home", "lab"]))"]}"#
        case 1: #"{"actions": ["\#(dice.pick(["stop_vm", "start_vm", "*_vm", "delete_*"]))"]}"#
        case 2: #"{"risk": ["\#(dice.pick(["low", "medium", "high"]))"]}"#
        case 3: #"{"tags": ["\#(dice.pick(["a", "b", "?"]))"]}"#
        case 4: #"{"names": ["\#(dice.pick(["web-*", "db-1"]))"]}"#
        case 5: #"{"vmids": ["\#(dice.pick(["100-150", "101", "200-300"]))"]}"#
        case 6: #"{"pools": ["\#(dice.pick(["p", "q"]))"]}"#
        case 7: #"{"storages": ["\#(dice.pick(["ceph", "local"]))"]}"#
        case 8: #"{"principals": ["\#(dice.pick(["alice", "bob"]))"]}"#
        case 9 where mayCount: #"{"guests_at_least": \#(2 + dice.roll(2))}"#
        case 9, 10: #"{"nodes": ["\#(dice.pick(["pve1", "pve2"]))"]}"#
        case 11: #"{"not": \#(condition(&dice, depth: depth + 1, mayCount: false))}"#
        case 12:
            #"{"any": [\#(condition(&dice, depth: depth + 1, mayCount: mayCount)), \#(condition(&dice, depth: depth + 1, mayCount: mayCount))]}"#
        default:
            #"{"all": [\#(condition(&dice, depth: depth + 1, mayCount: mayCount)), \#(condition(&dice, depth: depth + 1, mayCount: mayCount))]}"#
        }
    }

    private static func rule(_ id: String, _ dice: inout Dice, mayAllow: Bool) -> String {
        let effect = dice.pick(
            [
                #""deny""#, #"{"require": {"approvals": 2}}"#, #"{"require": {"assurance": "signed"}}"#,
                #"{"require": {"reason": true}}"#, #"{"raise_risk": "high"}"#,
            ] + (mayAllow ? [#"{"allow": {"override_base": true}}"#] : []))
        let mayCount = !effect.contains("allow")
        return #"{"id": "\#(id)", "match": \#(condition(&dice, mayCount: mayCount)), "effect": \#(effect)}"#
    }

    private static func subject(_ number: Int, _ dice: inout Dice) -> Subject {
        if dice.roll(4) == 0 { return Subject(.affected, dice.pick(["storage/ceph", "node/pve1", "pool/q"])) }
        return Subject(
            number == 0 ? .target : .member, "vm/\(100 + dice.roll(200))", aliases: dice.pick([[], ["pool/p"]]),
            tags: Set([dice.pick(["a", "b", "c"])]), guestNames: [dice.pick(["web-1", "db-1", "x"])],
            node: NodeName(dice.pick(["pve1", "pve2"])))
    }

    private static func input(_ subjects: [Subject], _ dice: inout Dice) throws -> PolicyInput {
        let settings = EnvironmentSettings(
            name: .sample, baseURL: "https://pve.lan:8006", tokenID: "a@pve!h", trust: "system")
        return PolicyInput(
            try .sample(dice.pick([.stopVM, .startVM, .deleteVM]), "vm/101"),
            by: Caller(principal: dice.pick(["alice", "carol"]), label: nil), roles: [.operator], in: settings,
            reach: Reach(subjects: subjects))
    }

    /// How strict a decision is: each part no smaller in a stricter one.
    private static func strictness(_ decision: Decision) -> [Int] {
        [
            decision.allowed ? 0 : 1, decision.requiresApproval ? 1 : 0,
            decision.requiresApproval ? decision.approvals : 0, decision.assurance == nil ? 0 : 1,
            decision.risk == .high ? 2 : decision.risk == .medium ? 1 : 0,
        ]
    }

    private static func isMilder(_ a: Decision, than b: Decision) -> Bool {
        // Of what is denied, nothing else counts.
        if !a.allowed { return false }
        return zip(strictness(a), strictness(b)).contains { $0 < $1 }
    }

    @Test(arguments: 0..<40)
    func `a rule more that does not allow never makes a decision milder`(seed: Int) throws {
        var dice = Dice(state: UInt64(seed))
        for _ in 0..<25 {
            let rules = (0..<4).map { Self.rule("r\($0)", &dice, mayAllow: true) }
            let more = rules + [Self.rule("z", &dice, mayAllow: false)]
            let input = try Self.input((0..<3).map { Self.subject($0, &dice) }, &dice)
            let before = try Policy(text: "{\"rules\": [\(rules.joined(separator: ","))]}").evaluate(input, at: .sample)
            let after = try Policy(text: "{\"rules\": [\(more.joined(separator: ","))]}").evaluate(input, at: .sample)
            #expect(!Self.isMilder(after, than: before), "\(more)")
            #expect(before.allowed || !after.allowed)
        }
    }

    @Test(arguments: 0..<40)
    func `the order of rules makes no difference`(seed: Int) throws {
        var dice = Dice(state: UInt64(seed) &+ 1000)
        for _ in 0..<25 {
            let rules = (0..<5).map { Self.rule("r\($0)", &dice, mayAllow: true) }
            let input = try Self.input((0..<3).map { Self.subject($0, &dice) }, &dice)
            let policies = try [rules, rules.reversed()].map {
                try Policy(text: "{\"rules\": [\($0.joined(separator: ","))]}")
            }
            #expect(policies[0].evaluate(input, at: .sample) == policies[1].evaluate(input, at: .sample))
            #expect(policies[0].version == policies[1].version)
        }
    }

    @Test(arguments: 0..<40)
    func `a request that reaches more is never judged more mildly`(seed: Int) throws {
        var dice = Dice(state: UInt64(seed) &+ 2000)
        for _ in 0..<25 {
            let rules = (0..<4).map { Self.rule("r\($0)", &dice, mayAllow: true) }
            let policy = try Policy(text: "{\"rules\": [\(rules.joined(separator: ","))]}")
            let subjects = (0..<4).map { Self.subject($0, &dice) }
            var more = try Self.input(subjects, &dice)
            let all = policy.evaluate(more, at: .sample)
            more.reach = Reach(subjects: Array(subjects.prefix(2)))
            #expect(!Self.isMilder(all, than: policy.evaluate(more, at: .sample)), "\(rules) \(subjects)")
        }
    }
}
