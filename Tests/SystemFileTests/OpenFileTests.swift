import FoundationEssentials
import SystemFile
import SystemPackage
import Testing

struct OpenFileTests {
    private static func inDirectory(_ body: (String) throws -> Void) throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "system-file-\(UUID())").path
        try PrivateFile.makeDirectory(directory)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try body(directory)
    }

    @Test func `what was written is read again, whole and in parts`() throws {
        try Self.inDirectory { directory in
            let path = directory + "/file"
            let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }
            try PrivateFile.create(path, bytes)
            let file = try OpenFile(path, .readWrite, .noFollow)
            #expect(try file.read(0..<200_000) == bytes)
            #expect(try file.read(5..<9) == [5, 6, 7, 8])
            var buffer = [UInt8](repeating: 0, count: 4)
            #expect(try file.read(into: &buffer) == 4)
            #expect(buffer == [0, 1, 2, 3])
            #expect(try file.read(into: &buffer, count: 9, at: 199_998) == 2)
            #expect(throws: Errno.ioError) { try file.read(199_999..<200_001) }
            try file.truncate(to: 2)
            try file.sync()
            try PrivateFile.syncDirectory(directory)
            #expect(try file.stat().size == 2)
        }
    }

    @Test func `a new file is private, and never takes the place of another`() throws {
        try Self.inDirectory { directory in
            let path = directory + "/file"
            try PrivateFile.create(path, [1])
            #expect(try PrivateFile.flaw(of: #require(try PrivateFile.stat(path)), path) == nil)
            do throws(PrivateFile.CreateFailure) {
                try PrivateFile.create(path, [2])
                Issue.record("it took the place of another")
            } catch {
                guard case .create(.fileExists) = error else {
                    Issue.record("\(error)")
                    return
                }
            }
            #expect(try OpenFile(path, .readOnly).read(0..<1) == [1])
        }
    }

    @Test(arguments: [0o640, 0o604, 0o620, 0o601] as [CInterop.Mode])
    func `a file that others may touch is not private`(mode: CInterop.Mode) throws {
        try Self.inDirectory { directory in
            let path = directory + "/file"
            let file = try OpenFile(path, .writeOnly, .create)
            try file.set(permissions: FilePermissions(rawValue: mode))
            #expect(
                try PrivateFile.flaw(of: file.stat(), path) == "others may read or write it; run: chmod 600 \(path)")
        }
    }

    @Test func `a link is seen, not followed, and a directory is no file`() throws {
        try Self.inDirectory { directory in
            let link = directory + "/link"
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "nothing")
            #expect(try PrivateFile.stat(link)?.type == .symbolicLink)
            #expect(throws: Errno.tooManySymbolicLinkLevels) { _ = try OpenFile(link, .readOnly, .noFollow) }
            #expect(
                try PrivateFile.flaw(of: #require(try PrivateFile.stat(directory)), directory)
                    == "is not a regular file; name another one")
            #expect(try PrivateFile.stat(directory + "/none") == nil)
        }
    }

    @Test func `a file is locked once`() throws {
        try Self.inDirectory { directory in
            let path = directory + "/file"
            let first = try OpenFile(path, .readWrite, .create)
            try first.lock()
            let second = try OpenFile(path, .readWrite)
            #expect(throws: Errno.wouldBlock) { try second.lock() }
        }
    }

    @Test func `a write that fails throws, with the reason`() throws {
        #expect(throws: Errno.noSpace) { try OpenFile("/dev/full", .writeOnly).write([1]) }
    }

    @Test(arguments: [("a", "."), ("/a", "/"), ("a/b", "a"), ("/a/b", "/a")])
    func `the directory of a file`(path: String, directory: String) {
        #expect(PrivateFile.directory(of: path) == directory)
    }
}
