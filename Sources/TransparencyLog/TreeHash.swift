internal import Crypto
internal import FoundationEssentials

/// A SHA-256 hash in a tree (RFC 6962, 2.1).
package struct TreeHash: Sendable, Hashable {
    /// Bytes of a hash.
    package static let length = 32

    private let words: SIMD4<UInt64>

    private init(_ digest: SHA256.Digest) {
        words = digest.withUnsafeBytes { $0.loadUnaligned(as: SIMD4<UInt64>.self) }
    }

    /// `nil` unless there are ``length`` bytes.
    package init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == Self.length else { return nil }
        words = Array(bytes).withUnsafeBytes { $0.loadUnaligned(as: SIMD4<UInt64>.self) }
    }

    package var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }

    /// The root of the tree without leaves.
    package static let empty = TreeHash(SHA256.hash(data: [UInt8]()))

    /// The hash of a leaf.
    package static func leaf(_ bytes: UnsafeRawBufferPointer) -> TreeHash {
        var hash = SHA256()
        withUnsafeBytes(of: UInt8(0)) { hash.update(bufferPointer: $0) }
        hash.update(bufferPointer: bytes)
        return TreeHash(hash.finalize())
    }

    /// The hash of a leaf.
    package static func leaf(_ bytes: [UInt8]) -> TreeHash { bytes.withUnsafeBytes { leaf($0) } }

    /// The hash of the node above two others.
    package static func node(_ left: TreeHash, _ right: TreeHash) -> TreeHash {
        var hash = SHA256()
        withUnsafeBytes(of: UInt8(1)) { hash.update(bufferPointer: $0) }
        withUnsafeBytes(of: left.words) { hash.update(bufferPointer: $0) }
        withUnsafeBytes(of: right.words) { hash.update(bufferPointer: $0) }
        return TreeHash(hash.finalize())
    }
}

extension TreeHash: LosslessStringConvertible {
    /// Standard base64 (RFC 4648, 4).
    package var description: String { Data(bytes).base64EncodedString() }

    /// Reads exactly the form that ``description`` writes.
    package init?(_ description: String) {
        guard let bytes = strictBase64(description) else { return nil }
        self.init(bytes)
    }
}

/// The bytes of a base64 text in its one canonical form; `nil` for any other text.
func strictBase64(_ text: some StringProtocol) -> Data? {
    guard let data = Data(base64Encoded: String(text)), data.base64EncodedString() == text else { return nil }
    return data
}

/// The value of decimal digits without leading zeros, at most 2⁶³−1; `nil` for any other text.
func strictDecimal(_ text: some StringProtocol) -> UInt64? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), text == "0" || text.first != "0",
        let value = UInt64(text), value <= UInt64(Int64.max)
    else { return nil }
    return value
}
