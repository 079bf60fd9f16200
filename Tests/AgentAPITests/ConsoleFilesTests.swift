import ConsoleFiles
import FoundationEssentials
import Testing

struct ConsoleFilesTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Sources/CConsole/files")

    @Test func `the program has every file of the console, as it is in the sources`() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        #expect(
            Set(ConsoleFile.all.map(\.name)) == Set(names), "console.c takes the files in, and has a table of them")
        for file in ConsoleFile.all {
            let source = try Data(contentsOf: Self.folder.appending(path: file.name))
            #expect(Data(file.bytes) == source, "\(file.name)")
        }
    }

    @Test func `the whole console is smaller than 150 kB`() {
        #expect(ConsoleFile.all.reduce(0) { $0 + $1.bytes.count } < 150_000)
    }
}
