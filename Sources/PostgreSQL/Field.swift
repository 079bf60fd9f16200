/// The value of a column or of a `$n`.
package enum Field: Sendable, Hashable {
    case null
    case integer(Int64)
    case text(String)
    case bytes([UInt8])
}

/// The types that fields have in the database, by their ids in `pg_type`.
enum FieldType {
    static let bool: UInt32 = 16
    static let bytea: UInt32 = 17
    static let int8: UInt32 = 20
    static let int2: UInt32 = 21
    static let int4: UInt32 = 23
    static let name: UInt32 = 19
    static let text: UInt32 = 25
    static let varchar: UInt32 = 1043
}

extension Field {
    /// What a parameter with this value is declared as; 0 leaves it to the server.
    var type: UInt32 {
        switch self {
        case .null: 0
        case .integer: FieldType.int8
        case .text: FieldType.text
        case .bytes: FieldType.bytea
        }
    }

    /// In binary form; `nil` for null.
    var binary: [UInt8]? {
        switch self {
        case .null: nil
        case .integer(let number): Self.bigEndian(number)
        case .text(let text): Array(text.utf8)
        case .bytes(let bytes): bytes
        }
    }

    private static func bigEndian(_ number: Int64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
    }

    /// From the binary form of a column; `nil` for a type that no statement of ours returns.
    init?(_ bytes: [UInt8], type: UInt32) {
        switch type {
        case FieldType.int8, FieldType.int4, FieldType.int2, FieldType.bool:
            guard let first = bytes.first, bytes.count <= 8 else { return nil }
            let sign: Int64 = first >= 0x80 && type != FieldType.bool ? -1 : 0
            self = .integer(bytes.reduce(sign) { $0 << 8 | Int64($1) })
        case FieldType.text, FieldType.varchar, FieldType.name:
            self = String(validating: bytes, as: UTF8.self).map { .text($0) } ?? .bytes(bytes)
        case FieldType.bytea: self = .bytes(bytes)
        default: return nil
        }
    }
}
