package import StrictJSON

/// One rule of a policy. Data, no code.
package struct PolicyRule: Sendable, Hashable, CustomStringConvertible {
    package let id: String
    /// What it is for, in the words of who wrote it.
    package let summary: String?
    package let match: RuleMatch
    package let effect: PolicyEffect
    /// What decisions give as the reason.
    package let reason: String?
    /// Whether it speaks of actions. One that does not covers changes only.
    let namesActions: Bool
    /// Whether a condition depends on the subjects.
    let isAboutSubjects: Bool
    /// Whether all its conditions on subjects are on guests and pools: then it judges only these.
    let isAboutGuests: Bool

    package init(
        id: String, summary: String? = nil, match: RuleMatch = .always, effect: PolicyEffect, reason: String? = nil
    ) {
        self.id = id
        self.summary = summary
        self.match = match
        self.effect = effect
        self.reason = reason
        namesActions = match.namesActions
        isAboutSubjects = match.isAboutSubjects
        isAboutGuests = match.isAboutGuests
    }

    /// The rule's effect and conditions, in one line.
    package var description: String {
        let phrase = match.phrase
        return "\(id): \(effect)" + (phrase.isEmpty ? "" : " " + phrase)
    }

    /// The rule as a policy file has it, and as part of the hash in the policy's version.
    package var document: JSON {
        [
            "id": .string(id), "description": summary.map { .string($0) }, "match": match.document,
            "effect": effect.document, "reason": reason.map { .string($0) },
        ]
    }
}
