import CZlib
import FoundationEssentials
import Gzip
import Testing

struct GzipTests {
    private static let noise = (0..<300_000).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 13) }
    private static let bodies: [[[UInt8]]] = [
        [], [[]], [Array("hello".utf8)], [Array("a".utf8), [], Array("b".utf8)],
        [[UInt8](repeating: 0x61, count: 1_000_000), noise],
    ]

    @Test(arguments: bodies, [1, 6, 9] as [Int32])
    func `gunzip gives back what was compressed`(parts: [[UInt8]], level: Int32) throws {
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
        #expect(unpacked.dropLast().elementsEqual(parts.joined()))
    }

    @Test func `text becomes smaller`() throws {
        let text = Array(String(repeating: #"{"vmid":101,"name":"web","status":"running"},"#, count: 1000).utf8)
        #expect(try #require(Gzip.compress([text])).count < text.count / 10)
    }
}
