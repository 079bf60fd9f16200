package import AgentModel
package import FoundationEssentials

/// What people are told outside of the agent: one event, in words. Holds no secret.
package struct Notice: Sendable, Hashable {
    /// What it is about, with its name in the configuration.
    package enum Event: String, Sendable, Hashable, CaseIterable {
        case approvalWanted = "approval_wanted"
        case planExpiring = "plan_expiring"
        case operationEnded = "operation_ended"
        case unknownOutcome = "unknown_outcome"
        case breakGlass = "break_glass"
        case freeze
        case environmentDown = "environment_down"
        case auditChainBroken = "audit_chain_broken"
        /// Somebody tries a destination.
        case test
    }

    /// Who wrote a text.
    package enum Source: String, Sendable, Hashable, CaseIterable {
        /// The agent, in forms that it has checked.
        case agent
        /// A caller, such as the reason for a request.
        case caller
        /// Proxmox VE: names, tags and settings, which guests and their owners choose.
        case guest
    }

    /// One thing to know.
    package struct Fact: Sendable, Hashable {
        package let name: String
        package let text: String
        package let source: Source

        /// Makes `text` one visible line, of bounded length.
        package init(_ name: String, _ text: String, _ source: Source = .agent) {
            self.name = name
            self.text = text.visibleLine(upTo: 400)
            self.source = source
        }
    }

    package let event: Event
    /// How the operation ended.
    package let outcome: OperationState?
    package let at: Date
    package let environment: EnvironmentName?
    package let planID: RecordID?
    package let operationID: RecordID?
    package let risk: Risk?
    /// In one line. The agent's own words, with nothing that others wrote.
    package let title: String
    package let facts: [Fact]

    package init(
        _ event: Event, outcome: OperationState? = nil, at: Date, environment: EnvironmentName? = nil,
        planID: RecordID? = nil, operationID: RecordID? = nil, risk: Risk? = nil, title: String, facts: [Fact]
    ) {
        self.event = event
        self.outcome = outcome
        self.at = at
        self.environment = environment
        self.planID = planID
        self.operationID = operationID
        self.risk = risk
        self.title = title.visibleLine(upTo: 200)
        self.facts = Array(facts.prefix(24))
    }

    /// Whether somebody should look at it now.
    package var isUrgent: Bool {
        switch event {
        case .unknownOutcome, .breakGlass, .environmentDown, .auditChainBroken, .planExpiring: true
        case .approvalWanted: risk == .high
        case .operationEnded: outcome == .failed
        case .freeze, .test: false
        }
    }
}

/// Which notices a destination gets.
package struct NoticeSubscription: Sendable, Hashable {
    /// An event or, of operations, one outcome: `freeze`, `operation_ended`, `operation_ended:failed`.
    package struct Topic: Sendable, Hashable, CustomStringConvertible {
        package let event: Notice.Event
        package let outcome: OperationState?

        package init(_ event: Notice.Event, _ outcome: OperationState? = nil) {
            self.event = event
            self.outcome = outcome
        }

        /// All that can be subscribed to.
        package static let all: [Topic] = Notice.Event.allCases.filter { $0 != .test }.flatMap { event in
            let outcomes = OperationState.allCases.filter { $0.isEnded && $0 != .unknown }
            return [Topic(event)] + (event == .operationEnded ? outcomes.map { Topic(event, $0) } : [])
        }

        /// What a destination gets that names nothing: what somebody has to act on.
        package static let standard: Set<Topic> = Set(
            Notice.Event.allCases.filter { ![.operationEnded, .test].contains($0) }.map { Topic($0) } + [
                Topic(.operationEnded, .failed)
            ])

        package init?(_ text: String) {
            guard let topic = Self.all.first(where: { $0.description == text }) else { return nil }
            self = topic
        }

        package var description: String { event.rawValue + (outcome.map { ":\($0.rawValue)" } ?? "") }
    }

    /// The destination's name in the configuration.
    package let target: String
    package let topics: Set<Topic>
    /// `nil` for all.
    package let environments: Set<EnvironmentName>?
    /// Plans and operations of less risk are left out.
    package let minimumRisk: Risk

    package init(
        target: String, topics: Set<Topic> = Topic.standard, environments: Set<EnvironmentName>? = nil,
        minimumRisk: Risk = .low
    ) {
        self.target = target
        self.topics = topics
        self.environments = environments
        self.minimumRisk = minimumRisk
    }

    /// What concerns no single environment, or has no risk, is wanted whatever the limits are.
    package func wants(_ notice: Notice) -> Bool {
        let isTopic =
            topics.contains(Topic(notice.event)) || topics.contains(Topic(notice.event, notice.outcome))
            || notice.event == .unknownOutcome && topics.contains(Topic(.operationEnded))
        return isTopic && notice.environment.map { environments?.contains($0) ?? true } ?? true
            && notice.risk.map { $0 >= minimumRisk } ?? true
    }
}

extension String {
    /// The text as one line that shows every character that it has: what acts on a terminal or on the direction of
    /// writing, or cannot be seen, is written as `\u{202e}`. Longer texts end with an ellipsis.
    package func visibleLine(upTo limit: Int) -> String {
        var line = ""
        var count = 0
        for scalar in unicodeScalars {
            guard count < limit else { return line + "…" }
            count += 1
            if scalar.isVisible {
                line.unicodeScalars.append(scalar)
            } else if scalar == "\n" || scalar == "\t" {
                line += " "
            } else {
                line += "\\u{" + String(scalar.value, radix: 16) + "}"
            }
        }
        return line
    }
}

extension Unicode.Scalar {
    /// Neither a control nor a format character, nor a line's end, nor one of the blanks that look like nothing.
    fileprivate var isVisible: Bool {
        if (0x20...0x7E).contains(value) { return true }
        if properties.isDefaultIgnorableCodePoint || properties.isVariationSelector { return false }
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: return false
        case .spaceSeparator: return value == 0xA0
        default: return true
        }
    }
}
