import FoundationEssentials
package import StrictJSON

/// A number that parameters are compared with: plain, or a size with a unit, in bytes.
package struct Quantity: Sendable, Hashable, CustomStringConvertible {
    package let description: String
    let value: Double
    private let isSize: Bool

    /// - Returns: `nil` unless it is a finite number, or a text such as `32G` (K, M, G or T, in powers of 1024; a `+` in
    ///   front, as PVE writes growth, is ignored).
    package init?(_ json: JSON) {
        description = json.string ?? json.text
        switch json {
        case .integer(let number): (value, isSize) = (Double(number), false)
        case .number(let number) where number.isFinite: (value, isSize) = (number, false)
        case .string(let text):
            guard let size = Self.size(text) else { return nil }
            (value, isSize) = (size, true)
        default: return nil
        }
    }

    private static func size(_ text: String) -> Double? {
        let digits = text.hasPrefix("+") ? text.dropFirst() : text[...]
        guard let unit = digits.last, let power = ["K", "M", "G", "T"].firstIndex(of: String(unit)),
            let number = Double(digits.dropLast()), number.isFinite, number >= 0,
            digits.utf8.first.map({ (0x30...0x39).contains($0) }) == true, digits.utf8.count <= 20
        else { return nil }
        return (0...power).reduce(number) { value, _ in value * 1024 }
    }

    /// Whether the parameter's value is smaller (-1), the same (0) or larger (1); `nil` where they cannot be compared.
    func order(of given: JSON) -> Int? {
        var given = given
        if !isSize, let text = given.string, text.utf8.count <= 30, let number = Double(text), number.isFinite {
            given = .number(number)
        }
        guard let other = Quantity(given), other.isSize == isSize else { return nil }
        return other.value < value ? -1 : other.value > value ? 1 : 0
    }
}

/// What must hold of a parameter's value. Empty: it is enough that the request touches the parameter.
package struct ParameterTest: Sendable, Hashable {
    package var above: Quantity?
    package var below: Quantity?
    package var atLeast: Quantity?
    package var atMost: Quantity?
    /// One of these.
    package var values: Set<JSON>?
    package var like: Glob?

    package init() {}

    var isEmpty: Bool { self == ParameterTest() }

    /// Unknown where the value cannot be compared.
    func holds(for value: JSON) -> Truth {
        func ordered(_ limit: Quantity?, _ isRight: (Int) -> Bool) -> Truth {
            limit.map { $0.order(of: value).map { Truth(isRight($0)) } ?? .unknown } ?? .yes
        }
        return [
            ordered(above) { $0 > 0 }, ordered(below) { $0 < 0 }, ordered(atLeast) { $0 >= 0 },
            ordered(atMost) { $0 <= 0 }, values.map { $0.map { Self.isSame($0, value) }.max() ?? .no } ?? .yes,
            Truth(like?.matches(value.string ?? value.text) ?? true),
        ].min() ?? .yes
    }

    /// A flag or a number may be written as a text, in each way that PVE takes. Of another text it is not known what
    /// PVE makes of it.
    private static func isSame(_ wanted: JSON, _ value: JSON) -> Truth {
        if wanted == value { return .yes }
        let text = (value.string ?? value.text).lowercased()
        switch wanted {
        case .bool(let flag):
            if ["1", "true", "yes", "on"].contains(text) { return Truth(flag) }
            return ["0", "false", "no", "off"].contains(text) ? Truth(!flag) : .unknown
        case .integer, .number:
            guard text.utf8.count <= 30, let number = Double(text), let other = Double(wanted.text) else {
                return .unknown
            }
            return Truth(number == other)
        default: return Truth((wanted.string ?? wanted.text) == (value.string ?? value.text))
        }
    }
}
