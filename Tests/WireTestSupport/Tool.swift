import Dispatch
import Glibc

/// A program of the search path, such as curl or openssl, run to its end.
package enum Tool {
    package struct Result: Sendable, CustomStringConvertible {
        /// -1 when a signal ended it.
        package let status: Int32
        package let output: [UInt8]
        /// What it wrote to standard error.
        package let errors: [UInt8]

        package var text: String { String(decoding: output, as: UTF8.self) }
        package var description: String { "status \(status)\n\(text)\n\(String(decoding: errors, as: UTF8.self))" }
    }

    /// Why it did not run, or not well.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String

        package init(_ description: String) { self.description = description }
    }

    /// Runs it with `input` as its standard input. Needs `timeout` of coreutils, which ends it after 30 s.
    package static func run(_ words: String..., input: String = "") async throws -> Result {
        try await run(words, input: input)
    }

    package static func run(_ words: [String], input: String = "") async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue(label: "tool").async {
                continuation.resume(with: Swift.Result { try start(["timeout", "30"] + words, Array(input.utf8)) })
            }
        }
    }

    private static func start(_ words: [String], _ input: [UInt8]) throws -> Result {
        // Files, so that no pipe fills up.
        let files = try (0..<3).map { _ in
            var path = Array("/tmp/tool-XXXXXX".utf8CString)
            let file = mkstemp(&path)
            guard file >= 0 else { throw Failure("mkstemp: \(errno)") }
            unlink(path)
            _ = fcntl(file, F_SETFD, FD_CLOEXEC)
            return file
        }
        defer { for file in files { close(file) } }
        guard input.isEmpty || write(files[0], input, input.count) == input.count, lseek(files[0], 0, SEEK_SET) == 0
        else { throw Failure("write: \(errno)") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (stream, file) in files.enumerated() { posix_spawn_file_actions_adddup2(&actions, file, Int32(stream)) }
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var child = pid_t()
        guard posix_spawnp(&child, words[0], &actions, nil, &arguments, environ) == 0 else {
            throw Failure("\(words[0]) cannot be started")
        }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        return Result(
            status: status & 0x7F == 0 ? status >> 8 & 0xFF : -1, output: content(files[1]), errors: content(files[2]))
    }

    private static func content(_ file: Int32) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(lseek(file, 0, SEEK_END)))
        let count = pread(file, &bytes, bytes.count, 0)
        return Array(bytes.prefix(max(count, 0)))
    }
}
