import AgentModel
import AgentPolicy
import FoundationEssentials
import StrictJSON

/// Requests, and what a policy must decide on each: the cases of `policy test`.
struct PolicyCases: Sendable {
    struct Case: Sendable {
        let name: String
        /// Where it begins in the file.
        let line: Int
        let input: PolicyInput
        let time: Date
        let expected: Expectation
    }

    /// What must be so; `nil` for what may be anything.
    struct Expectation: Sendable, Hashable {
        var isAllowed: Bool?
        var requiresApproval: Bool?
        var risk: Risk?
        var approvals: Int?
        var assurance: Assurance?
        /// Exactly the configured rules that take part.
        var rules: Set<String>?
        /// Whether the change windows are open, and when the next one opens.
        var isOpen: Bool?
        var opensAt: Date?
        /// Exactly the rules whose limits count it.
        var limits: Set<String>?
        /// A part of the reason.
        var reason: String?
    }

    let file: String
    let cases: [Case]

    /// When a case without `at` happens: at noon on a Monday.
    static let usualTime = "2026-01-05T12:00:00Z"

    /// - Throws: ``ConfigError`` with a line for each error: file, line, place, what is wrong and the cure.
    init(file: String) throws(ConfigError) {
        let (bytes, object) = try PolicyFiles.object(in: file, "file of cases")
        try self.init(reading: object, in: bytes, of: file)
    }

    init(reading object: JSONObject, in bytes: [UInt8], of file: String) throws(ConfigError) {
        var reader = ObjectReader(object)
        _ = reader.parsed("$schema", "the address of a JSON Schema") { $0 }
        var reading = CaseReading(object)
        reader.each("environments") { _, inner in reading.environment(&inner) }
        reader.each("principals") { _, inner in reading.principal(&inner) }
        var cases: [Case] = []
        reader.each("cases") { index, inner in
            guard let (name, input, time, expected) = reading.aCase(&inner) else { return }
            let line = JSON.line(of: JSONPath([.key("cases"), .index(index)]), in: bytes)
            cases.append(Case(name: name, line: line, input: input, time: time, expected: expected))
        }
        reader.refuseUnknown()
        if cases.isEmpty, reader.issues.isEmpty { reader.report("cases", "is empty; give it one case or more") }
        if !reader.issues.isEmpty {
            throw ConfigError(lines: reader.issues.map { Policy.line($0, in: bytes, of: file) })
        }
        self.file = file
        self.cases = cases
    }
}

/// One reading of a file of cases.
private struct CaseReading {
    private let environmentNames: KnownNames
    private let principalNames: KnownNames
    private var environments: [EnvironmentName: EnvironmentSettings] = [:]
    private var principals: [String: Principal] = [:]
    private var names: Set<String> = []

    private static let timeForm = "a time as 2026-11-22T21:29:03Z (RFC 3339)"

    init(_ object: JSONObject) {
        environmentNames = KnownNames("name", of: object["environments"])
        principalNames = KnownNames("id", of: object["principals"])
    }

    mutating func environment(_ reader: inout ObjectReader) {
        let name = reader.parsed("name", "1 to 64 of A-Z a-z 0-9 . _ -", EnvironmentName.init)
        reader.require("name", "a name such as home")
        var labels: [String: String] = [:]
        for member in reader.object("labels")?.members ?? [] {
            if member.value.string == nil {
                let path = reader.path.key("labels").key(member.key)
                reader.report([JSONError(path: path, detail: "expected a string, got \(member.value.kind)")])
            }
            labels[member.key] = member.value.string
        }
        let isReadOnly = reader.bool("read_only") ?? false
        guard let name else { return }
        if environments[name] != nil {
            reader.report("name", "\"\(name)\" is taken by another environment; names are unique")
        }
        environments[name] = EnvironmentSettings(
            name: name, baseURL: "", tokenID: "", trust: "", readOnly: isReadOnly, labels: labels)
    }

    mutating func principal(_ reader: inout ObjectReader) {
        let form = "3 to 128 of A-Z a-z 0-9 . _ : @ / -"
        let id = reader.parsed("id", form) { TextForm.label.matches($0) ? $0 : nil }
        let words = Role.allCases.map(\.rawValue).joined(separator: ", ")
        let roles = reader.set("roles", "one of \(words)", Role.init(rawValue:))
        reader.require("id", form)
        reader.require("roles", "a list, each one of \(words)")
        guard let id else { return }
        if principals[id] != nil { reader.report("id", "\"\(id)\" is taken by another principal; ids are unique") }
        principals[id] = Principal(id: id, roles: roles ?? [])
    }

