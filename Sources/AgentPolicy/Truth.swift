/// Whether a condition holds, where not everything may be known (Kleene's logic): both is the smaller, either is the
/// larger.
package enum Truth: Sendable, Hashable, Comparable {
    case no, unknown, yes

    init(_ isTrue: Bool) { self = isTrue ? .yes : .no }

    static prefix func ! (truth: Truth) -> Truth {
        switch truth {
        case .no: .yes
        case .unknown: .unknown
        case .yes: .no
        }
    }
}
