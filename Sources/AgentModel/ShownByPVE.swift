package import StrictJSON

/// Reads values in the forms that PVE and its plugins use. Some send numbers where others send texts, and Perl has no
/// booleans.
extension JSON {
    /// A boolean in any of PVE's spellings; `nil` for any other value.
    package var flag: Bool? {
        switch self {
        case .bool(let value): value
        case .integer, .number: whole == 1 ? true : whole == 0 ? false : nil
        case .string(let text):
            switch text.lowercased() {
            case "1", "on", "yes", "true": true
            case "0", "off", "no", "false", "": false
            default: nil
            }
        case .null, .array, .object: nil
        }
    }

    /// A whole number, given as a number or as digits; `nil` for any other value, and for one that does not fit 64
    /// bits.
    package var whole: Int64? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int64(exactly: value)
        case .string(let text): text.utf8.first == UInt8(ascii: "+") ? nil : Int64(text)
        case .null, .bool, .array, .object: nil
        }
    }

    /// A number of bytes, or another count that can be very large; `nil` for any other value.
    package var amount: UInt64? {
        switch self {
        case .integer(let value): UInt64(exactly: value)
        case .number(let value): UInt64(exactly: value)
        case .string(let text): text.utf8.first.map(TextForm.isDigit) == true ? UInt64(text) : nil
        case .null, .bool, .array, .object: nil
        }
    }

    /// The number of a guest.
    package var guestID: VMID? { whole.flatMap { UInt32(exactly: $0) }.flatMap { VMID(rawValue: $0) } }
}
