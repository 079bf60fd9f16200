package import AgentModel
package import FoundationEssentials

/// Whether a rule matched a request, and why.
package struct RuleExplanation: Sendable, Hashable {
    package let rule: PolicyRule
    package let isMatched: Bool
    /// The names of the subjects that it matched; the target's for a rule without conditions on subjects.
    package let subjects: [String]
    /// For a rule that did not match: what did not hold for the subject that came nearest. For one that did: what is
    /// not known and counts as holding, or that everything holds.
    package let reasons: [Reason]

    package struct Reason: Sendable, Hashable, CustomStringConvertible {
        package let description: String
        /// Whether it tells what a subject is like: its tags, pools, place or name.
        package let isAboutSubject: Bool
    }
}

extension Policy {
    /// Says of each rule whether it matches the request, and why; the same rules match as in ``evaluate(_:at:)``.
    ///
    /// Rules that concern none of `environments`, those that the reader sees, are left out, and so are the names of
    /// other environments; `nil` gives all rules as they are.
    package func explain(
        _ input: PolicyInput, at now: Date, seeing environments: [EnvironmentSettings]? = nil
    ) -> [RuleExplanation] {
        let view = RuleView(input, at: now)
        return (environments.map(rules(in:)) ?? rules).map(view.explain)
    }
}

extension RuleView {
    fileprivate func explain(_ rule: PolicyRule) -> RuleExplanation {
        let matched = couldMatch(rule) ? matched(by: rule) : []
        let reasons: [RuleExplanation.Reason] =
            if !matched.isEmpty {
                whyMatched(rule, matched)
            } else if !rule.namesActions, input.request.definition.effect != .change {
                [.init("it names no actions, so it covers changes only")]
            } else if rule.effect == .allow {
                whyNotAllowed(rule)
            } else {
                nearest(to: rule).failed
            }
        // As decisions note it: a rule without conditions on subjects stands at the target.
        let places = matched.isEmpty || rule.isAboutSubjects ? matched : [0]
        return RuleExplanation(
            rule: rule, isMatched: !matched.isEmpty, subjects: places.map { subjects[$0].name }, reasons: reasons)
    }

    /// How the conditions of a rule hold for one action that the request amounts to, and for one subject.
    private struct Standing {
        var failed: [RuleExplanation.Reason] = []
        var unknown: [RuleExplanation.Reason] = []
    }

    private func standing(of rule: PolicyRule, _ variant: RuleFacts, _ place: Int) -> Standing {
        var standing = Standing()
        for part in rule.match.parts {
            let about = part.describesSubject ? " for \(subjects[place].name)" : ""
            switch part.holds(variant, facts[place]) {
            case .no:
                standing.failed.append(.init("`\(part.phrase)` does not hold\(about)", part.describesSubject))
            case .unknown:
                standing.unknown.append(.init("`\(part.phrase)` is not known\(about)", part.describesSubject))
            case .yes: break
            }
        }
        return standing
    }

    private func whyMatched(_ rule: PolicyRule, _ matched: [Int]) -> [RuleExplanation.Reason] {
        guard !rule.match.parts.isEmpty else { return [.init("it has no conditions, and covers every change")] }
        var fewest: Standing?
        for place in matched {
            for variant in variants where rule.match.holds(variant, facts[place]) > .no {
                let standing = standing(of: rule, variant, place)
                if standing.unknown.isEmpty { return [.init("every condition holds")] }
                if standing.unknown.count < fewest?.unknown.count ?? .max { fewest = standing }
            }
        }
        return (fewest?.unknown ?? []) + [.init("what is not known counts as holding")]
    }

    /// A rule that allows must hold for every action and subject. The reasons are those of the first for which it does
    /// not.
    private func whyNotAllowed(_ rule: PolicyRule) -> [RuleExplanation.Reason] {
        for place in judged(by: rule) {
            for variant in variants where rule.match.holds(variant, facts[place]) < .yes {
                let standing = standing(of: rule, variant, place)
                let reasons = standing.failed.isEmpty ? standing.unknown : standing.failed
                return reasons + [.init("a rule that allows must be known to hold for every subject")]
            }
        }
        return []
    }

    /// What a rule about guests lacks of a request that reaches none.
    private func noGuest(_ ofRequest: [RuleMatch]) -> Standing {
        let failed = ofRequest.filter { part in variants.allSatisfy { part.holds($0, nil) == .no } }
        return Standing(
            failed: failed.map { .init("`\($0.phrase)` does not hold") } + [
                .init("it is about guests, and the request reaches none")
            ])
    }

    /// The way in which the fewest conditions fail.
    private func nearest(to rule: PolicyRule) -> Standing {
        let ofRequest = rule.match.parts.filter { !$0.describesSubject }
        // What fails for the request fails for every subject: no subject can come nearer than that.
        let least = variants.map { variant in ofRequest.count { $0.holds(variant, nil) == .no } }.min() ?? 0
        let judged = judged(by: rule)
        guard !judged.isEmpty else { return noGuest(least > 0 ? ofRequest : []) }
        var nearest: Standing?
        for place in judged {
            for variant in variants {
                let standing = standing(of: rule, variant, place)
                if standing.failed.count < nearest?.failed.count ?? .max { nearest = standing }
                if standing.failed.count <= max(1, least) { return standing }
            }
        }
        return nearest ?? Standing()
    }
}

extension RuleExplanation.Reason {
    fileprivate init(_ description: String, _ isAboutSubject: Bool = false) {
        self.init(description: description, isAboutSubject: isAboutSubject)
    }
}

extension RuleMatch {
    /// Whether a condition inside is about what a subject is, so that it holds for some subjects and not for others.
    fileprivate var describesSubject: Bool {
        conditions.contains { condition in
            switch condition {
            case .targets, .ids, .names, .tags, .pools, .nodes, .storages: true
            default: false
            }
        }
    }
}