    mutating func aCase(
        _ reader: inout ObjectReader
    ) -> (name: String, input: PolicyInput, time: Date, expected: PolicyCases.Expectation)? {
        let name = reader.parsed("name", "a line of 1 to 200 characters") { TextForm.line(200).matches($0) ? $0 : nil }
        reader.require("name", "what the case is about")
        if let name, !names.insert(name).inserted {
            reader.report("name", "another case has this name; names are unique")
        }
        let id = reader.parsed("by", principalNames.form(of: "principal"), principalNames.known)
        reader.require("by", principalNames.form(of: "principal"))
        let request = self.request(&reader)
        let reach = request.flatMap { subjects(of: $0, &reader) }
        let checks = self.checks(&reader)
        let time = reader.parsed("at", Self.timeForm, Date.init(rfc3339:))
        let expected = expectation(&reader)
        guard let name, let id, let principal = principals[id], let request, let expected,
            let settings = environments[request.environment],
            let time = time ?? Date(rfc3339: PolicyCases.usualTime)
        else { return nil }
        let input = PolicyInput(
            request, by: Caller(principal: id, label: nil), roles: principal.roles, in: settings, reach: reach,
            checks: checks)
        return (name, input, time, expected)
    }

    private func request(_ reader: inout ObjectReader) -> ActionRequest? {
        reader.require("request", "what POST /v1/actions/plan takes")
        guard let object = reader.object("request") else { return nil }
        let place = reader.path.key("request")
        func issue(_ key: String, _ detail: String) -> JSONError { JSONError(path: place.key(key), detail: detail) }
        do throws(RequestError) {
            let request = try ActionRequest(parsing: object)
            if environmentNames.known(request.environment.description) == nil {
                reader.report([
                    issue("environment", "expected \(environmentNames.form(of: "environment"))")
                ])
            }
            return request
        } catch {
            switch error {
            case .unknownAction(let name):
                reader.report([issue("action", "there is no action \(JSON.string(name).shown); see docs/actions.md")])
            case .invalidTarget(let detail): reader.report([issue("target", detail)])
            case .invalid(let issues):
                reader.report(
                    issues.issues.map {
                        JSONError(path: JSONPath(place.steps + $0.path.steps), detail: $0.detail)
                    })
            }
            return nil
        }
    }

    /// `nil` where the case names none: the target alone.
    private func subjects(of request: ActionRequest, _ reader: inout ObjectReader) -> Reach? {
        var reach = Reach()
        let roles = Subject.Role.allCases.map(\.rawValue).joined(separator: ", ")
        reader.each("subjects") { _, reader in
            let name = reader.parsed("name", "what decisions call it, such as vm/101") {
                TextForm.line(300).matches($0) ? $0 : nil
            }
            reader.require("name", "what decisions call it, such as vm/101")
            let role = reader.parsed("role", "one of \(roles)", Subject.Role.init)
            var subject = Subject(role ?? (reach.subjects.isEmpty ? .target : .affected), name ?? "")
            subject.aliases = (reader.strings("also") ?? []).flatMap { alias in
                // A nested pool is in its parents.
                alias.hasPrefix("pool/") ? PoolName(String(alias.dropFirst(5)))?.subjectNames ?? [alias] : [alias]
            }
            if name == request.target.description { subject.aliases += request.target.subjectAliases }
            subject.tags = Set((reader.strings("tags") ?? []).map { $0.lowercased() })
            subject.guestNames = reader.string("guest_name").map { [$0] } ?? []
            subject.node = reader.parsed("node", "the name of a node", NodeName.init)
            reach.backups[subject.name] = reader.parsed("newest_backup", Self.timeForm, Date.init(rfc3339:))
            reach.append(subject)
        }
        return reach.subjects.isEmpty ? nil : reach
    }

