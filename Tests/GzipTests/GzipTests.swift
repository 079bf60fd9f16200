import CZlib
import FoundationEssentials
import Gzip
import Testing

struct GzipTests {
    private static func noise(_ length: Int) -> [UInt8] {
        (0..<length).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 13) }
    }

    /// Lengths of the parts: what a runner prints of an argument should be short.
    @Test(arguments: [[], [0], [5], [1, 0, 1], [1_000_000, 100_000]], [1, 6, 9] as [Int32])
    func `gunzip gives back what was compressed`(lengths: [Int], level: Int32) throws {
        let parts = lengths.enumerated().map { $0 == 0 ? [UInt8](repeating: 0x61, count: $1) : Self.noise($1) }
        let packed = try #require(Gzip.compress(parts, level: level))
        #expect(packed.starts(with: [0x1F, 0x8B, 8]))
        let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).gz")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(packed).write(to: file)
        guard let handle = unsafe gzopen(file.path, "rb") else {
            Issue.record("zlib does not open \(file.path)")
            return
        }
        defer { unsafe gzclose(handle) }
        let count = parts.reduce(0) { $0 + $1.count }
        var unpacked = [UInt8](repeating: 0, count: count + 1)
        let read = unsafe gzread(handle, &unpacked, UInt32(unpacked.count))
        #expect(read == count)
        #expect(Data(unpacked.dropLast()) == parts.reduce(into: Data()) { $0.append(contentsOf: $1) })
    }

    @Test func `text becomes smaller`() throws {
        let text = Array(String(repeating: #"{"vmid":101,"name":"web","status":"running"},"#, count: 1000).utf8)
        #expect(try #require(Gzip.compress([text])).count < text.count / 10)
    }
}
