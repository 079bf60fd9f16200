import Synchronization

/// Makes request ids: `req_` and 16 hexadecimal digits, unique during the process.
///
/// Mixes the bits of a counter with a random start, one to one. The kernel's random numbers would cost a system call
/// for each id, and an id is no secret.
final class RequestIDs: Sendable {
    private let counter = Atomic(UInt64.random(in: .min ... .max))

    func next() -> String {
        Self.text(Self.mix(counter.wrappingAdd(1, ordering: .relaxed).newValue))
    }

    /// The finaliser of SplitMix64.
    private static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    private static func text(_ number: UInt64) -> String {
        String(unsafeUninitializedCapacity: 20) { buffer in
            _ = buffer.update(fromContentsOf: "req_".utf8)
            for place in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: number >> UInt64(60 - 4 * place) & 15)
                buffer[4 + place] = digit + (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
            }
            return 20
        }
    }
}
