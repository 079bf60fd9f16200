import ArgumentParser
import Glibc
import SystemFile
import SystemPackage
import SystemThread
import UnixSignals

/// `proxmox-agent mcp`
struct MCPCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mcp",
        abstract: "Speak the Model Context Protocol on standard input and output, and forward to an agent.",
        discussion: """
            For programs that start a local command instead of asking a URL: one JSON-RPC message a line, in every revision \
            that the agent serves. It ends with its input, after the answers to what was asked, and at once with SIGINT or \
            SIGTERM. What goes wrong is also on standard error.
            """)

    @OptionGroup var client: ClientOptions

    func validate() throws {
        guard client.tokenFile != "-" else {
            throw ValidationError("--token-file takes a file here: standard input carries the messages")
        }
    }

    func run() async throws {
        let agent: AgentClient
        do throws(ClientError) { agent = try AgentClient(client) } catch {
            for line in error.lines { complain(quoted(line)) }
            throw ExitCode.failure
        }
        signal(SIGPIPE, SIG_IGN)
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        Task { for await _ in signals { _exit(0) } }
        let bridge = MCPBridge(agent) { line in
            // A client that no longer reads has gone.
            do throws(Errno) { try FileDescriptor.standardOutput.writeWhole(line) } catch { _exit(0) }
        }
        do throws(OwnThread.Unavailable) { await bridge.run(on: try Self.lines()) } catch { throw fail("\(error)") }
    }

    /// The lines of standard input, until it ends. One that is longer than a message may be comes as `nil`.
    private static func lines() throws(OwnThread.Unavailable) -> AsyncStream<[UInt8]?> {
        let (stream, continuation) = AsyncStream.makeStream(of: [UInt8]?.self)
        try OwnThread.start {
            var splitter = LineSplitter(limit: MCPBridge.maximumLine)
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(0, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                for line in splitter.lines(in: buffer[..<count]) { continuation.yield(line) }
            }
            if let rest = splitter.rest { continuation.yield(rest) }
            continuation.finish()
        }
        return stream
    }
}

/// Cuts bytes into lines.
private struct LineSplitter {
    let limit: Int
    private var line: [UInt8] = []
    private var isTooLong = false

    init(limit: Int) { self.limit = limit }

    /// The lines that end in `bytes`; `nil` for one that is too long.
    mutating func lines(in bytes: ArraySlice<UInt8>) -> [[UInt8]?] {
        var found: [[UInt8]?] = []
        for part in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast() {
            add(part)
            found.append(isTooLong ? nil : line)
            (line, isTooLong) = ([], false)
        }
        add(bytes[((bytes.lastIndex(of: UInt8(ascii: "\n")) ?? bytes.startIndex - 1) + 1)...])
        return found
    }

    /// What stands behind the last newline; `nil` for nothing.
    var rest: [UInt8]? { line.isEmpty ? nil : line }

    private mutating func add(_ part: ArraySlice<UInt8>) {
        if line.count + part.count > limit { (line, isTooLong) = ([], true) }
        if !isTooLong { line.append(contentsOf: part) }
    }
}
