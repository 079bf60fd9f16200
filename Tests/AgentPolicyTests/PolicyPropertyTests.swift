import AgentModel
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

@testable import AgentPolicy

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

    /// The places of the subjects that the rule matches: the definition, one condition and one subject at a time.
    private static func plainly(_ rule: PolicyRule, _ view: RuleView) -> [Int] {
        guard rule.match.namesActions || view.input.request.definition.effect == .change else { return [] }
        let places = view.facts.indices.filter { place in
            !rule.match.isAboutGuests || view.facts[place].isGuest || !view.facts[place].pools.isEmpty
        }
        func truths(_ place: Int) -> [Truth] { view.variants.map { rule.match.holds($0, view.facts[place]) } }
        guard rule.effect == .allow else { return places.filter { truths($0).contains { $0 > .no } } }
        let all = Set(places).union([0]).sorted()
        return all.allSatisfy { truths($0).allSatisfy { $0 == .yes } } ? all : []
    }

    /// A condition by which a rule can be found, or any.
    private static func narrowCondition(_ dice: inout Dice, mayCount: Bool) -> String {
        switch dice.roll(6) {
        case 0: #"{"targets": ["\#(dice.pick(["vm/101", "vm/1*", "node/pve1", "pool/p", "storage/ceph"]))"]}"#
        case 1: #"{"vmids": [\#(100 + dice.roll(20)), \#(100 + dice.roll(20))]}"#
        case 2: #"{"tags": ["a", "c"], "environments": ["\#(dice.pick(["home", "lab"]))"]}"#
        case 3: #"{"any": [{"pools": ["p"]}, {"storages": ["ceph"]}, {"names": ["db-*"]}], "actions": ["stop_*"]}"#
        default: condition(&dice, mayCount: mayCount)
        }
    }

    @Test(arguments: 0..<40)
    func `rules that are found match as rules tried one by one do`(seed: Int) throws {
        var dice = Dice(state: UInt64(seed) &+ 3000)
        for _ in 0..<10 {
            let rules = (0..<30).map { number in
                let effect = dice.pick([#""deny""#, #"{"raise_risk": "high"}"#, #"{"allow": {"override_base": true}}"#])
                let match = Self.narrowCondition(&dice, mayCount: !effect.contains("allow"))
                return #"{"id": "r\#(number)", "match": \#(match), "effect": \#(effect)}"#
            }
            let policy = try Policy(text: "{\"rules\": [\(rules.joined(separator: ","))]}")
            var input = try Self.input((0..<dice.roll(9)).map { Self.subject($0, &dice) }, &dice)
            if dice.roll(3) == 0 {
                let other = dice.pick([("bulk_shutdown", "node/pve1"), ("read_vm", "vm/101")])
                input.request = try .sample(try #require(Action(rawValue: other.0)), other.1)
            }
            let view = RuleView(input, at: .sample)
            let plain = policy.rules.map { Self.plainly($0, view) }
            let found = policy.matches(in: view)
            #expect(found.map(\.rule.id) == zip(policy.rules, plain).filter { !$1.isEmpty }.map(\.0.id), "\(rules)")
            #expect(found.map(\.subjects) == plain.filter { !$0.isEmpty }, "\(rules)")
            let decision = policy.evaluate(input, at: .sample)
            for (place, subject) in decision.subjects.enumerated() {
                let names = zip(policy.rules, plain).filter { rule, places in
                    rule.isAboutSubjects ? places.contains(place) : place == 0 && !places.isEmpty
                }
                #expect(subject.rules == names.map { "rule:\($0.0.id)" }, "\(rules)")
            }
        }
    }
}
