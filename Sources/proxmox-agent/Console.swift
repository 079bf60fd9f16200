import AgentService
import ArgumentParser
import Glibc
import SystemFile
import SystemPackage

/// Writes a line to standard error; blocks until it is written.
func complain(_ line: String) { write(Array((line + "\n").utf8), to: .standardError) }

/// Writes all of `bytes` to a descriptor; ignores errors, which cannot be reported.
func write(_ bytes: [UInt8], to descriptor: FileDescriptor) { try? descriptor.writeWhole(bytes) }

/// Ends a command with `message` on standard error and exit status 1.
func fail(_ message: String) -> ExitCode {
    complain(message)
    return .failure
}

/// Ends a command that the state failed, with exit status 75 (EX_TEMPFAIL) if it may work later.
func fail(_ error: StoreError) -> ExitCode {
    complain(quoted(error.detail))
    return error.isTemporary ? ExitCode(75) : .failure
}

/// The process environment.
func environmentVariables() -> [String: String] {
    var variables: [String: String] = [:]
    var next = environ
    while let entry = next.pointee {
        let text = String(cString: entry)
        if let equals = text.firstIndex(of: "=") {
            variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
        }
        next += 1
    }
    return variables
}

/// Foreign text for a terminal: control and bidirectional characters are escaped.
func quoted(_ text: String) -> String {
    if text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) { return text }
    return text.unicodeScalars.reduce(into: "") { out, scalar in
        let value = scalar.value
        let isControl = value < 0x20 || (0x7F...0x9F).contains(value)
        let isBidirectional =
            value == 0x061C || (0x200B...0x200F).contains(value) || (0x2028...0x202E).contains(value)
            || (0x2060...0x2069).contains(value) || value == 0xFEFF
        if isControl || isBidirectional {
            out += "\\u{" + String(value, radix: 16) + "}"
        } else {
            out.unicodeScalars.append(scalar)
        }
    }
}