    private func checks(_ reader: inout ObjectReader) -> [Check] {
        var checks: [Check] = []
        reader.each("checks") { _, reader in
            let id = reader.parsed("id", "the id of a check, such as guest-exists") { $0.isEmpty ? nil : $0 }
            let level = reader.parsed("level", "ok, warn or block", Check.Level.init)
            reader.require("id", "the id of a check, such as guest-exists")
            reader.require("level", "ok, warn or block")
            if let id, let level { checks.append(Check(id, level, "check \(id)")) }
        }
        return checks
    }

    private func expectation(_ reader: inout ObjectReader) -> PolicyCases.Expectation? {
        var expected = PolicyCases.Expectation()
        reader.require("expect", "what must be so, as in {\"allowed\": false}")
        reader.section("expect") { reader in
            expected.isAllowed = reader.bool("allowed")
            expected.requiresApproval = reader.bool("requires_approval")
            expected.risk = reader.parsed("risk_level", "low, medium or high", Risk.init)
            expected.approvals = reader.integer("approvals", in: 0...10)
            expected.assurance = reader.parsed("assurance", "verified, signed or hardware") {
                $0 == "declared" ? nil : Assurance(rawValue: $0)
            }
            expected.rules = reader.strings("rules").map { Set($0) }
            expected.isOpen = reader.parsed("window", "open or closed") { ["open": true, "closed": false][$0] }
            expected.opensAt = reader.parsed("opens_at", Self.timeForm, Date.init(rfc3339:))
            expected.limits = reader.strings("limits").map { Set($0) }
            expected.reason = reader.string("reason_has")
        }
        if reader.value("expect")?.object?.isEmpty == true {
            reader.report("expect", "is empty; say what must be so, as in {\"allowed\": false}")
        }
        return expected
    }
}

extension PolicyCases.Expectation {
    /// What of the decision is not as expected, a line each.
    func failures(of decision: Decision, countedBy limits: Set<String>) -> [String] {
        var lines: [String] = []
        func compare<Value: Equatable>(_ name: String, _ wanted: Value?, _ got: Value, _ text: (Value) -> String) {
            guard let wanted, wanted != got else { return }
            lines.append("\(name): expected \(text(wanted)), got \(text(got))")
        }
        func list(_ rules: Set<String>) -> String { rules.isEmpty ? "none" : rules.sorted().joined(separator: ", ") }
        compare("allowed", isAllowed, decision.allowed) { "\($0)" }
        compare("requires_approval", requiresApproval, decision.requiresApproval) { "\($0)" }
        compare("risk_level", risk, decision.risk, \.rawValue)
        compare("approvals", approvals, decision.requiresApproval ? decision.approvals : 0) { "\($0)" }
        compare("assurance", assurance, decision.assurance ?? .verified, \.rawValue)
        compare("rules", rules, Set(decision.configuredRules), list)
        compare("window", isOpen, decision.window == nil) { $0 ? "open" : "closed" }
        compare("limits", self.limits, limits, list)
        if let opensAt, decision.window?.opensAt != opensAt {
            let got = decision.window?.opensAt?.rfc3339 ?? "no time"
            lines.append("opens_at: expected \(opensAt.rfc3339), got \(got)")
        }
        if let reason, !decision.reason.contains(reason) {
            lines.append("reason_has: expected \"\(reason)\", got \"\(decision.reason)\"")
        }
        return lines
    }
}

/// How the cases went.
struct PolicyCaseReport: Sendable {
    private(set) var lines: [String] = []
    private(set) var isGood = true

    init(_ cases: PolicyCases, by policy: Policy) {
        var failed = 0
        for one in cases.cases {
            let decision = policy.evaluate(one.input, at: one.time)
            let limits = Set(policy.limitClaims(of: one.input, at: one.time).map(\.rule))
            let failures = one.expected.failures(of: decision, countedBy: limits)
            if failures.isEmpty {
                lines.append("ok      \(one.name)")
                continue
            }
            failed += 1
            lines.append("FAILED  \(one.name) (\(cases.file):\(one.line))")
            let outcome = PolicyOutcome(decision).text(withRisk: true)
            let decided = "decided: \(outcome), by \(decision.rules.joined(separator: ", ")): \(decision.reason)"
            lines += (failures + [decided]).map { "        \($0)" }
        }
        let count = cases.cases.count
        lines.append("\(count) case\(count == 1 ? "" : "s"): \(count - failed) ok, \(failed) failed")
        isGood = failed == 0
    }
}
